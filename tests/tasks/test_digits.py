"""The digits: real pixels, one fixed stratified split."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets

from tnqrnn.tasks import load_task
from tnqrnn.tasks.digits import stratified_split


def test_shapes_and_range_by_row_and_by_pixel():
    rows, pixels = load_task("digits"), load_task("digits", by="pixel")
    for task, shape in ((rows, (8, 8)), (pixels, (64, 1))):
        sizes = {name: split.inputs.shape for name, split in task.splits.items()}
        assert sizes == {
            "train": (1257, *shape),
            "valid": (180, *shape),
            "test": (360, *shape),
        }
        values = np.concatenate(
            [split.inputs.ravel() for split in task.splits.values()]
        )
        assert (values.min(), values.max()) == (-1, 1)
        assert task.n_classes == 10 and task.kind == "classify"
    for name in rows.splits:
        one, other = rows.splits[name], pixels.splits[name]
        np.testing.assert_array_equal(one.inputs.reshape(-1, 64, 1), other.inputs)
        np.testing.assert_array_equal(one.targets, other.targets)


def test_the_splits_are_all_1797_images_once_with_their_labels():
    images, labels = datasets.load_digits(return_X_y=True)
    task = load_task("digits")
    inputs = np.concatenate([split.inputs for split in task.splits.values()])
    targets = np.concatenate([split.targets for split in task.splits.values()])
    ours = np.column_stack([8 * inputs.reshape(-1, 64) + 8, targets])
    theirs = np.column_stack([images, labels])
    np.testing.assert_array_equal(
        ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)]
    )


def test_every_class_has_its_share_in_every_split():
    _, labels = datasets.load_digits(return_X_y=True)
    for split in load_task("digits").splits.values():
        shares = np.bincount(labels) * len(split) / len(labels)
        counts = np.bincount(split.targets, minlength=10)
        assert np.abs(counts - shares).max() < 1.5  # two roundings, one after the other


def test_the_split_is_the_one_of_published_results():
    """Another split makes accuracies incomparable: change it for a reason only."""
    inputs = load_task("digits").test.inputs
    digest = hashlib.sha256(inputs.astype("<f4").tobytes()).hexdigest()
    assert digest[:16] == "68294ff86eaaddc7"


def test_an_unknown_reading_is_refused():
    with pytest.raises(
        ValueError, match=r"by must be one of \['pixel', 'row'\], got 'c"
    ):
        load_task("digits", by="column")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data())
def test_parts_are_disjoint_complete_and_stratified(labels, data):
    labels = np.array(labels)
    first = data.draw(st.integers(0, len(labels)))
    second = data.draw(st.integers(0, len(labels) - first))
    seed = data.draw(st.integers(0, 9))
    parts = stratified_split(labels, {"a": first, "b": second}, seed=seed)
    assert (len(parts["a"]), len(parts["b"])) == (first, second)
    everything = np.concatenate(list(parts.values()))
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(labels)))
    shares = np.bincount(labels, minlength=5) * first / len(labels)
    counts = np.bincount(labels[parts["a"]], minlength=5)
    assert np.abs(counts - shares).max() < 1
    again = stratified_split(labels, {"a": first, "b": second}, seed=seed)
    assert all(np.array_equal(parts[name], again[name]) for name in parts)
