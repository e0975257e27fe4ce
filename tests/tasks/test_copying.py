"""Copying memory: the published protocol, decoded from the arrays."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tnqrnn.tasks import load_task

_SMALL = {"n_train": 3, "n_valid": 2, "n_test": 1}


@given(st.integers(1, 12), st.integers(1, 6), st.integers(2, 5), st.integers(0, 99))
def test_targets_can_be_decoded_from_the_inputs(delay, n_symbols, alphabet_size, seed):
    task = load_task(
        "copying",
        delay=delay,
        n_symbols=n_symbols,
        alphabet_size=alphabet_size,
        seed=seed,
        **_SMALL,
    )
    blank, delimiter = alphabet_size, alphabet_size + 1
    n_steps = delay + 2 * n_symbols
    assert (task.input_size, task.n_classes) == (alphabet_size + 2, alphabet_size + 1)
    for size, split in zip((3, 2, 1), task.splits.values(), strict=True):
        assert split.inputs.shape == (size, n_steps, alphabet_size + 2)
        assert set(np.unique(split.inputs)) == {0, 1}
        np.testing.assert_array_equal(split.inputs.sum(axis=2), 1)
        tokens = split.inputs.argmax(axis=2)
        for sequence, targets in zip(tokens, split.targets, strict=True):
            (marked,) = np.flatnonzero(sequence == delimiter)
            assert marked == n_symbols - 1 + delay
            symbols = sequence[:n_symbols]
            assert symbols.max() < alphabet_size
            rest = np.delete(sequence[n_symbols:], marked - n_symbols)
            np.testing.assert_array_equal(rest, blank)
            np.testing.assert_array_equal(targets[: marked + 1], blank)
            np.testing.assert_array_equal(targets[marked + 1 :], symbols)


@pytest.mark.parametrize(
    ("delay", "published"), [(100, 0.1733), (200, 0.0945), (500, 0.0400)]
)
def test_the_baseline_is_the_published_one(delay, published):
    """K ln 8 / (delay + 2 K) with K = 10, as Kiani et al. 2022 give it."""
    task = load_task("copying", delay=delay, **_SMALL)
    assert task.baseline == pytest.approx(published, abs=5e-5)


@pytest.mark.parametrize("count", ["all", "recall"])
def test_the_baseline_is_the_loss_of_a_model_that_knows_only_the_step(count):
    task = load_task("copying", delay=4, n_symbols=3, count=count, **_SMALL)
    log_p = np.full((10, 9), -np.inf)
    log_p[:7, 8] = 0.0  # blank, certainly
    log_p[7:, :8] = -math.log(8)  # any symbol
    split = task.train
    losses = -log_p[np.arange(10), split.targets]
    weights = np.ones((3, 10)) if split.mask is None else split.mask
    assert (losses * weights).sum() / weights.sum() == pytest.approx(task.baseline)
    assert (split.mask is None) == (count == "all")
    assert weights.sum() == {"all": 30, "recall": 9}[count]


def test_the_seed_alone_decides_the_sequences():
    one, same, other = (load_task("copying", seed=s, **_SMALL) for s in (1, 1, 2))
    for name in one.splits:
        a, b, c = (task.splits[name].targets for task in (one, same, other))
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    assert one.options["seed"] == 1 and one.options["delay"] == 100


def test_symbols_are_uniform():
    task = load_task("copying", delay=1, n_train=2000, n_valid=1, n_test=1)
    counts = np.bincount(task.train.targets[:, -10:].ravel(), minlength=8)
    error = 5 * math.sqrt(20_000 / 8 * 7 / 8)  # five standard deviations of a count
    assert len(counts) == 8 and np.abs(counts - 2500).max() < error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": 0}, "delay must be an integer >= 1, got 0"),
        ({"n_symbols": 0}, "n_symbols must be an integer >= 1, got 0"),
        ({"alphabet_size": 1}, "alphabet_size must be an integer >= 2, got 1"),
        ({"count": "some"}, r"count must be one of \['all', 'recall'\], got 'some'"),
        ({"n_train": 0}, "n_train must be an integer >= 1, got 0"),
        ({"n_test": 1.5}, "n_test must be an integer >= 1, got 1.5"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load_task("copying", **options)


def test_more_sequences_than_memory_are_refused_before_they_are_drawn():
    with pytest.raises(MemoryError, match="n_train sequences of 120 steps must fit"):
        load_task("copying", n_train=10**12)
