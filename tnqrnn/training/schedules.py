"""Learning rates step by step, and the optimiser that they scale.

Rates are evaluated before training, by optax, and handed to the compiled program as
numbers: another schedule compiles nothing.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tnqrnn.checks import check_choice, check_finite, check_int, check_number
from tnqrnn.training.programs import promotion_as_usual

LEARNING_RATE = 3e-3
SCHEDULES = ("cosine", "constant")

Schedule = str | Callable[[Any], Any] | None


@functools.cache
def adam() -> optax.GradientTransformation:
    """Adam at rate 1 [kingma2015]; one object, by which programs are found again."""
    return optax.chain(optax.scale_by_adam(), optax.scale(-1.0))


@functools.lru_cache(maxsize=16)
def with_extra_arguments(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """An optimiser that may be given value, grad and value_fn, and ignores the rest."""
    return optax.with_extra_args_support(optimizer)


def check_rates(
    learning_rate: float | None, schedule: Schedule, warmup_epochs: int, epochs: int
) -> None:
    """Refuses a rate, schedule or warm-up out of range.

    Raises:
        ValueError: one is.
    """
    check_int("warmup_epochs", warmup_epochs, minimum=0, maximum=epochs - 1)
    if learning_rate is not None:
        check_number("learning_rate", learning_rate, minimum=0)
    if not callable(schedule):
        if schedule is not None:
            check_choice("schedule", schedule, SCHEDULES)
    elif learning_rate is not None or warmup_epochs:
        raise ValueError(
            "learning_rate and warmup_epochs must be left out when schedule is a "
            f"function of the step, got {learning_rate!r} and {warmup_epochs!r}."
        )


def rates(
    learning_rate: float | None,
    schedule: str | Callable[[Any], Any],
    n_warmup: int,
    n_steps: int,
) -> np.ndarray:
    """What the optimiser's updates are multiplied by, real, of shape (n_steps,).

    Args:
        learning_rate: the rate after the warm-up; ``None`` where the schedule is a
            function.
        schedule: ``"cosine"``, ``"constant"`` or a function of the step.
        n_warmup: steps over which the rate rises linearly from 0.
        n_steps: all steps of the run.

    Raises:
        ValueError: a schedule of the user's gave NaN or infinity.
    """
    if callable(schedule):
        rate = schedule
    else:
        assert learning_rate is not None  # only a function brings its own
        rate = optax.constant_schedule(learning_rate)
        if schedule == "cosine":
            rate = optax.cosine_decay_schedule(learning_rate, n_steps - n_warmup)
        if n_warmup:
            rising = optax.linear_schedule(0.0, learning_rate, n_warmup)
            rate = optax.join_schedules([rising, rate], [n_warmup])
    with promotion_as_usual():
        steps = jnp.arange(n_steps)
        values = np.asarray(jax.vmap(lambda step: jnp.asarray(rate(step)))(steps))
    check_finite("schedule's rates", values)
    return values


def behaviour(optimizer: optax.GradientTransformation, params: Any) -> list[float]:
    """Numbers by which an optimiser is known again.

    An optax transformation is a pair of functions: what it was made with cannot be
    read. So it takes two steps here, on made-up gradients, and each leaf's update is
    summed up in one number of three digits.
    """
    transformation = with_extra_arguments(optimizer)

    def gradient(leaf: jax.Array, scale: float) -> jax.Array:
        waves = jnp.cos(1.0 + jnp.arange(leaf.size, dtype=leaf.dtype))
        return scale * waves.reshape(leaf.shape)

    def value(params: Any) -> jax.Array:
        squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)]
        return jnp.sum(jnp.stack(squares))

    numbers = []
    with promotion_as_usual():
        state = transformation.init(params)
        for scale in (1.0, 0.3):
            grads = jax.tree.map(lambda leaf, s=scale: gradient(leaf, s), params)
            updates, state = transformation.update(
                grads, state, params, value=value(params), grad=grads, value_fn=value
            )
            for leaf in jax.tree.leaves(updates):
                weights = jnp.sin(2.0 + jnp.arange(leaf.size, dtype=leaf.dtype))
                numbers.append(float(f"{float(jnp.vdot(leaf.ravel(), weights)):.3g}"))
    return numbers
