"""The limit on updates relative to the arrays that they change."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_training import linear, small_task

from tnqrnn.training import fit
from tnqrnn.training.update_limit import limit_updates


def _limited(updates, params, **options):
    transformation = limit_updates(**options)
    return transformation.update(updates, transformation.init(params), params)[0]


def _rms(array):
    return np.sqrt(np.mean(np.abs(array) ** 2))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_a_long_update_keeps_its_direction_and_gets_the_length_allowed(dtype):
    rng = np.random.default_rng(0)
    array, update = jnp.asarray(rng.normal(size=(2, 5, 3)), dtype)
    short = _limited(update, array, limit=0.1, floor=1e-3)
    assert short.dtype == update.dtype
    np.testing.assert_allclose(_rms(short), 0.1 * _rms(array), rtol=1e-6)
    cosine = (
        np.vdot(short, update).real / np.linalg.norm(short) / np.linalg.norm(update)
    )
    np.testing.assert_allclose(cosine, 1, rtol=1e-6)


def test_an_update_within_the_limit_keeps_its_bits():
    array, update = jnp.full(4, 2.0), jnp.asarray([0.01, -0.03, 0.02, 0.0])
    np.testing.assert_array_equal(_limited(update, array, limit=0.02), update)


def test_arrays_are_limited_each_by_itself():
    params = {"small": jnp.full(3, 0.1), "large": jnp.full(3, 10.0)}
    updates = {"small": jnp.full(3, 0.1), "large": jnp.full(3, 0.1)}
    short = _limited(updates, params, limit=0.02, floor=1e-3)
    np.testing.assert_allclose(short["small"], 0.002, rtol=1e-6)
    np.testing.assert_array_equal(short["large"], updates["large"])


def test_zeros_move_by_the_limit_times_the_floor_and_no_update_stays_none():
    zeros = jnp.zeros(3)
    moved = _limited(jnp.ones(3), zeros, limit=0.5, floor=0.25)
    np.testing.assert_allclose(moved, 0.125, rtol=1e-6)
    np.testing.assert_array_equal(_limited(zeros, zeros), zeros)


def test_it_limits_each_step_of_a_training_run():
    """Weights grow at most by the limit a step, however large the rate."""
    model, task = linear(), small_task()
    n_steps = len(task.train) // 16
    optimizer = optax.chain(optax.adam(100.0), limit_updates(0.01, floor=1e-3))
    options = {"epochs": 1, "batch_size": 16, "progress": False}
    last = fit(model, task, optimizer=optimizer, **options).last
    growth = _rms(last.weight) / _rms(model.weight)
    assert 0.99**n_steps <= growth <= 1.01**n_steps
    assert not np.array_equal(last.weight, model.weight)


@pytest.mark.parametrize("argument", ["limit", "floor"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "0.1"])
def test_what_is_no_positive_number_is_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be a finite number"):
        limit_updates(**{argument: value})
