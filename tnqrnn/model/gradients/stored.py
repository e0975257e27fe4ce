"""Ordinary backpropagation through time: the history is kept, whole or in part."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from tnqrnn.backends.mps.truncation import save_factors
from tnqrnn.model.base import AbstractCell, Carry, Rollout, parameter_dtype
from tnqrnn.model.gradients.base import (
    AbstractGradient,
    Moment,
    Samples,
    given,
    moments,
)


@dataclass(frozen=True)
class Store(AbstractGradient):
    """Keeps everything that the forward pass computed."""

    name: ClassVar[str] = "store"

    def roll(self, cell: AbstractCell, samples: Samples) -> Rollout:
        return _roll(cell, samples, lambda step: step)


@dataclass(frozen=True)
class Checkpoint(AbstractGradient):
    """Keeps each step's carry and the factors of an MPS's splits.

    The rest of a step is computed again on the way back.
    """

    name: ClassVar[str] = "checkpoint"

    def roll(self, cell: AbstractCell, samples: Samples) -> Rollout:
        remember = functools.partial(jax.checkpoint, policy=save_factors)
        return _roll(cell, samples, remember)


def _roll(cell: AbstractCell, samples: Samples, remember: Callable) -> Rollout:
    """Steps in a loop; ``remember`` wraps a step to say what is kept of it."""
    params, static = eqx.partition(cell, eqx.is_inexact_array)
    # z of a step after a sample's end is z of its last one, so that is carried along.
    # The first step comes before every end: what stands here is never given.
    nothing = None
    if samples.lengths is not None:
        shape = (len(samples.xs), cell.output_size)
        nothing = jnp.zeros(shape, parameter_dtype(cell))

    def step(params: Any, both: tuple, moment: Moment) -> tuple:
        cell = eqx.combine(params, static)

        def of_a_sample(carry, last, x, active, key, context):
            new, z = cell(carry, x, **given(context=context, key=key))
            if active is not None:
                new = cell.select(active, new, carry)
                z = jnp.where(active, z, last)
            return new, z

        carry, last = both
        carry, z = jax.vmap(of_a_sample)(
            carry, last, moment.x, moment.active, moment.keys, samples.context
        )
        last = None if samples.lengths is None else z
        return (carry, last), (z, jax.vmap(cell.truncation)(carry))

    step = functools.partial(remember(step), params)
    loop = _loop if cell.grows else jax.lax.scan
    both, (zs, truncation) = loop(step, (samples.carry, nothing), moments(samples))
    return Rollout(zs, both[0], truncation)


def _loop(step: Callable, carry: Carry, stacked: Any) -> tuple[Carry, Any]:
    """``jax.lax.scan``, written out: a carry that grows has another shape each time."""
    n_steps = len(jax.tree.leaves(stacked)[0])
    outputs = []
    for i in range(n_steps):
        carry, output = step(carry, jax.tree.map(lambda leaf, i=i: leaf[i], stacked))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)
