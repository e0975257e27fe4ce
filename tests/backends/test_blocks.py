"""A block on a dense state: products, cotangents and readouts, wherever it lies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import EXACT

import tnqrnn as tq
from tnqrnn.backends.statevector.blocks import (
    adjoint,
    apply_block,
    as_parts,
    block_cotangent,
)
from tnqrnn.backends.statevector.readout import (
    pauli_expectations,
    pull_back_expectations,
)
from tnqrnn.circuits.ansatz import apply_matrix

pytestmark = pytest.mark.usefixtures("algorithms")
N_QUBITS = 9
PLACES = [(0, 1), (0, 1, 2), (2, 3, 4), (5, 6, 7, 8), (8,), (0, 8), (1, 2, 5, 6), (3,)]


def make(rng, *shape):
    return jnp.asarray(rng.normal(size=shape))


@pytest.mark.parametrize("qubits", PLACES, ids=str)
def test_a_block_is_its_matrix(qubits, rng):
    d = 2 ** len(qubits)
    matrix, parts = make(rng, 2, d, d), make(rng, 2, 2**N_QUBITS)
    small = jax.lax.complex(*matrix)
    column = jax.lax.complex(*parts)[:, None]
    expected = apply_matrix(small, column, qubits, N_QUBITS)[:, 0]
    actual = jax.lax.complex(*apply_block(matrix, parts, qubits))
    np.testing.assert_allclose(actual, expected, atol=EXACT["complex128"])
    np.testing.assert_array_equal(as_parts(small), matrix)
    np.testing.assert_array_equal(jax.lax.complex(*adjoint(matrix)), small.conj().T)


@pytest.mark.parametrize("qubits", PLACES, ids=str)
def test_cotangents_are_those_of_autodiff(qubits, rng):
    d = 2 ** len(qubits)
    matrix, parts = make(rng, 2, d, d), make(rng, 2, 2**N_QUBITS)
    cotangent = make(rng, 2, 2**N_QUBITS)
    _, pull_back = jax.vjp(lambda m, s: apply_block(m, s, qubits), matrix, parts)
    by_matrix, by_state = pull_back(cotangent)
    atol = EXACT["complex128"]
    actual = block_cotangent(cotangent, parts, qubits)
    np.testing.assert_allclose(actual, by_matrix, atol=atol)
    actual = apply_block(adjoint(matrix), cotangent, qubits)
    np.testing.assert_allclose(actual, by_state, atol=atol)


@pytest.mark.parametrize(
    "observables",
    ["xyz", "z", "xyz+zz", ["X0 Z8", "I", "Y3 Y4", "X0 Y1 Z2 X3 Y4 Z5", "Z8"]],
    ids=str,
)
def test_the_cotangent_of_readouts_is_that_of_autodiff(observables, rng):
    strings = tq.parse_observables(observables, N_QUBITS)
    parts, dz = make(rng, 2, 2**N_QUBITS), make(rng, len(strings))
    _, pull_back = jax.vjp(lambda s: pauli_expectations(s, strings), parts)
    (expected,) = pull_back(dz)
    rest = make(rng, 2, 2**N_QUBITS)
    actual = pull_back_expectations(parts, strings, dz, rest)
    np.testing.assert_allclose(actual, rest + expected, atol=EXACT["complex128"])
