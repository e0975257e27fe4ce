"""MNIST: handwritten digits read row by row, pixel by pixel, or in a fixed shuffle."""

import gzip
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tnqrnn.checks import check_choice, check_int, check_number
from tnqrnn.tasks.base import Task
from tnqrnn.tasks.download import read_data
from tnqrnn.tasks.splits import Split

_SHAPES = {"row": (28, 28), "pixel": (784, 1), "block": (49, 16)}
_VALID_SHARE = 12  # one of twelve images: 5,000 of 60,000
_SPLIT_SEED = 0
_PERMUTATION_SEED = 92916


def load_mnist(
    *,
    data_dir: str | os.PathLike | None = None,
    by: str = "row",
    scale: Sequence[float] = (-1.0, 1.0),
    n_train: int | None = None,
) -> Task:
    """70,000 images of 28 x 28 pixels in ten classes, read as sequences.

    The 10,000 images of the test are the published ones. The 60,000 others are
    shuffled by ``numpy.random.default_rng(0).permutation(60000)``: the first 55,000 are
    for training, the last 5,000 for validation, whatever seed a model uses.

    Args:
        data_dir: the first place to look for the folder ``mnist``
            (:mod:`tnqrnn.tasks.download` says where else).
        by: ``"row"`` for T=28 steps of F=28 pixels, ``"pixel"`` for T=784 steps of F=1,
            ``"block"`` for T=49 steps of F=16 consecutive pixels; row by row from the
            top left.
        scale: (low, high), the values of a black and of a white pixel: grey p in 0..255
            becomes low + (high - low) p / 255. ``(0, 1)`` is what most published
            results on pixels have.
        n_train: train on the first so many of the 55,000; ``None`` for all.

    Raises:
        ValueError: an option outside its range; or a file is missing or altered and
            cannot be had, see :func:`~tnqrnn.tasks.download.read_data`.

    Source: [lecun1998].
    """
    options = {"by": by, "scale": scale, "n_train": n_train}
    return _load("mnist", np.arange(784), data_dir, options)


def load_permuted_mnist(
    *,
    data_dir: str | os.PathLike | None = None,
    by: str = "pixel",
    scale: Sequence[float] = (-1.0, 1.0),
    n_train: int | None = None,
) -> Task:
    """MNIST with its pixels in one fixed random order, the same in all images.

    The i-th pixel in order is the image's pixel ``permutation[i]``, counted row by row,
    where ``permutation = numpy.random.RandomState(92916).permutation(784)``, as in
    published results [helfrich2018].

    Args:
        data_dir: as for :func:`load_mnist`, whose files these are.
        by: ``"pixel"``, ``"row"`` or ``"block"`` as for :func:`load_mnist`: so many
            consecutive pixels of the new order are one step.
        scale: as for :func:`load_mnist`.
        n_train: as for :func:`load_mnist`.

    Raises:
        ValueError: as for :func:`load_mnist`.

    Source: [lecun1998]; the permutation is that of ``scoRNN_mnist.py``, the program
    released with [helfrich2018].
    """
    permutation = np.random.RandomState(_PERMUTATION_SEED).permutation(784)
    options = {"by": by, "scale": scale, "n_train": n_train}
    return _load("pmnist", permutation, data_dir, options)


def _load(
    name: str,
    order: np.ndarray,
    data_dir: str | os.PathLike | None,
    options: dict[str, Any],
) -> Task:
    """The task whose i-th pixel is the image's pixel ``order[i]``."""
    shape = _SHAPES[check_choice("by", options["by"], _SHAPES)]
    low, high = _checked_scale(options["scale"])
    if options["n_train"] is not None:
        check_int("n_train", options["n_train"], minimum=1)
    files = read_data("mnist", data_dir)
    images = _images(files["train-images-idx3-ubyte.gz"])
    labels = _labels(files["train-labels-idx1-ubyte.gz"])
    shuffled = np.random.default_rng(_SPLIT_SEED).permutation(len(images))
    n_valid = len(images) // _VALID_SHARE
    n_train = len(images) - n_valid
    if options["n_train"] is not None:
        n_train = check_int("n_train", options["n_train"], minimum=1, maximum=n_train)

    def split(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Split:
        values = images[np.ix_(rows, order)].astype(np.float32)
        # In place: the training images alone are 170 MB in float32.
        values /= 255
        values *= high - low
        values += low
        return Split(values.reshape(-1, *shape), labels[rows])

    test_images = _images(files["t10k-images-idx3-ubyte.gz"])
    test_labels = _labels(files["t10k-labels-idx1-ubyte.gz"])
    return Task(
        name=name,
        train=split(images, labels, shuffled[:n_train]),
        valid=split(images, labels, shuffled[-n_valid:]),
        test=split(test_images, test_labels, np.arange(len(test_images))),
        n_classes=10,
        options=options | {"scale": (low, high)},
        source="lecun1998",
    )


def _checked_scale(scale: Any) -> tuple[float, float]:
    if not isinstance(scale, Sequence) or isinstance(scale, str) or len(scale) != 2:
        raise ValueError(f"scale must be (low, high), two numbers, got {scale!r}.")
    low, high = (check_number("scale's numbers", value) for value in scale)
    if low >= high:
        raise ValueError(f"scale must be (low, high) with low < high, got {scale!r}.")
    return low, high


def _images(content: bytes) -> np.ndarray:
    """Grey levels of shape (N, 784), uint8, row by row.

    A file of images is a gzip of four big-endian uint32, which are 2051, N, 28 and 28,
    and of one byte a pixel.
    """
    return np.frombuffer(gzip.decompress(content), np.uint8, offset=16).reshape(-1, 784)


def _labels(content: bytes) -> np.ndarray:
    """Classes of shape (N,), uint8: after two uint32, 2049 and N, one byte a label."""
    return np.frombuffer(gzip.decompress(content), np.uint8, offset=8)
