"""Light cones: what they leave out, and which of them are contracted together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tnqrnn as tq
from tnqrnn.circuits.fusion import fuse
from tnqrnn.contraction.cones import (
    MAX_SUPPORT,
    families,
    group_supports,
    light_cone,
)


def layout(ansatz, n_steps=1):
    return tuple(block.qubits for block in fuse(ansatz, 2)) * n_steps


@st.composite
def circuits(draw, n_qubits=6):
    qubit = st.integers(0, n_qubits - 1)
    block = st.lists(qubit, min_size=1, max_size=2, unique=True)
    blocks = draw(st.lists(block.map(lambda b: tuple(sorted(b))), max_size=12))
    support = st.lists(qubit, min_size=1, max_size=3, unique=True)
    supports = draw(st.lists(support.map(lambda b: tuple(sorted(b))), max_size=6))
    return tuple(blocks), tuple(supports)


def in_order(blocks, numbers):
    """Whether blocks that share a qubit act in the circuit's order."""
    return all(
        i < j or not set(blocks[i]) & set(blocks[j])
        for at, j in enumerate(numbers)
        for i in numbers[:at]
    )


@given(circuits())
def test_a_light_cone_holds_what_matters_in_a_valid_order(circuit):
    blocks, supports = circuit
    for support in supports:
        cone = light_cone(blocks, support)
        assert len(set(cone)) == len(cone) and in_order(blocks, cone)
        reached = set(support).union(*(blocks[i] for i in cone))
        outside = [i for i in range(len(blocks)) if i not in cone]
        # A block left out touches the cone only before nothing of it is left to come.
        for i in outside:
            later = [j for j in cone if j > i and set(blocks[j]) & set(blocks[i])]
            assert not later and not set(blocks[i]) & set(support)
        assert reached >= set(support)


@given(circuits())
def test_every_support_is_in_a_group_and_every_block_in_its_family(circuit):
    blocks, supports = circuit
    groups, place = group_supports(blocks, supports)
    assert len(place) == len(supports)
    for support, at in zip(supports, place, strict=True):
        assert set(support) <= set(groups[at])
    assert all(len(group) <= MAX_SUPPORT for group in groups)
    found = families(blocks, groups)
    assert sorted(m for family in found for m in family.members) == list(
        range(len(groups))
    )
    for family in found:
        for member, anchor, held in zip(
            family.members, family.anchors, family.blocks, strict=True
        ):
            used = [number for number in held if number is not None]
            assert sorted(used) == sorted(light_cone(blocks, groups[member]))
            assert in_order(blocks, used)
            for slot, number in zip(family.slots, held, strict=True):
                if number is not None:
                    assert tuple(q + anchor for q in slot) == blocks[number]
            assert {q - anchor for q in groups[member]} <= set(family.support)
        assert set(family.support) <= {q for slot in family.slots for q in slot}


@pytest.mark.parametrize(("topology", "most"), [("brickwork", 2), ("chain", 1)])
def test_cones_of_a_long_register_share_few_shapes(topology, most):
    """However many qubits there are: compile time would grow with the shapes."""
    for n_qubits in (20, 40):
        blocks = layout(tq.hardware_efficient(n_qubits, 1, topology=topology), 2)
        singles = tuple((qubit,) for qubit in range(n_qubits))
        groups, _ = group_supports(blocks, singles)
        assert len(families(blocks, groups)) <= most


def test_supports_with_one_cone_are_read_together():
    """The last layer's blocks of a brickwork read both their qubits."""
    blocks = layout(tq.hardware_efficient(8, 1, topology="brickwork"))
    groups, place = group_supports(blocks, tuple((q,) for q in range(8)))
    assert {1, 2} <= set(groups[place[1]]) and place[1] == place[2]
    assert place[3] == place[4] != place[1]
