"""``MPS(on_truncation=..., budget=...)``: silence, warnings and errors."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tnqrnn as tq

XS = jax.random.normal(jax.random.key(1), (2, 2, 2), "float32")
LOST = "truncation lost 0.* of the state's weight, budget=0.001 is allowed"


def make_cell(**options):
    """One whose roll-out loses a few percent at ``max_bond=1``."""
    backend = tq.MPS(1, **options)
    controller = tq.Controller("tanh", (4,), init_scale=2.0)
    return tq.QRNNCell(
        2,
        tq.hardware_efficient(3, n_layers=1),
        controller=controller,
        backend=backend,
        key=jax.random.key(0),
    )


def mean_square(cell, xs):
    return jnp.mean(tq.unroll(cell, xs).readouts ** 2)


def test_the_cell_of_these_tests_loses_something():
    lost = -np.expm1(tq.unroll(make_cell(), XS).truncation.log_fidelity[:, -1])
    assert 0.001 < lost.max() < 0.99


def test_eager_calls_name_what_was_lost():
    assert issubclass(tq.TruncationError, RuntimeError)
    for xs in (XS, XS[0]):
        with pytest.raises(tq.TruncationError, match=LOST):
            tq.unroll(make_cell(on_truncation="raise", budget=0.001), xs)
        with pytest.warns(RuntimeWarning, match=LOST):
            warned = tq.unroll(make_cell(on_truncation="warn", budget=0.001), xs)
        expected = tq.unroll(make_cell(), xs)
        np.testing.assert_array_equal(warned.readouts, expected.readouts)


def test_compiled_gradients_check_when_they_run():
    gradient = eqx.filter_jit(eqx.filter_value_and_grad(mean_square))
    expected = gradient(make_cell(), XS)
    with pytest.raises(Exception, match="truncation lost too much .* budget=0.001"):
        strict = make_cell(on_truncation="raise", budget=0.001)
        jax.block_until_ready(gradient(strict, XS))
    with pytest.warns(RuntimeWarning, match=LOST):
        warned = gradient(make_cell(on_truncation="warn", budget=0.001), XS)
        jax.effects_barrier()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = gradient(make_cell(on_truncation="raise", budget=1.0), XS)
        jax.effects_barrier()
    for actual in (warned, silent):
        for a, b in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_training_and_evaluation_raise_the_same_error():
    cell = make_cell(on_truncation="raise", budget=0.001)
    model = tq.SequenceClassifier(cell, 2, key=jax.random.key(2))
    part = (np.asarray(XS), np.array([0, 1]))
    task = tq.Task.from_arrays(part, part, part)
    with pytest.raises(tq.TruncationError, match="budget=0.001 is allowed"):
        tq.evaluate(model, task.test)
    with pytest.raises(tq.TruncationError, match="budget=0.001 is allowed"):
        tq.fit(model, task, epochs=1, batch_size=2, progress=False)
    with pytest.raises(ValueError, match="split must be one of a task's splits"):
        tq.evaluate(model, task)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="on_truncation"):
        tq.MPS(2, on_truncation="panic")
    with pytest.raises(ValueError, match="budget"):
        tq.MPS(2, budget=-0.1)
