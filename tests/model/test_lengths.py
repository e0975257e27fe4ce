"""Samples of different lengths in one batch: each is what it is alone."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import EXACT

import tnqrnn as tq

N_STEPS, BATCH = 3, 3
MODES = {
    "statevector": ("reversible", "checkpoint", "store"),
    "mps": ("checkpoint", "store"),
    "network": ("checkpoint", "store"),
    "lstm": ("checkpoint", "store"),
}
CASES = [(name, mode) for name, modes in MODES.items() for mode in modes]


@functools.cache
def make_cell(name, dtype="complex128"):
    real = "float64" if dtype == "complex128" else "float32"
    if name == "lstm":
        return tq.cells.LSTM(2, 3, dtype=real, key=jax.random.key(0))
    backend = {
        "statevector": tq.Statevector(dtype),
        "mps": tq.MPS(2, dtype=dtype),  # four qubits need four: it truncates
        "network": tq.Network(dtype),
    }[name]
    return tq.QRNNCell(
        2,
        tq.hardware_efficient(2 if name == "network" else 4, n_layers=1),
        controller=tq.Controller("tanh", (4,), init_scale=3.0),
        backend=backend,
        key=jax.random.key(0),
    )


def padded(xs, lengths, padding):
    steps = np.arange(xs.shape[1])[None, :, None]
    return jnp.where(steps < np.asarray(lengths)[:, None, None], xs, padding)


def scalar(cell, rollout):
    """A number that depends on readouts and final state of every sample, (B,)."""
    z = rollout.readouts
    carry = rollout.carry
    last = carry.readouts if hasattr(carry, "readouts") else carry[0]
    weights = jnp.sin(jnp.arange(1.0, 1.0 + last.shape[-1]))
    return jnp.sin(z[:, -1] + last) @ weights


@functools.partial(jax.jit, static_argnums=(0, 1))
def results(name, mode, params, xs, lengths, shares):
    """Readouts, final amplitudes, and gradients of a weighted sum over samples."""
    static = eqx.filter(make_cell(name), eqx.is_inexact_array, inverse=True)

    def loss(params, xs):
        cell = eqx.combine(params, static)
        rollout = tq.unroll(cell, xs, lengths=lengths, gradient=mode)
        return scalar(cell, rollout) @ shares, rollout

    gradients, rollout = jax.grad(loss, (0, 1), has_aux=True)(params, xs)
    state = rollout.carry
    if hasattr(state, "state"):
        vector = eqx.combine(params, static).engine.to_statevector
        state = jax.vmap(vector)(state.state)
    return rollout.readouts, state, gradients


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_padded_batch_is_each_sample_alone(name, mode):
    params = eqx.filter(make_cell(name), eqx.is_inexact_array)

    @settings(max_examples=5)
    @given(
        st.lists(st.integers(1, N_STEPS), min_size=BATCH, max_size=BATCH),
        st.sampled_from([0.0, 1e30, np.inf, np.nan]),
        st.integers(0, 2**31),
    )
    def check(lengths, padding, seed):
        rng = np.random.default_rng(seed)
        xs = jnp.asarray(rng.normal(size=(BATCH, N_STEPS, 2)))
        shares = jnp.asarray(rng.uniform(0.5, 1.5, BATCH))
        arguments = padded(xs, lengths, padding), jnp.asarray(lengths), shares
        zs, states, (dparams, dxs) = results(name, mode, params, *arguments)
        expected = jax.tree.map(jnp.zeros_like, params)
        close = functools.partial(np.testing.assert_allclose, atol=1e-10)
        for b, length in enumerate(lengths):
            alone = xs[b : b + 1, :length], None, shares[b : b + 1]
            z, state, (dparam, dx) = results(name, mode, params, *alone)
            close(zs[b, :length], z[0])
            close(zs[b, length:], np.broadcast_to(z[0, -1:], zs[b, length:].shape))
            jax.tree.map(lambda a, c, b=b: close(a[b], c[0]), states, state)
            close(dxs[b, :length], dx[0])
            assert not np.any(dxs[b, length:])
            expected = jax.tree.map(jnp.add, expected, dparam)
        assert eqx.tree_equal(dparams, expected, rtol=0, atol=1e-9)

    check()


def test_single_precision_and_the_truncation_record():
    cell = make_cell("mps", "complex64")
    xs = jax.random.normal(jax.random.key(3), (BATCH, N_STEPS, 2), "float32")
    batch = tq.unroll(cell, padded(xs, [3, 1, 2], jnp.nan), lengths=[3, 1, 2])
    for b, length in enumerate([3, 1, 2]):
        alone = tq.unroll(cell, xs[b, :length])
        np.testing.assert_allclose(
            batch.readouts[b, :length], alone.readouts, atol=EXACT["complex64"]
        )
        lost = batch.truncation.log_fidelity[b]
        np.testing.assert_allclose(
            lost[:length], alone.truncation.log_fidelity, atol=EXACT["complex64"]
        )
        assert (lost[length:] == lost[length - 1]).all()
    assert float(-batch.truncation.log_fidelity[0, -1]) > 1e-3  # it does truncate


def test_one_sequence_has_one_length():
    cell = make_cell("statevector")
    xs = np.linspace(-1, 1, 8).reshape(4, 2)
    whole = tq.unroll(cell, xs, lengths=2)
    np.testing.assert_allclose(
        whole.readouts[:2], tq.unroll(cell, xs[:2]).readouts, atol=1e-12
    )
    assert (whole.readouts[2:] == whole.readouts[1:2]).all()


def test_reversible_memory_with_lengths_does_not_grow_with_the_sequence():
    """XLA's own analysis; a state at n=12 takes 32 KiB."""
    n_qubits, state = 12, 2**12 * 8
    cell = tq.QRNNCell(3, tq.hardware_efficient(n_qubits), key=jax.random.key(0))

    def temporary(n_steps):
        params, static = eqx.partition(cell, eqx.is_inexact_array)

        def loss(params, xs, lengths):
            rollout = tq.unroll(eqx.combine(params, static), xs, lengths=lengths)
            return jnp.sum(rollout.readouts[:, -1])

        xs = jax.ShapeDtypeStruct((2, n_steps, 3), "float32")
        lengths = jax.ShapeDtypeStruct((2,), "int32")
        program = jax.jit(jax.grad(loss)).lower(params, xs, lengths).compile()
        return program.memory_analysis().temp_size_in_bytes

    growth = (temporary(512) - temporary(16)) / (512 - 16)
    assert growth < 2 * 0.1 * state


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_a_pooled_head_sees_each_samples_own_steps(pool):
    model = tq.SequenceClassifier(
        make_cell("statevector"), 3, pool=pool, key=jax.random.key(1)
    )
    xs = jax.random.normal(jax.random.key(2), (2, N_STEPS, 2), "float64")
    logits = model(padded(xs, [3, 2], jnp.nan), lengths=[3, 2])
    for b, length in enumerate([3, 2]):
        alone = tq.unroll(model.cell, xs[b, :length]).readouts
        seen = {"last": alone[-1], "mean": alone.mean(0), "max": alone.max(0)}[pool]
        np.testing.assert_allclose(logits[b], model.head(seen), atol=1e-10)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([0, 2], r"lengths must be integers in \[1, 4\], got values from 0 to 2"),
        ([2, 5], r"lengths must be integers in \[1, 4\], got values from 2 to 5"),
        ([2.0, 3.0], r"integers in \[1, 4\], got float64 values"),
        ([2], r"lengths must be of shape \(2,\), got \(1,\)"),
        (3, r"lengths must be of shape \(2,\), got \(\)"),
    ],
)
def test_lengths_out_of_range_are_refused(lengths, message):
    with pytest.raises(ValueError, match=message):
        tq.unroll(make_cell("statevector"), np.zeros((2, 4, 2)), lengths=lengths)


def test_what_is_not_finite_before_the_end_is_still_refused():
    xs = np.zeros((2, 4, 2))
    xs[1, 1, 0] = np.nan
    with pytest.raises(ValueError, match="xs must be finite, got 1 NaN"):
        tq.unroll(make_cell("statevector"), xs, lengths=[4, 2])
    tq.unroll(make_cell("statevector"), xs, lengths=[4, 1])
