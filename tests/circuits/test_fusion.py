"""Fused blocks multiply to the circuit, and patterns are built together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import EXACT

import tnqrnn as tq
from tnqrnn.circuits import TOPOLOGIES
from tnqrnn.circuits.ansatz import apply_matrix
from tnqrnn.circuits.fusion import fuse
from tnqrnn.circuits.unitaries import Unitaries
from tnqrnn.testing import pool


@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("ansatz", pool(6), ids=lambda a: f"{a.n_qubits}q")
def test_blocks_in_order_are_the_circuit(ansatz, width, rng):
    angles = jnp.asarray(rng.normal(size=ansatz.n_params))
    blocks = fuse(ansatz, width)
    matrix = jnp.eye(2**ansatz.n_qubits, dtype="complex128")
    unitaries = Unitaries(blocks, angles, "complex128")
    for block in blocks:
        assert len(block.qubits) <= width
        assert block.qubits == tuple(sorted(block.qubits))
        small = unitaries[block]
        matrix = apply_matrix(small, matrix, block.qubits, ansatz.n_qubits)
    expected = ansatz.unitary(angles, "complex128")
    np.testing.assert_allclose(matrix, expected, atol=EXACT["complex128"])
    assert sum(len(block.gates) for block in blocks) == len(ansatz.gates)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_neighbouring_gates_stay_in_neighbouring_blocks(topology):
    for block in fuse(tq.hardware_efficient(12, topology=topology), 4):
        reach = max(max(g.qubits) - min(g.qubits) for g in block.gates)
        assert block.qubits[-1] - block.qubits[0] < 4 or reach >= 4


def test_a_chain_needs_few_blocks():
    blocks = fuse(tq.hardware_efficient(14), 4)
    assert len(blocks) <= 10  # a layer of ten groups of 4 twice over would be 10


def test_operations_to_compile_do_not_grow_with_the_circuit():
    def size(n_qubits):
        ansatz = tq.hardware_efficient(n_qubits)
        blocks = tuple(b for b in fuse(ansatz, 2) if len(b.qubits) == 2)
        angles = jnp.zeros(ansatz.n_params)

        def build(angles):
            return Unitaries(blocks, angles, "complex64").stack(blocks, 2)

        kinds = [eqn.primitive.name for eqn in jax.make_jaxpr(build)(angles).eqns]
        return sum(kind in ("dot_general", "cos", "sin") for kind in kinds)

    assert size(20) == size(10)
