"""Handwritten digits that come with scikit-learn: real data without a download."""

from collections.abc import Mapping

import numpy as np

from tnqrnn.checks import check_choice
from tnqrnn.tasks.base import Task
from tnqrnn.tasks.splits import Split

_SHAPES = {"row": (8, 8), "pixel": (64, 1)}
_SIZES = {"test": 360, "valid": 180}
_SPLIT_SEED = 20251030


def load_digits(*, by: str = "row") -> Task:
    """1,797 images of 8 x 8 pixels in ten classes, read as sequences.

    Pixels 0..16 are scaled to [-1, 1]. The split is one for all: stratified, 360 images
    for the test, 180 for validation, 1,257 for training, whatever seed a model uses.

    Args:
        by: ``"row"`` for T=8 steps of F=8 pixels, ``"pixel"`` for T=64 steps of F=1,
            row by row from the top left.

    Raises:
        ValueError: an unknown ``by``.

    Source: the test part of [alpaydin1998], by ``sklearn.datasets.load_digits``.
    """
    check_choice("by", by, _SHAPES)
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    inputs = (images / 8.0 - 1.0).reshape(-1, *_SHAPES[by])
    parts = stratified_split(labels, _SIZES, seed=_SPLIT_SEED)
    splits = {name: Split(inputs[rows], labels[rows]) for name, rows in parts.items()}
    return Task(
        name="digits",
        train=splits["rest"],
        valid=splits["valid"],
        test=splits["test"],
        n_classes=10,
        options={"by": by},
        source="alpaydin1998, the test part, by sklearn.datasets.load_digits",
    )


def stratified_split(
    labels: np.ndarray, sizes: Mapping[str, int], *, seed: int
) -> dict[str, np.ndarray]:
    """Draws disjoint parts in which every class has its share.

    A part of size s out of r remaining samples takes s * r_c / r of the r_c of class c,
    rounded by largest remainders, so each class is within one sample of its share.

    Args:
        labels: (N,) integers.
        sizes: the size of each part, drawn in this order.
        seed: of the draw.

    Returns:
        Ascending indices of each part, and those left over as ``rest``.
    """
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    pools = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
    parts = {}
    for name, size in sizes.items():
        counts = np.array([len(pool) for pool in pools])
        takes, remainders = np.divmod(size * counts, max(counts.sum(), 1))
        largest = np.argsort(-remainders, kind="stable")
        takes[largest[: size - takes.sum()]] += 1
        drawn = [pool[:take] for pool, take in zip(pools, takes, strict=True)]
        parts[name] = np.sort(np.concatenate(drawn))
        pools = [pool[take:] for pool, take in zip(pools, takes, strict=True)]
    return parts | {"rest": np.sort(np.concatenate(pools))}
