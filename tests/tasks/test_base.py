"""Tasks from a user's own arrays: what fits is kept, what does not is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tnqrnn.tasks import Split, Task

_XS = np.linspace(-1, 1, 4 * 3 * 2).reshape(4, 3, 2)
_ONE_A_SEQUENCE = np.array([0, 1, 2, 1])
_ONE_A_STEP = np.array([[0, 1, 2]] * 4)


def _changed(array, index, value):
    array = np.array(array, dtype=np.result_type(array, type(value)))
    array[index] = value
    return array


@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.booleans(), st.data()
)
def test_valid_arrays_make_a_split_in_fixed_types(n, steps, features, labelled, data):
    xs = np.zeros((n, steps, features), data.draw(st.sampled_from(["f8", "f4", "i4"])))
    shape = (n, steps) if labelled else (n,)
    ys = np.full(shape, 1, data.draw(st.sampled_from(["i8", "u1"])))
    split = Split(xs, ys, np.ones(shape, bool) if labelled else None)
    assert split.inputs.dtype == np.float32 and split.inputs.shape == xs.shape
    assert split.targets.dtype == np.int32 and split.targets.shape == shape
    assert split.mask is None or split.mask.dtype == np.float32
    assert len(split) == n


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((_XS[0], _ONE_A_SEQUENCE), r"inputs must be of shape \(N, T, F\), got \(3, 2"),
        ((_XS[:, :0], _ONE_A_SEQUENCE), r"must have T >= 1 .* got \(4, 0, 2\)"),
        ((_XS[:0], _ONE_A_SEQUENCE[:0]), r"must have N >= 1 .* got \(0, 3, 2\)"),
        ((_XS[..., :0], _ONE_A_SEQUENCE), r"must have F >= 1 .* got \(4, 3, 0\)"),
        ((_changed(_XS, (1, 2, 0), np.nan), _ONE_A_SEQUENCE), "got 1 NaN or infinite"),
        ((_changed(_XS, 0, np.inf), _ONE_A_SEQUENCE), "got 6 NaN or infinite"),
        ((_changed(_XS, 0, 1e300), _ONE_A_SEQUENCE), "inputs in float32 must be finit"),
        ((_XS * 1j, _ONE_A_SEQUENCE), "must be real numbers, got complex128"),
        ((_XS.astype(str), _ONE_A_SEQUENCE), "must be real numbers, got <U"),
        ((_XS, _ONE_A_SEQUENCE > 0), "targets must be integers, .* got bool"),
        ((_XS, _ONE_A_SEQUENCE[:3] / 2), r"targets must be of shape \(4,\), \(4, K\)"),
        ((_XS, np.full(4, np.nan)), "targets must be finite, got 4 NaN"),
        ((_XS[..., 0] > 0, _ONE_A_SEQUENCE), r"integers of shape \(N, T\) are token"),
        ((_ONE_A_STEP - 1, _ONE_A_SEQUENCE), "inputs must be >= 0, got -1"),
        ((_XS, _ONE_A_SEQUENCE[:3]), r"targets must be of shape \(4,\), got \(3,\)"),
        ((_XS, _ONE_A_STEP[:, :2]), r"targets must be of shape \(4, 3\), got \(4, 2"),
        ((_XS, _ONE_A_SEQUENCE - 1), "targets must be >= 0, got -1"),
        ((_XS, _ONE_A_SEQUENCE + 2**31), r"targets must be < 2\^31, got 21474836"),
        ((_XS, _ONE_A_SEQUENCE, np.ones(4)), "mask must be None unless targets are"),
        ((_XS, _ONE_A_STEP, np.ones((4, 2))), r"mask must be of shape \(4, 3\)"),
        ((_XS, _ONE_A_STEP, _ONE_A_STEP - 1), "mask must be >= 0 .* minimum of -1"),
        ((_XS, _ONE_A_STEP, np.eye(4)[:, :3]), "smallest sum over steps of 0"),
        ((_XS, _ONE_A_STEP, _ONE_A_STEP * np.nan), "mask must be finite, got 12 NaN"),
        ((_XS,), r"must be \(inputs, targets\) or .*, got 1 entries"),
    ],
)
@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_arrays_that_break_a_rule_are_refused_with_their_split(part, arrays, message):
    good = (_XS, _ONE_A_STEP if np.ndim(arrays[-1]) == 2 else _ONE_A_SEQUENCE)
    parts = {"train": good, "valid": good, "test": good} | {part: arrays}
    with pytest.raises(ValueError, match=message) as caught:
        Task.from_arrays(**parts)
    assert str(caught.value).startswith(part)


def test_a_task_reads_kind_features_and_classes_off_its_arrays():
    sequences, steps = (_XS, _ONE_A_SEQUENCE), (_XS, _ONE_A_STEP)
    task = Task.from_arrays(sequences, sequences, (_XS, _ONE_A_SEQUENCE + 3))
    assert (task.kind, task.n_classes, task.input_size) == ("classify", 6, 2)
    task = Task.from_arrays(steps, steps, steps, n_classes=9, name="mine", source="me")
    assert (task.kind, task.n_classes, task.name) == ("label", 9, "mine")
    assert task.source == "me" and task.baseline is None
    assert list(task.splits) == ["train", "valid", "test"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_classes": 2}, "valid targets must be < n_classes = 2, got 2"),
        ({"n_classes": 1}, "n_classes must be an integer >= 2, got 1"),
        ({"n_classes": 2.0}, "n_classes must be an integer >= 2, got 2.0"),
        ({"test": (_XS[..., :1], _ONE_A_SEQUENCE)}, r"shape \(N, T, 2\), got \(4, 3, "),
        ({"test": (_XS, _ONE_A_STEP)}, r"test targets must have as many axes .* got 2"),
    ],
)
def test_splits_that_do_not_fit_together_are_refused(changes, message):
    good = (_XS, _ONE_A_SEQUENCE)
    low = (_XS, np.minimum(_ONE_A_SEQUENCE, 1))
    with pytest.raises(ValueError, match=message):
        Task.from_arrays(**{"train": low, "valid": good, "test": low} | changes)


def test_lengths_may_differ_between_splits():
    short = (_XS[:, :1], _ONE_A_SEQUENCE)
    task = Task.from_arrays((_XS, _ONE_A_SEQUENCE), short, short)
    assert task.valid.inputs.shape == (4, 1, 2)


def test_a_split_does_not_follow_later_changes_of_the_users_array():
    xs = _XS.astype(np.float32)
    split = Split(xs, _ONE_A_SEQUENCE)
    xs[0] = 7
    assert split.inputs.max() <= 1
