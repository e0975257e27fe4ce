"""The two compiled programs of training: some steps, and scoring some batches.

Both run the steps from ``start`` to ``stop`` in one ``while`` loop, so that one
compiled program takes any number of them: the caller chooses how long it is away
(:mod:`tnqrnn.training.chunks`), and how steps are grouped changes no bit of a result.
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

from tnqrnn.tasks import AbstractObjective, Batch
from tnqrnn.training.update_limit import limited

Model = Any
"""One of the library's sequence models, or any callable equinox module."""


class Running(NamedTuple):
    """What a run changes from step to step.

    Attributes:
        model: its inexact array leaves are trained, all else stays.
        opt_state: the optimiser's state.
        carry: the model's, where batches follow each other; else ``None``.
        loss (array of shape (S,)): of each step of the epoch so far, before its update.
        gradient_norm (array of shape (S,)): global norm before clipping.
        lost (arrays of shape (S,)): by name, the largest of what the model says that
            the step's samples lost; empty for a model that loses nothing.
    """

    model: Model
    opt_state: Any
    carry: Any
    loss: jax.Array
    gradient_norm: jax.Array
    lost: dict[str, jax.Array]


class Steps(NamedTuple):
    """The steps of one epoch: what is known of each before it runs.

    Attributes:
        indices (array of shape (S, ...)): which part of the data each takes.
        rates (array of shape (S,)): what the optimiser's updates are multiplied by.
        clip_norm (array of shape ()): the largest global gradient norm that an
            optimiser sees; infinity for no clipping.
        update_limit (array of shape ()): see
            :func:`tnqrnn.training.update_limit.limit_updates`; ``None`` for none.
        key: PRNG key of the epoch's chance; ``None`` for none.
    """

    indices: jax.Array
    rates: jax.Array
    clip_norm: jax.Array
    update_limit: jax.Array | None
    key: jax.Array | None


class Prediction(NamedTuple):
    """What a model gives for a batch.

    Attributes:
        outputs: of the model.
        carry: its last one; ``None`` for a model that has none.
        lost: what the model says each sample lost, arrays of shape (B,) by name.
    """

    outputs: jax.Array
    carry: Any
    lost: dict[str, jax.Array]


@eqx.filter_jit
def train_steps(
    running: Running,
    optimizer: optax.GradientTransformationExtraArgs,
    objective: AbstractObjective,
    data: dict[str, jax.Array],
    steps: Steps,
    start: jax.Array,
    stop: jax.Array,
) -> Running:
    """Runs the steps from ``start`` to ``stop - 1`` of an epoch.

    Args:
        running: the run before them.
        optimizer: gets the clipped gradient, and the loss as ``value``.
        objective: cuts the data, and says what is minimised.
        data: the training split's arrays.
        steps: all S steps of the epoch.
        start: int32, the first step.
        stop: int32, the step after the last.

    Returns:
        the run after them.
    """
    params, static = eqx.partition(running.model, eqx.is_inexact_array)

    def loss_of(params: Any, batch: Batch, carry: Any, key: Any) -> tuple:
        model = eqx.combine(params, static)
        given = predict(model, batch, carry=carry, key=key)
        sums = objective.sums(given.outputs, batch)
        return sums["loss"] / sums["weight"], (given.carry, given.lost)

    def step(i: jax.Array, now: tuple) -> tuple:
        params, opt_state, carry, losses, norms, worst = now
        batch = objective.batch(data, steps.indices[i])
        # By the step's number: a resumed run draws as one that was never stopped.
        key = None if steps.key is None else jax.random.fold_in(steps.key, i)
        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (last, lost)), grads = value_and_grad(params, batch, carry, key)
        with promotion_as_usual():
            norm = optax.tree.norm(grads)
            clip = optax.clip_by_global_norm(steps.clip_norm.astype(norm.dtype))
            grads, _ = clip.update(grads, clip.init(params))
            updates, opt_state = optimizer.update(
                grads,
                opt_state,
                params,
                value=loss,
                grad=grads,
                value_fn=lambda params: loss_of(params, batch, carry, key)[0],
            )
        # The rate is no part of the optimizer, so that an own one keeps the schedule.
        rate = steps.rates[i]
        updates = jax.tree.map(lambda leaf: leaf * rate.astype(leaf.dtype), updates)
        # Last: Adam steps by about the rate, however short the gradient was clipped.
        if steps.update_limit is not None:
            updates = limited(updates, params, steps.update_limit)
        params = optax.apply_updates(params, updates)
        losses = losses.at[i].set(loss.astype(losses.dtype))
        norms = norms.at[i].set(norm.astype(norms.dtype))
        worst = {
            name: worst[name].at[i].set(jnp.max(each).astype(worst[name].dtype))
            for name, each in lost.items()
        }
        last = last if objective.carries else None
        return params, opt_state, last, losses, norms, worst

    now = jax.lax.fori_loop(start, stop, step, (params, *running[1:]))
    return Running(eqx.combine(now[0], static), *now[1:])


@eqx.filter_jit
def score_steps(
    model: Model,
    objective: AbstractObjective,
    data: dict[str, jax.Array],
    indices: jax.Array,
    carry: Any,
    start: jax.Array,
    stop: jax.Array,
) -> tuple[Any, dict[str, jax.Array]]:
    """The sums of the batches from ``start`` to ``stop - 1``.

    Args:
        model: what is scored.
        objective: cuts the data, and says what is summed.
        data: a split's arrays.
        indices (array of shape (S, ...)): which part of the data each batch takes.
        carry: the model's before the first of these batches, or ``None``.
        start: int32, the first batch.
        stop: int32, the batch after the last.

    Returns:
        carry after the last of them, and arrays of shape (S,) by name, see
        :func:`batch_sums`, which are 0 for all other batches.
    """

    def sums_of(carry: Any, step: jax.Array) -> tuple:
        return batch_sums(model, objective, data, step, carry)

    def one(i: jax.Array, now: tuple) -> tuple:
        carry, sums = now
        carry, new = sums_of(carry, indices[i])
        return carry, {name: sums[name].at[i].set(new[name]) for name in sums}

    _, shapes = jax.eval_shape(sums_of, carry, indices[0])
    none = {name: jnp.zeros(len(indices), sums.dtype) for name, sums in shapes.items()}
    return jax.lax.fori_loop(start, stop, one, (carry, none))


def batch_sums(
    model: Model,
    objective: AbstractObjective,
    data: dict[str, jax.Array],
    step: jax.Array,
    carry: Any,
) -> tuple[Any, dict[str, jax.Array]]:
    """The objective's sums over one batch, and what the model lost in it.

    Returns:
        the model's carry, and arrays of shape () by name: the objective's own sums, the
        number of real ``samples``, and for each name that the model reports the sum
        over them, ``lost.name``, and the largest, ``worst.name``.
    """
    batch = objective.batch(data, step)
    given = predict(model, batch, carry=carry)
    sums = dict(objective.sums(given.outputs, batch))
    real = _of_a_sample(batch.weights) > 0
    sums["samples"] = jnp.sum(real.astype(batch.weights.dtype))
    for name, each in given.lost.items():
        counted = jnp.where(real, each, 0)
        sums |= {f"lost.{name}": counted.sum(), f"worst.{name}": counted.max()}
    return given.carry if objective.carries else None, sums


def predict(
    model: Model,
    batch: Batch,
    *,
    carry: Any = None,
    key: Any = None,
) -> Prediction:
    """A model's outputs for a batch, in the model's own precision.

    Args:
        model: one of the library's, or any function of inputs; the latter knows no
            lengths, carry or key.
        batch: the samples.
        carry: where the model starts; ``None`` for its own start.
        key: PRNG key of all chance in the model.

    Raises:
        ValueError: a plain function on a batch with lengths, or that goes on.
    """
    leaves = filter(eqx.is_inexact_array, jax.tree.leaves(model))
    dtype = np.result_type(np.float32, *(leaf.dtype for leaf in leaves))
    real_dtype = jnp.finfo(dtype).dtype

    def cast(leaf: jax.Array) -> jax.Array:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(real_dtype) if floating else leaf

    inputs = jax.tree.map(cast, batch.inputs)
    if run := getattr(model, "run", None):
        outputs, rollout = run(
            inputs,
            lengths=batch.lengths,
            carry=carry,
            key=key,
        )
        # A step is differentiated by its parameters alone, which a carry does not hold;
        # this says the same to whoever differentiates over several windows.
        carry = jax.lax.stop_gradient(rollout.carry)
        lost = jax.lax.stop_gradient(model.lost(rollout))
        return Prediction(outputs, carry, lost)
    if batch.lengths is not None or carry is not None:
        what = "lengths" if carry is None else "a carry that is passed on"
        raise ValueError(
            f"model must be one of the library's sequence models for data with {what}, "
            f"got {type(model).__name__}."
        )
    return Prediction(model(inputs), None, {})


def _of_a_sample(weights: jax.Array) -> jax.Array:
    """The weight of all targets of each sample, (B,)."""
    return jnp.sum(weights, axis=tuple(range(1, weights.ndim)))


@contextlib.contextmanager
def promotion_as_usual() -> Iterator[None]:
    """JAX's own promotion rules around optax, which needs them (count to float)."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
