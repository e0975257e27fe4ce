"""Batches in groups and over devices give what one batch on one device gives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import small_task
from tolerances import EXACT, GRADIENT

import tnqrnn as tq
from tnqrnn.backends.statevector import backend as statevector
from tnqrnn.model.batching import in_groups

BACKENDS = {
    "statevector": (tq.Statevector("complex128"), "reversible"),
    "stored": (tq.Statevector("complex128"), "store"),
    "mps": (tq.MPS(2, dtype="complex128"), "checkpoint"),
}


def together(function, shared, batch, size):
    return function(shared, batch)


@settings(max_examples=20)
@given(n_samples=st.integers(1, 7), size=st.integers(1, 8), n_devices=st.integers(1, 2))
def test_groups_are_the_whole(n_samples, size, n_devices):
    seen = []

    def function(shared, batch):
        seen.append(len(batch["x"]))
        return {"y": jnp.sin(batch["x"] * shared), "n": batch["n"]}

    def loss(shared, batch, run):
        result = run(function, shared, batch, size)
        return jnp.sum(result["y"] ** 2 * (1.0 + result["n"][:, None])), result

    batch = {
        "x": jnp.linspace(0.0, 2.0, 3 * n_samples).reshape(n_samples, 3),
        "n": jnp.arange(n_samples).astype(float),
    }
    shared = jnp.asarray([[0.3, -1.0, 2.0]])
    gradient = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True), static_argnums=2)
    expected = gradient(shared, batch, together)
    seen.clear()
    with tq.batch_over_devices(n_devices):
        actual = gradient(shared, batch, in_groups)
    assert seen and max(seen) <= size
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_arrays_without_entries_are_put_together_again():
    """One qubit has no bond that discards; a short history holds no blocks."""
    cell = tq.QRNNCell(
        2, tq.hardware_efficient(1, n_layers=1), observables="z", key=jax.random.key(0)
    )
    xs = jnp.linspace(-1, 1, 2 * 4097).reshape(4097, 1, 2).astype("float32")
    rollout = tq.unroll(cell, xs)
    assert rollout.readouts.shape == (4097, 1, 1)
    assert rollout.truncation.discarded_weight.shape == (4097, 1, 0)
    for backend in (tq.Statevector(), tq.Network(search="never")):
        alone = tq.unroll(cell.with_backend(backend), xs[:4])
        with tq.batch_over_devices(2):
            spread = tq.unroll(cell.with_backend(backend), xs[:4])
        np.testing.assert_allclose(spread.readouts, alone.readouts, atol=1e-6)


def problem(n_qubits, batch, backend):
    ansatz = tq.hardware_efficient(n_qubits)
    cell = tq.QRNNCell(2, ansatz, backend=backend, key=jax.random.key(0))
    return cell, jax.random.normal(jax.random.key(1), (batch, 4, 2), "float64")


@eqx.filter_jit
@eqx.filter_value_and_grad(has_aux=True)
def gradient_of_loss(both, mode):
    cell, xs = both
    rollout = tq.unroll(cell, xs, gradient=mode)
    weights = jnp.arange(1.0, 1.0 + len(xs))[:, None, None]
    return jnp.sum(weights * rollout.readouts**2), rollout


def assert_same(actual, expected):
    """Of :func:`gradient_of_loss`, wherever its arrays lie."""
    (loss, rollout), gradients = actual
    (expected_loss, expected_rollout), expected_gradients = expected
    scale = float(expected_loss)
    assert abs(float(loss) - scale) < EXACT["complex128"] * scale
    for a, b, tolerance in (
        (rollout, expected_rollout, EXACT["complex128"]),
        (gradients, expected_gradients, GRADIENT["complex128"] * scale),
    ):
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "batch"),
    [("statevector", 1), ("statevector", 3), ("stored", 3), ("mps", 3)],
)
def test_two_devices_give_what_one_gives(name, batch):
    backend, mode = BACKENDS[name]
    both = problem(4, batch, backend)
    expected = gradient_of_loss(both, mode)
    with tq.batch_over_devices():
        actual = gradient_of_loss(both, mode)
    assert_same(actual, expected)
    assert len(actual[0][1].readouts.devices()) == 2


def test_a_batch_that_does_not_divide_into_groups():
    """Seventeen samples in four groups of five, two a device, the last filled up."""
    backend = tq.Statevector("complex128")
    both = problem(11, 17, backend)
    states = jax.vmap(lambda _: both[0].init())(both[1]).state
    assert backend.group_size(states) == 8
    with tq.batch_over_devices():
        actual = gradient_of_loss(both, "reversible")
    assert_same(actual, gradient_of_loss(both, "checkpoint"))


def test_a_large_batch_on_an_accelerator_takes_the_memory_of_a_group(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    cell, xs = problem(10, 32, tq.Statevector("complex128"))
    params, static = eqx.partition(cell, eqx.is_array)

    def compiled(samples):
        most = samples * 2**10
        monkeypatch.setattr(statevector, "AMPLITUDES_TO_FILL_AN_ACCELERATOR", most)
        jax.clear_caches()  # the constant is no argument of the compiled programs

        def loss(params):
            rollout = tq.unroll(eqx.combine(params, static), xs)
            return jnp.sum(rollout.readouts**2)

        return jax.jit(jax.value_and_grad(loss)).lower(params).compile()

    whole, groups = compiled(32), compiled(4)
    peaks = [each.memory_analysis().temp_size_in_bytes for each in (whole, groups)]
    jax.clear_caches()
    assert peaks[1] < 0.5 * peaks[0]
    tolerance = GRADIENT["complex128"] * float(whole(params)[0])
    assert eqx.tree_equal(groups(params), whole(params), rtol=0, atol=tolerance)


def test_training_on_two_devices():
    task = small_task()
    cell, _ = problem(2, 1, tq.Statevector("complex128"))
    model = tq.SequenceClassifier(cell, 3, key=jax.random.key(3))

    def train():
        return tq.fit(model, task, epochs=2, batch_size=15, progress=False)

    expected = train()
    with tq.batch_over_devices():
        actual = train()
        scores = tq.evaluate(actual.model, task.test)
    for name in ("train_loss", "valid_loss", "gradient_norm_mean"):
        np.testing.assert_allclose(actual.history[name], expected.history[name])
    assert scores == pytest.approx(tq.evaluate(expected.model, task.test))


def test_devices_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="n_devices must be at most JAX's 2 devices"):
        tq.batch_over_devices(3)
    with pytest.raises(ValueError, match="n_devices"):
        tq.batch_over_devices(0)
