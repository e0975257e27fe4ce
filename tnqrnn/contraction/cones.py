"""Light cones: the blocks of a circuit that the state of a few qubits depends on.

Two layers of a brickwork on eight qubits, time running to the right; the state of
qubits 3 and 4 depends on the blocks marked ``#`` and on nothing else::

    0 -.-----.----
    1 -'-#---'-.--
    2 -#-#-#---'--
    3 -#-#-#-#----
    4 -#-#-#-#----
    5 -#-#-#---.--
    6 -.-#---.-'--
    7 -'-----'----

Seen from qubit 3 this cone looks like that of qubits 5 and 6 from qubit 5. Cones alike
have one network geometry, one plan and one batched contraction. A cone that lacks some
blocks of another, at the register's end or in a staircase, joins it with identities in
their places.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from tnqrnn.circuits.joins import join, locate

QubitSets = tuple[tuple[int, ...], ...]
"""The qubits of each block of a circuit, in the order in which the blocks act."""

MAX_SUPPORT = 4
"""Qubits of the largest density matrix, asked for or read from."""

WIDENING = 1.25
"""Slots that a family may have for each block of its largest cone."""


@dataclass(frozen=True)
class Family:
    """Light cones of one shape.

    Attributes:
        support: the qubits whose state is asked for, relative to an anchor.
        slots: the qubits of each block, relative to the anchor, in order; every qubit
            of the support is in one.
        members: the places of the cones' supports in what :func:`families` was given.
        anchors: for each member, the qubit that others are counted from.
        blocks: for each member and slot the number of its block there, ``None`` for the
            identity.
    """

    support: tuple[int, ...]
    slots: QubitSets
    members: tuple[int, ...]
    anchors: tuple[int, ...]
    blocks: tuple[tuple[int | None, ...], ...]


def light_cone(blocks: QubitSets, support: Sequence[int]) -> tuple[int, ...]:
    """Numbers of the blocks that the state of some qubits depends on.

    They are in an order in which the blocks may act, the same for cones that look
    alike: by the number of blocks that must follow, then by qubit.

    >>> light_cone(((2, 3), (0, 1), (1, 2), (0, 1)), [2])
    (1, 0, 2)
    """
    after = dict.fromkeys(support, 0)
    level = {}
    for number in reversed(range(len(blocks))):
        qubits = blocks[number]
        if any(qubit in after for qubit in qubits):  # others cancel with their adjoints
            level[number] = 1 + max(after.get(qubit, 0) for qubit in qubits)
            after.update(dict.fromkeys(qubits, level[number]))
    return tuple(sorted(level, key=lambda number: (-level[number], blocks[number])))


@functools.lru_cache(maxsize=256)
def group_supports(
    blocks: QubitSets, supports: QubitSets
) -> tuple[QubitSets, tuple[int, ...]]:
    """Sets of qubits whose expectations are read from one density matrix.

    Supports join, up to ``MAX_SUPPORT`` qubits, when one of their cones holds the
    other, so that nothing more has to be contracted for both than for one.

    Args:
        blocks: the circuit.
        supports: sets of qubits, each ascending.

    Returns:
        the groups' qubits, ascending, and the place of each support's group.
    """
    groups: list[set[int]] = []
    group_of = []
    # Blocks in a cone: where the joint one has no more than the larger one, it is that.
    size = functools.cache(lambda qubits: len(light_cone(blocks, qubits)))
    for support in supports:
        for number, group in enumerate(groups):
            joined = group.union(support)
            if joined == group or (
                len(joined) <= MAX_SUPPORT
                and size(frozenset(joined))
                == max(size(frozenset(group)), size(frozenset(support)))
            ):
                groups[number] = joined
                break
        else:
            number = len(groups)
            groups.append(set(support))
        group_of.append(number)
    return tuple(tuple(sorted(group)) for group in groups), tuple(group_of)


@functools.lru_cache(maxsize=256)
def families(
    blocks: QubitSets, supports: QubitSets, relative: bool = True
) -> tuple[Family, ...]:
    """The light cones of some sets of qubits, those alike together.

    A cone joins a family while no more than half of the family's blocks are identities,
    and its largest cone has most of the slots.

    Args:
        blocks: the circuit.
        supports: sets of qubits, each ascending and not empty.
        relative: whether cones at different places may be alike; they are not if the
            circuit does not start in 0...0.
    """
    members: list[list[_Cone]] = []
    shapes: list[_Shape] = []
    for place, support in enumerate(supports):
        cone = _Cone(place, light_cone(blocks, support), support[0] if relative else 0)
        shape = _Shape.of(cone, blocks, support)
        for number, cones in enumerate(members):
            joined = shapes[number].joined(shape)
            n_blocks = [len(member.numbers) for member in (*cones, cone)]
            # An identity costs as much as a block, so too many of them cost more than a
            # family of its own saves.
            if (
                len(joined.support) <= max(MAX_SUPPORT, len(support))
                and len(joined.slots) <= WIDENING * max(n_blocks)
                and len(joined.slots) * len(n_blocks) <= 2 * sum(n_blocks)
            ):
                cones.append(cone)
                shapes[number] = joined
                break
        else:
            members.append([cone])
            shapes.append(shape)
    return tuple(
        _family(blocks, cones, shape)
        for cones, shape in zip(members, shapes, strict=True)
    )


@dataclass(frozen=True)
class _Cone:
    """A support's place, its light cone and the qubit that others are counted from."""

    place: int
    numbers: tuple[int, ...]
    anchor: int


@dataclass(frozen=True)
class _Shape:
    """Support and slots of a family in the making."""

    support: tuple[int, ...]
    slots: QubitSets

    @classmethod
    def of(cls, cone: _Cone, blocks: QubitSets, support: Sequence[int]) -> "_Shape":
        relative = tuple(qubit - cone.anchor for qubit in support)
        return cls(relative, _slots(cone, blocks))

    def joined(self, other: "_Shape") -> "_Shape":
        support = tuple(sorted({*self.support, *other.support}))
        return _Shape(support, join(self.slots, other.slots))


def _slots(cone: _Cone, blocks: QubitSets) -> QubitSets:
    return tuple(tuple(q - cone.anchor for q in blocks[i]) for i in cone.numbers)


def _family(blocks: QubitSets, cones: Sequence[_Cone], shape: _Shape) -> Family:
    """Cones of one shape, each with its own block or the identity in every slot.

    A qubit of the support on which no block acts gets a slot of its own, first, so that
    it has a leg in the network.
    """
    slots = shape.slots
    touched = {qubit for slot in slots for qubit in slot}
    idle = tuple((qubit,) for qubit in shape.support if qubit not in touched)
    numbers = tuple(
        tuple(
            None if place is None else cone.numbers[place]
            for place in (*(None for _ in idle), *locate(slots, _slots(cone, blocks)))
        )
        for cone in cones
    )
    return Family(
        shape.support,
        idle + slots,
        tuple(cone.place for cone in cones),
        tuple(cone.anchor for cone in cones),
        numbers,
    )
