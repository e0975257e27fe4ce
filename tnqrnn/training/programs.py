"""The two compiled programs of training: an epoch of steps, and scoring a split.

Both are functions of this module, so JAX keeps one compiled program for each structure
of model and data: another seed, learning rate or clipping norm compiles nothing.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from tnqrnn.backends.budget import named_truncation_errors
from tnqrnn.checks import check_instance, check_int
from tnqrnn.tasks import Split
from tnqrnn.training.batches import Batch, Model, padded_rows, predict
from tnqrnn.training.losses import Totals, cross_entropy, sum_targets


class Steps(NamedTuple):
    """The steps of one epoch: what is known of each before it runs.

    Attributes:
        rows (array of shape (S, B)): int32, the samples of each step.
        rates (array of shape (S,)): what the optimiser's updates are multiplied by.
        clip_norm (array of shape ()): the largest global gradient norm that an
            optimiser sees; infinity for no clipping.
    """

    rows: jax.Array
    rates: jax.Array
    clip_norm: jax.Array


class Trace(NamedTuple):
    """What each step of an epoch measured, before its update.

    Attributes:
        loss (array of shape (S,)): cross entropy of the step's batch, nats.
        gradient_norm (array of shape (S,)): global norm before clipping.
    """

    loss: jax.Array
    gradient_norm: jax.Array


@eqx.filter_jit
def train_epoch(
    model: Model,
    opt_state: Any,
    optimizer: optax.GradientTransformation,
    data: Batch,
    steps: Steps,
    n_classes: int,
) -> tuple[Model, Any, Trace]:
    """Runs all steps of an epoch in one ``jax.lax.scan``.

    Args:
        model: its inexact array leaves are trained, all else stays.
        opt_state: the optimiser's state.
        optimizer: gets the clipped gradient.
        data: all training samples.
        steps: S steps.
        n_classes: the least number of logits that covers the targets.

    Returns:
        model and optimiser state after the last step, and the trace.
    """
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss_of(params: Any, batch: Batch) -> jax.Array:
        return cross_entropy(*predict(eqx.combine(params, static), batch, n_classes))

    def step(carry: tuple, now: tuple) -> tuple[tuple, Trace]:
        params, opt_state = carry
        rows, rate = now
        loss, grads = jax.value_and_grad(loss_of)(params, data.take(rows))
        norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(grads)))
        shrink = jnp.minimum(1, steps.clip_norm.astype(norm.dtype) / norm)
        with promotion_as_usual():
            updates, opt_state = optimizer.update(
                _scale(grads, shrink), opt_state, params
            )
        params = optax.apply_updates(params, _scale(updates, rate))
        return (params, opt_state), Trace(loss, norm)

    carry = (params, opt_state)
    carry, trace = jax.lax.scan(step, carry, (steps.rows, steps.rates))
    return eqx.combine(carry[0], static), carry[1], trace


@eqx.filter_jit
def score(
    model: Model, data: Batch, rows: jax.Array, real: jax.Array, n_classes: int
) -> Totals:
    """Sums loss and accuracy over batches taken one after another.

    Args:
        model: gives logits.
        data: all samples of a split.
        rows (array of shape (S, B)): int32, the samples of each batch.
        real (array of shape (S, B)): 1, or 0 for a sample that fills up a batch.
        n_classes: the least number of logits that covers the targets.

    Returns:
        totals of each batch, each of shape (S,).
    """

    def one(now: tuple[jax.Array, jax.Array]) -> Totals:
        batch = data.take(now[0])
        keep = now[1].reshape(-1, *(1,) * (batch.weights.ndim - 1))
        batch = batch._replace(weights=batch.weights * keep)
        return sum_targets(*predict(model, batch, n_classes))

    return jax.lax.map(one, (rows, real))


def evaluate(model: Model, split: Split, *, batch_size: int = 64) -> dict[str, float]:
    """Loss and accuracy of a model over all samples of a split.

    Args:
        model: (B, T, F) inputs to (B, C) or (B, T, C) logits.
        split: the samples; masked steps do not count.
        batch_size: samples at a time, cut to the number of samples. The result depends
            on it by rounding alone. One program is compiled for each shape.

    Returns:
        ``loss``, mean cross entropy in nats, and ``accuracy``, in [0, 1].

    Raises:
        ValueError: a task instead of one of its splits, a batch_size below 1, or logits
            that do not fit the targets.
        TruncationError: a backend with ``on_truncation="raise"`` lost too much.
    """
    check_int("batch_size", batch_size, minimum=1)
    check_instance("split", split, Split)
    with named_truncation_errors():
        return mean_scores(score(model, *score_arguments(split, batch_size)))


def score_arguments(
    split: Split, batch_size: int, n_classes: int | None = None
) -> tuple[Batch, jax.Array, jax.Array, int]:
    """What :func:`score` takes besides the model to score all of ``split``."""
    rows, real = padded_rows(len(split), min(batch_size, len(split)))
    n_classes = n_classes or 1 + int(split.targets.max())
    return Batch.from_split(split), jnp.asarray(rows), jnp.asarray(real), n_classes


def mean_scores(totals: Totals) -> dict[str, float]:
    """Means over all batches, summed in double precision."""
    loss, correct, weight = (np.asarray(sums, np.float64).sum() for sums in totals)
    return {"loss": float(loss / weight), "accuracy": float(correct / weight)}


@contextlib.contextmanager
def promotion_as_usual() -> Iterator[None]:
    """JAX's own promotion rules around optax, which needs them (count to float)."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _scale(tree: Any, factor: jax.Array) -> Any:
    return jax.tree.map(lambda leaf: leaf * factor.astype(leaf.dtype), tree)
