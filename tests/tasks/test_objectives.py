"""Losses against NumPy, batches that cover what they should."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tnqrnn.tasks.objectives import (
    cross_entropy_sums,
    padded_rows,
    shuffled_rows,
)


def cross_entropy(logits, targets, weights):
    sums = cross_entropy_sums(logits, targets, weights, 1)
    return sums["loss"] / sums["weight"]


def accuracy(logits, targets, weights):
    sums = cross_entropy_sums(logits, targets, weights, 1)
    return sums["correct"] / sums["weight"]


@pytest.mark.parametrize("shape", [(4,), (4, 3)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)]
)
def test_loss_and_accuracy_are_weighted_means(shape, dtype, tolerance, rng):
    logits = rng.normal(size=(*shape, 5)).astype(dtype)
    targets = rng.integers(5, size=shape)
    weights = rng.uniform(size=shape).astype(dtype)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    losses = -np.log(np.take_along_axis(shares, targets[..., None], -1)[..., 0])
    hits = logits.argmax(axis=-1) == targets
    arguments = [jnp.asarray(values) for values in (logits, targets, weights)]
    for ours, values in ((cross_entropy, losses), (accuracy, hits)):
        expected = (values * weights).sum() / weights.sum()
        result = ours(*arguments)
        assert result.dtype == dtype and result.shape == ()
        np.testing.assert_allclose(result, expected, rtol=10 * tolerance)


def test_a_masked_step_counts_for_nothing():
    logits, targets = jnp.zeros((1, 2, 4)), jnp.zeros((1, 2), int)
    weights = jnp.array([[1.0, 0.0]])
    spoilt = logits.at[0, 1].set(jnp.array([-99.0, 99.0, 0.0, 0.0]))
    assert cross_entropy(spoilt, targets, weights) == pytest.approx(math.log(4))
    assert accuracy(spoilt, targets, weights) == 1


def test_large_logits_do_not_overflow():
    logits = jnp.array([[1e30, 0.0]], "float32")
    weights = jnp.ones(1, "float32")
    assert cross_entropy(logits, jnp.array([0]), weights) == 0
    assert cross_entropy(logits, jnp.array([1]), weights) == np.float32(1e30)


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 5), st.integers(1, 5))
def test_an_epochs_batches_are_part_of_a_permutation(n, size, seed, epoch):
    size = min(n, size)
    rows = shuffled_rows(n, size, seed=seed, epoch=epoch)
    assert rows.shape == (n // size, size) and rows.dtype == np.int32
    drawn = rows.ravel()
    assert len(set(drawn)) == len(drawn) and set(drawn) <= set(range(n))
    if n % size == 0:
        assert set(drawn) == set(range(n))
    again = shuffled_rows(n, size, seed=seed, epoch=epoch)
    np.testing.assert_array_equal(rows, again)


def test_every_epoch_and_every_seed_has_its_own_order():
    orders = {
        tuple(shuffled_rows(50, 10, seed=seed, epoch=epoch).ravel())
        for seed in range(4)
        for epoch in range(1, 5)
    }
    assert len(orders) == 16


@given(st.integers(1, 100), st.integers(1, 30))
def test_padded_batches_hold_every_sample_once(n, size):
    rows = padded_rows(n, size)
    assert rows.shape == (math.ceil(n / size), size)
    np.testing.assert_array_equal(rows[rows >= 0], np.arange(n))
    assert (rows >= -1).all() and (rows.ravel()[n:] == -1).all()
