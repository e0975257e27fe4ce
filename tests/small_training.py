"""A model and a task that train in milliseconds, for the tests of training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.tasks import Task


class Linear(eqx.Module):
    """Logits of a linear map of the last step; has leaves that must not be trained."""

    weight: jax.Array
    bias: jax.Array
    steps: jax.Array
    name: str = "linear"

    def __call__(self, xs):
        return xs[:, -1] @ self.weight + self.bias[None]


def linear(n_features=2, n_classes=3, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    weight = jnp.asarray(rng.normal(size=(n_features, n_classes)), dtype)
    return Linear(weight, jnp.zeros(n_classes, dtype), jnp.arange(3))


def blobs(n=96, seed=0, n_classes=3):
    """Points around the corners of a triangle, which a linear map can tell apart."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % n_classes
    angles = 2 * np.pi * targets / n_classes
    points = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    points = points + 0.3 * rng.normal(size=points.shape)
    return np.stack([np.zeros_like(points), points], axis=1), targets


def small_task(n=96):
    return Task.from_arrays(blobs(n, 0), blobs(30, 1), blobs(30, 2))
