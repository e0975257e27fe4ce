"""Cross entropy and accuracy, with a weight for every target.

A sequence has one target, (B,), or one a step, (B, T). Weights have the targets' shape
and say how much each counts: 0 for a masked step or a sample that only fills a batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


class Totals(NamedTuple):
    """Weighted sums over targets; those of two batches add up.

    Attributes:
        loss (array of shape ()): sum of weight times cross entropy in nats.
        correct (array of shape ()): sum of weight where the largest logit is the
            target's; of equal logits the first counts.
        weight (array of shape ()): sum of weights.
    """

    loss: jax.Array
    correct: jax.Array
    weight: jax.Array


def sum_targets(logits: jax.Array, targets: jax.Array, weights: jax.Array) -> Totals:
    """The sums behind :func:`cross_entropy` and :func:`accuracy`.

    Args:
        logits (array of shape (..., C)): real.
        targets (array of shape (...)): integers in [0, C).
        weights (array of shape (...)): >= 0, of the logits' dtype.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    guesses = jnp.argmax(logits, axis=-1).astype(targets.dtype)
    hits = (guesses == targets).astype(weights.dtype)
    return Totals(jnp.sum(weights * losses), jnp.sum(weights * hits), jnp.sum(weights))


def cross_entropy(
    logits: jax.Array, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Mean softmax cross entropy in nats, of shape ().

    ``sum_i w_i (ln sum_c exp(l_ic) - l_iy) / sum_i w_i``, with y the target of i.

    Args:
        logits (array of shape (..., C)): real.
        targets (array of shape (...)): integers in [0, C).
        weights (array of shape (...)): >= 0, not all 0, of the logits' dtype.

    >>> loss = cross_entropy(jnp.zeros((1, 4)), jnp.array([2]), jnp.ones(1))
    >>> round(float(loss), 4)  # ln 4
    1.3863
    """
    totals = sum_targets(logits, targets, weights)
    return totals.loss / totals.weight


def accuracy(logits: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted share of targets with the largest logit, of shape ().

    Takes what :func:`cross_entropy` takes.
    """
    totals = sum_targets(logits, targets, weights)
    return totals.correct / totals.weight
