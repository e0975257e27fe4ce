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
from tnqrnn.circuits.unitaries import block_unitaries, group_blocks, template_of


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(item in rest for item in part)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_a_template_holds_every_gate_of_its_blocks(topology, width):
    blocks = fuse(tq.hardware_efficient(9, topology=topology), width)
    groups = group_blocks(blocks)
    assert sorted(i for group in groups for i in group) == list(range(len(blocks)))
    for group in groups:
        members = tuple(blocks[i] for i in group)
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
    for block, small in zip(
        blocks, block_unitaries(blocks, angles, "complex128"), strict=True
    ):
        matrix = apply_matrix(small, matrix, block.qubits, 7)
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
        for block, small in zip(
            blocks, block_unitaries(blocks, angles, "complex128"), strict=True
        ):
            column = apply_matrix(small, column, block.qubits, 5)
        return value(column)

    angles = jnp.asarray(rng.normal(size=ansatz.n_params))
    actual = jax.grad(by_blocks)(angles)
    expected = jax.grad(lambda a: value(ansatz.unitary(a, "complex128")))(angles)
    np.testing.assert_allclose(actual, expected, atol=EXACT["complex128"])
