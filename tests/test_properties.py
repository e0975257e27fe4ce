"""Properties over random circuits of one to six qubits, both dtypes.

Structures come from a small pool so that compiled programs are reused; angles and
states are free. The number of examples is the profile's, printed in the header.
"""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from tolerances import EXACT

import tnqrnn as tq
from tnqrnn import testing

dtypes = pytest.mark.parametrize("dtype", ["complex64", "complex128"])
draws = st.data()


@dtypes
@given(testing.circuits())
def test_circuits_are_unitary(dtype, circuit):
    testing.check_unitary(*circuit, dtype)


@dtypes
@given(testing.circuits(), draws)
def test_norm_is_preserved(dtype, circuit, data):
    ansatz, angles = circuit
    start = data.draw(testing.amplitudes(ansatz.n_qubits))
    for backend in (tq.Statevector(dtype), tq.MPS(2, dtype=dtype)):
        testing.check_norm_preserved(backend, ansatz, angles, start)


@dtypes
@given(testing.circuits(), draws)
def test_inner_products_are_preserved(dtype, circuit, data):
    ansatz, angles = circuit
    left, right = (data.draw(testing.amplitudes(ansatz.n_qubits)) for _ in "ab")
    testing.check_inner_products(tq.Statevector(dtype), ansatz, angles, left, right)


@dtypes
@given(testing.circuits(), draws)
def test_a_circuit_and_its_inverse_give_the_state_back(dtype, circuit, data):
    ansatz, angles = circuit
    start = data.draw(testing.amplitudes(ansatz.n_qubits))
    testing.check_inverse(tq.Statevector(dtype), ansatz, angles, start)


@dtypes
@given(testing.circuits())
def test_readouts_stay_within_one_and_the_identity_is_one(dtype, circuit):
    for backend in (tq.Statevector(dtype), tq.MPS(2, dtype=dtype)):
        state = testing.evolve(backend, *circuit)
        testing.check_readouts(backend, state)


@dtypes
@given(testing.circuits())
def test_a_sufficient_bond_dimension_is_exact(dtype, circuit):
    n_qubits = circuit[0].n_qubits
    mps = tq.MPS(2 ** (n_qubits // 2), dtype=dtype)
    testing.check_backends_agree(tq.Statevector(dtype), mps, *circuit)


@given(testing.circuits())
def test_the_readout_bound_holds_and_the_fidelity_is_at_most_one(circuit):
    ansatz, _ = circuit
    exact, mps = tq.Statevector("complex128"), tq.MPS(2, dtype="complex128")
    a, b = (testing.evolve(backend, *circuit) for backend in (exact, mps))
    lost = mps.truncation(b)
    error = np.abs(testing.read(exact, a, "xyz+zz") - testing.read(mps, b, "xyz+zz"))
    assert error.max() <= float(lost.readout_bound) + 1e-10
    assert float(lost.log_fidelity) <= 1e-12
    assert lost.discarded_weight.shape == (ansatz.n_qubits - 1,)
    assert float(lost.discarded_weight.min(initial=0)) >= 0


@functools.partial(jax.jit, static_argnums=(0, 1))
def read_batch(backend, ansatz, angles):
    def read(angles):
        state = backend.evolve(ansatz, angles, backend.init(ansatz.n_qubits))
        return backend.expectation("xyz", state)

    return jax.vmap(read)(angles)


@dtypes
@given(testing.circuits(), st.integers(0, 10**6))
def test_a_batch_is_a_loop(dtype, circuit, seed):
    ansatz, angles = circuit
    moves = np.random.default_rng(seed).normal(size=(2, len(angles)))
    batch = np.stack([angles, *(angles + moves)])
    backend = tq.Statevector(dtype)
    loop = [
        testing.read(backend, testing.evolve(backend, ansatz, one)) for one in batch
    ]
    values = read_batch(backend, ansatz, jnp.asarray(batch))
    np.testing.assert_allclose(values, loop, atol=EXACT[dtype])


@dtypes
@given(testing.circuits(max_qubits=4))
def test_jit_is_eager(dtype, circuit):
    ansatz, angles = circuit
    backend = tq.Statevector(dtype)
    state = backend.evolve(ansatz, angles, backend.init(ansatz.n_qubits))
    compiled = testing.evolve(backend, ansatz, angles)
    np.testing.assert_allclose(state.parts, compiled.parts, atol=EXACT[dtype])
    values = backend.expectation("xyz", state)
    np.testing.assert_allclose(
        values, testing.read(backend, compiled), atol=EXACT[dtype]
    )


@dtypes
@given(testing.ansaetze(max_qubits=4), st.integers(0, 10**6))
def test_a_sequence_cut_in_two_is_the_whole(dtype, ansatz, seed):
    cell = tq.QRNNCell(
        2,
        ansatz,
        controller=tq.Controller(hidden=(4,), init_scale=1.0),
        backend=tq.Statevector(dtype),
        key=jax.random.key(0),
    )
    xs = np.random.default_rng(seed).normal(size=(4, 2))
    whole = tq.unroll(cell, xs)
    first = tq.unroll(cell, xs[:2])
    second = tq.unroll(cell, xs[2:], carry=first.carry)
    joined = np.concatenate([first.readouts, second.readouts])
    np.testing.assert_allclose(joined, whole.readouts, atol=EXACT[dtype])
    psi, phi = second.carry.state.parts, whole.carry.state.parts
    np.testing.assert_allclose(psi, phi, atol=EXACT[dtype])


class Leaky(tq.Statevector):
    """A backend with a defect: every evolution loses a thousandth of the norm."""

    def evolve(self, ansatz, angles, state):
        good = super().evolve(ansatz, angles, state)
        return type(good)(good.parts * 0.999)


def test_the_ready_made_checks_find_a_defect(rng):
    ansatz = tq.hardware_efficient(3)
    angles = rng.normal(size=ansatz.n_params)
    psi = np.eye(8)[5]
    leaky, exact = Leaky("complex64"), tq.Statevector()
    with pytest.raises(AssertionError, match="the norm: off by 0.001"):
        testing.check_norm_preserved(leaky, ansatz, angles)
    with pytest.raises(AssertionError, match="the state given back: off by"):
        testing.check_inverse(leaky, ansatz, angles, psi)
    with pytest.raises(AssertionError, match="<Ua|Ub>: off by"):
        testing.check_inner_products(leaky, ansatz, angles, psi, psi)
    with pytest.raises(AssertionError, match="<I>: off by"):
        testing.check_readouts(leaky, testing.evolve(leaky, ansatz, angles))
    with pytest.raises(AssertionError, match="readouts of two backends: off by"):
        testing.check_backends_agree(leaky, exact, ansatz, angles)
    cell = tq.QRNNCell(2, ansatz, key=jax.random.key(0))
    testing.check_parameters_finite(cell)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, cell)
    with pytest.raises(AssertionError, match="an array of shape"):
        testing.check_parameters_finite(broken)
