"""MNIST and its permuted form: the pixels, the split and the readings."""

import numpy as np
import pytest
from data_files import REAL, expect, idx, needs_real_files, tiny_mnist, write

from tnqrnn.tasks import load_task

SHAPES = {"row": (28, 28), "pixel": (784, 1), "block": (49, 16)}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """24 images to train and choose by, 5 to test; pixel 0 is the image's number."""
    expect(monkeypatch, "mnist", tiny_mnist())
    write(tmp_path / "mnist", tiny_mnist())
    return tmp_path


def pixels(split) -> np.ndarray:
    """Grey levels 0..255 in the order of the steps, (N, 784)."""
    return ((split.inputs.reshape(-1, 784) + 1) * 255 / 2).round().astype(int)


@pytest.mark.parametrize("name", ["mnist", "pmnist"])
@pytest.mark.parametrize("by", sorted(SHAPES))
def test_shapes_types_and_range(folder, name, by):
    task = load_task(name, folder, by=by)
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes == {"train": 22, "valid": 2, "test": 5}
    for split in task.splits.values():
        assert split.inputs.shape[1:] == SHAPES[by]
        assert split.inputs.dtype == np.float32
        assert split.inputs.base is None or split.inputs.base.dtype == np.float32
    values = np.concatenate([split.inputs.ravel() for split in task.splits.values()])
    assert (values.min(), values.max()) == (-1, 1)
    assert (task.kind, task.n_classes, task.name) == ("classify", 10, name)
    assert task.options == {"by": by, "scale": (-1.0, 1.0), "n_train": None}


def test_the_default_readings(folder):
    assert load_task("mnist", folder).input_size == 28
    assert load_task("pmnist", folder).input_size == 1


@pytest.mark.parametrize("name", ["mnist", "pmnist"])
def test_all_readings_have_the_same_pixels_in_the_same_order(folder, name):
    tasks = [load_task(name, folder, by=by) for by in SHAPES]
    for part in ("train", "valid", "test"):
        first, *others = (pixels(task.splits[part]) for task in tasks)
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_the_split_is_the_first_and_last_of_a_seeded_shuffle(folder):
    task = load_task("mnist", folder)
    shuffled = np.random.default_rng(0).permutation(24)
    # Pixel 0 of a training image is its number in the file.
    np.testing.assert_array_equal(pixels(task.train)[:, 0], shuffled[:22])
    np.testing.assert_array_equal(pixels(task.valid)[:, 0], shuffled[22:])
    np.testing.assert_array_equal(pixels(task.test)[:, 0], np.arange(5))
    for split in task.splits.values():
        np.testing.assert_array_equal(split.targets, pixels(split)[:, 0] % 10)


def test_step_i_of_the_permuted_task_is_pixel_perm_i(folder):
    perm = np.random.RandomState(92916).permutation(784)
    plain, permuted = load_task("mnist", folder), load_task("pmnist", folder)
    for part, split in plain.splits.items():
        other = permuted.splits[part]
        np.testing.assert_array_equal(pixels(split)[:, perm], pixels(other))
        np.testing.assert_array_equal(split.targets, other.targets)


def test_the_scale_is_where_black_and_white_go(folder):
    grey = pixels(load_task("mnist", folder).train)
    for scale in [(0, 1), (-1, 1), [0.25, 3]]:
        task = load_task("mnist", folder, scale=scale)
        low, high = scale
        expected = low + (high - low) * grey / 255
        inputs = task.train.inputs.reshape(-1, 784)
        np.testing.assert_allclose(inputs, expected, rtol=1e-6, atol=1e-6)
        assert task.options["scale"] == (low, high)


def test_a_small_run_takes_the_first_of_the_training_part(folder):
    full, small = load_task("mnist", folder), load_task("mnist", folder, n_train=7)
    np.testing.assert_array_equal(small.train.inputs, full.train.inputs[:7])
    np.testing.assert_array_equal(small.valid.inputs, full.valid.inputs)
    assert len(small.test) == len(full.test)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "column"}, r"by must be one of \['block', 'pixel', 'row'\], got 'col"),
        ({"scale": 1}, r"scale must be \(low, high\), two numbers, got 1"),
        ({"scale": "01"}, r"scale must be \(low, high\), two numbers, got '01'"),
        ({"scale": (0, 1, 2)}, r"scale must be \(low, high\), two numbers"),
        ({"scale": (1, 0)}, r"scale must be \(low, high\) with low < high"),
        ({"scale": (0, np.inf)}, "scale's numbers must be a finite number"),
        ({"n_train": 0}, "n_train must be an integer >= 1, got 0"),
        ({"n_train": 23}, r"n_train must be an integer in \[1, 22\], got 23"),
    ],
)
@pytest.mark.parametrize("name", ["mnist", "pmnist"])
def test_an_option_out_of_range_is_refused(folder, name, options, message):
    with pytest.raises(ValueError, match=message):
        load_task(name, folder, **options)


def test_an_option_out_of_range_is_refused_before_any_file_is_looked_for(tmp_path):
    with pytest.raises(ValueError, match="by must be one of"):
        load_task("mnist", tmp_path, by="column")


def test_altered_labels_are_an_error(folder):
    path = folder / "mnist" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(idx(np.zeros(24)))
    with pytest.raises(ValueError, match=f"{path} must have the SHA-256"):
        load_task("mnist", folder)


@needs_real_files
def test_the_real_images():
    task = load_task("mnist", REAL)
    sizes = {part: split.inputs.shape for part, split in task.splits.items()}
    assert sizes == {
        "train": (55_000, 28, 28),
        "valid": (5_000, 28, 28),
        "test": (10_000, 28, 28),
    }
    # The counts that data/mnist/README.md gives.
    targets = np.concatenate([task.train.targets, task.valid.targets])
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(targets).tolist() == counts
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(task.test.targets).tolist() == counts
    # Mean and deviation of pixel / 255 of all 60,000 are 0.1307 and 0.3081.
    sums = np.zeros(2)
    for split in (task.train, task.valid):
        grey = (split.inputs.reshape(len(split), -1) + 1) / 2
        sums += [grey.sum(dtype=float), np.square(grey).sum(dtype=float)]
    mean, square = sums / (60_000 * 784)
    assert round(mean, 4) == 0.1307
    assert round(float(np.sqrt(square - mean**2)), 4) == 0.3081
    # The first image of the test file is a seven; its ink begins in row 7.
    assert task.test.targets[0] == 7
    grey = pixels(task.test)[0].reshape(28, 28)
    assert not grey[:7].any()
    assert grey[7, 6:12].tolist() == [84, 185, 159, 151, 60, 36]


@needs_real_files
def test_the_real_permuted_images():
    task = load_task("pmnist", REAL, by="block", scale=(0, 1), n_train=100)
    assert task.train.inputs.shape == (100, 49, 16)
    assert task.test.inputs.shape == (10_000, 49, 16)
    plain = load_task("mnist", REAL, scale=(0, 1), n_train=100)
    perm = np.random.RandomState(92916).permutation(784)
    for part in ("train", "valid"):
        flat = plain.splits[part].inputs.reshape(-1, 784)
        np.testing.assert_array_equal(
            task.splits[part].inputs.reshape(-1, 784), flat[:, perm]
        )
