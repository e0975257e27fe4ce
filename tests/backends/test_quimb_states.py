"""States to quimb and back: the same amplitudes, entropies and readouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quimb.tensor as qtn
from tolerances import EXACT

import tnqrnn as tq

BACKENDS = {
    "statevector": tq.Statevector("complex128"),
    "mps-1": tq.MPS(1, dtype="complex128"),
    "mps-3": tq.MPS(3, dtype="complex128"),
    "mps-16": tq.MPS(16, dtype="complex128"),
}
N = 7


ANSATZ = tq.hardware_efficient(N, n_layers=1)


def scrambled(backend, rng):
    angles = rng.normal(size=ANSATZ.n_params)
    return backend.evolve(ANSATZ, angles, backend.init(N))


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_quimb_sees_the_same_state(backend, rng):
    state = scrambled(backend, rng)
    foreign = state.to_quimb()
    vector = foreign.to_dense().ravel()
    np.testing.assert_allclose(
        vector, backend.to_statevector(state), atol=EXACT["complex128"]
    )
    entropies = [
        0.0 if foreign.bond_size(cut - 1, cut) == 1 else foreign.entropy(cut)
        for cut in range(1, N)
    ]
    np.testing.assert_allclose(backend.entropies(state), entropies, atol=1e-8)
    assert backend.entropy(state, 3) == pytest.approx(entropies[2], abs=1e-8)


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_there_and_back(backend, rng):
    """The state that comes back is read, and goes on, like the one that went."""
    state = scrambled(backend, rng)
    again = backend.from_quimb(state.to_quimb())
    assert jax.tree.structure(again) == jax.tree.structure(state)
    angles = rng.normal(size=ANSATZ.n_params)
    both = [backend.evolve(ANSATZ, angles, s) for s in (state, again)]
    for before, after in ((state, again), both):
        np.testing.assert_allclose(
            backend.expectation("xyz", before),
            backend.expectation("xyz", after),
            atol=EXACT["complex128"],
        )


def test_a_foreign_state_at_a_sufficient_bond():
    """A random state of bond 4 on 9 qubits, taken by two engines, read by quimb."""
    foreign = qtn.MPS_rand_state(9, 4, dtype="complex128", seed=1)
    expected = [foreign.local_expectation_canonical(z(), i) for i in range(9)]
    for backend in (tq.MPS(4, dtype="complex128"), BACKENDS["statevector"]):
        state = backend.from_quimb(foreign)
        np.testing.assert_allclose(backend.norm(state), 1, atol=EXACT["complex128"])
        np.testing.assert_allclose(
            backend.expectation("z", state), np.real(expected), atol=EXACT["complex128"]
        )
    np.testing.assert_allclose(foreign.norm(), 1)


def z():
    return np.diag([1.0, -1.0]).astype(complex)


def test_what_is_refused(rng):
    backend = tq.MPS(2, dtype="complex128")
    with pytest.raises(TypeError, match="MatrixProductState, got ndarray"):
        backend.from_quimb(np.ones(2**N) / 2 ** (N / 2))
    with pytest.raises(ValueError, match="max_bond=2, got 8"):
        backend.from_quimb(qtn.MPS_rand_state(N, 8, dtype="complex128"))
    with pytest.raises(ValueError, match="norm 1, got 2"):
        backend.from_quimb(2 * qtn.MPS_rand_state(N, 2, dtype="complex128"))
    with pytest.raises(ValueError, match="open boundaries"):
        backend.from_quimb(qtn.MPS_rand_state(N, 2, cyclic=True))
    with pytest.raises(ValueError, match=r"dimension 2, got \[3\]"):
        backend.from_quimb(qtn.MPS_rand_state(N, 2, phys_dim=3))
    for backend in (BACKENDS["mps-3"], BACKENDS["statevector"]):
        state = scrambled(backend, rng)
        batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state)
        with pytest.raises(ValueError, match="one sample"):
            batch.to_quimb()
