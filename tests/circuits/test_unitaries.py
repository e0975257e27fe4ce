"""Blocks that resemble each other are built together, and only those."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import EXACT

import tnqrnn as tq
from tnqrnn.circuits import ENTANGLERS, TOPOLOGIES
from tnqrnn.circuits.ansatz import apply_matrix
from tnqrnn.circuits.fusion import fuse
from tnqrnn.circuits.unitaries import Unitaries, group_blocks, template_of


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(item in rest for item in part)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_a_template_holds_every_gate_of_its_blocks(topology, width):
    blocks = fuse(tq.hardware_efficient(9, topology=topology), width)
    groups = group_blocks(blocks)
    assert {block for group in groups for block in group} == set(blocks)
    assert sum(map(len, groups)) == len(blocks)
    for members in groups:
        template = template_of(members)
        for j, block in enumerate(members):
            assert is_subsequence(block.pattern, template.slots)
            there = [gates[j] for gates in template.gates if gates[j] is not None]
            assert tuple(there) == block.gates
        pairs = sum(len(g.qubits) == 2 for block in members for g in block.gates)
        assert template.cost <= 2 * pairs


def test_a_chain_is_one_template():
    for n_qubits in (8, 10, 14, 20):  # blocks of 4 on all of them
        assert len(group_blocks(fuse(tq.hardware_efficient(n_qubits), 4))) == 1


@pytest.mark.parametrize("entangler", ENTANGLERS)
@pytest.mark.parametrize("width", [3, 5])
def test_identities_fill_a_template(entangler, width, rng):
    """Entanglers with and without an angle, at random angles."""
    ansatz = tq.hardware_efficient(7, entangler=entangler)
    angles = jnp.asarray(rng.normal(size=ansatz.n_params))
    blocks = fuse(ansatz, width)
    matrix = jnp.eye(2**7, dtype="complex128")
    unitaries = Unitaries(blocks, angles, "complex128")
    for block in blocks:
        matrix = apply_matrix(unitaries[block], matrix, block.qubits, 7)
    expected = ansatz.unitary(angles, "complex128")
    np.testing.assert_allclose(matrix, expected, atol=EXACT["complex128"])


def test_gradients_of_block_matrices(rng):
    """Against the circuit's own matrix, built gate by gate."""
    ansatz = tq.hardware_efficient(5, entangler="cry", topology="ring")
    weights = jnp.asarray(rng.normal(size=(2, 32, 32)) @ np.ones(32))
    blocks = fuse(ansatz, 3)

    def value(matrix):
        column = matrix[:, 0]
        return weights[0] @ column.real + weights[1] @ column.imag

    def by_blocks(angles):
        column = jnp.eye(32, dtype="complex128")[:, :1]
        unitaries = Unitaries(blocks, angles, "complex128")
        for block in blocks:
            column = apply_matrix(unitaries[block], column, block.qubits, 5)
        return value(column)

    angles = jnp.asarray(rng.normal(size=ansatz.n_params))
    actual = jax.grad(by_blocks)(angles)
    expected = jax.grad(lambda a: value(ansatz.unitary(a, "complex128")))(angles)
    np.testing.assert_allclose(actual, expected, atol=EXACT["complex128"])


def test_stacks_are_in_the_order_asked_for(rng):
    """Blocks of several groups, some twice, and the identity between them."""
    names = ["rxx", "crz", "cnot", "rxx"]
    gates = [(name, (2 * i, 2 * i + 1), i) for i, name in enumerate(names)]
    gates[2] = gates[2][:2]
    ansatz = tq.Ansatz(8, [("ry", 0, 2), ("rz", 7, 4), *gates])
    blocks = fuse(ansatz, 2)
    angles = jnp.asarray(rng.normal(size=ansatz.n_params))
    unitaries = Unitaries(blocks, angles, "complex128")
    assert len(group_blocks(blocks)) > 1
    chosen = [blocks[-1], None, *blocks, blocks[0]]
    stack = unitaries.stack(chosen, 2)
    for block, matrix in zip(chosen, stack, strict=True):
        expected = jnp.eye(4) if block is None else unitaries[block]
        np.testing.assert_array_equal(matrix, expected)
