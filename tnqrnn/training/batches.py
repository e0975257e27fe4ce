"""Which samples make up which batch, and a model's logits for one."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.checks import check_shape
from tnqrnn.tasks import Split

Model = Callable[[jax.Array], jax.Array]


class Batch(NamedTuple):
    """Samples with a weight for every target.

    Attributes:
        inputs (array of shape (B, T, F)): real.
        targets (array of shape (B,) or (B, T)): int32.
        weights (array of the targets' shape): real, >= 0.
    """

    inputs: jax.Array
    targets: jax.Array
    weights: jax.Array

    @classmethod
    def from_split(cls, split: Split) -> "Batch":
        """All samples of a split, on JAX's default device."""
        weights = split.mask
        if weights is None:
            weights = np.ones(split.targets.shape, np.float32)
        return cls(*map(jnp.asarray, (split.inputs, split.targets, weights)))

    def take(self, rows: jax.Array) -> "Batch":
        """The samples numbered ``rows``, of shape (B,)."""
        return Batch(*(values[rows] for values in self))


def shuffled_rows(
    n_samples: int, batch_size: int, *, seed: int, epoch: int
) -> np.ndarray:
    """The samples of each step of one epoch, from the seed and the epoch alone.

    Every sample is drawn at most once; the ``n_samples % batch_size`` that do not fill
    a batch are left out, other ones in every epoch.

    Returns:
        int32 of shape (n_samples // batch_size, batch_size).
    """
    rows = np.random.default_rng([seed, epoch]).permutation(n_samples)
    n_steps = n_samples // batch_size
    return rows[: n_steps * batch_size].reshape(n_steps, batch_size).astype(np.int32)


def padded_rows(n_samples: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """All samples in order, the last batch filled up with sample 0.

    Returns:
        rows, int32 of shape (ceil(n_samples / batch_size), batch_size), and which of
        them are real samples, float32 of the same shape, 1 or 0.
    """
    n_steps = -(-n_samples // batch_size)
    rows = np.arange(n_steps * batch_size, dtype=np.int32).reshape(n_steps, batch_size)
    real = rows < n_samples
    return np.where(real, rows, np.int32(0)), real.astype(np.float32)


def predict(
    model: Model, batch: Batch, n_classes: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A model's logits for a batch, in the model's own precision.

    Args:
        model: (B, T, F) inputs to (B, C) or (B, T, C) logits. Inputs are cast to the
            real dtype of its parameters.
        batch: the samples.
        n_classes: the least C that covers all targets.

    Returns:
        logits, targets, and weights in the logits' dtype.

    Raises:
        ValueError: the logits have other axes than the targets and C, or C < n_classes.
    """
    leaves = filter(eqx.is_inexact_array, jax.tree.leaves(model))
    dtype = np.result_type(np.float32, *(leaf.dtype for leaf in leaves))
    logits = model(batch.inputs.astype(jnp.finfo(dtype).dtype))
    *_, n_logits = check_shape("model's logits", logits, (*batch.targets.shape, "C"))
    if n_logits < n_classes:
        raise ValueError(
            f"model must give at least {n_classes} logits, one for each class of the "
            f"targets, got {n_logits}."
        )
    return logits, batch.targets, batch.weights.astype(logits.dtype)
