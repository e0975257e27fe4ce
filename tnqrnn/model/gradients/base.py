"""What gradient modes share: the samples they roll out, and one step of them."""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.model.base import AbstractCell, Carry, Rollout


class Samples(NamedTuple):
    """A batch of sequences and all that a roll-out needs of each of them.

    Attributes:
        xs (array of shape (B, T, F)): inputs, 0 after a sample's last step.
        carry: where each sample starts, with a leading axis B.
        lengths (array of shape (B,)): steps of each sample; ``None`` when all have T.
        context: pytree of arrays with a leading axis B that every step reads, or
            ``None``.
        keys (PRNG keys of shape (B,)): one a sample, or ``None`` for no chance.
    """

    xs: jax.Array
    carry: Carry
    lengths: jax.Array | None = None
    context: Any = None
    keys: jax.Array | None = None


class Moment(NamedTuple):
    """What a step of all samples of a batch receives.

    Attributes:
        x (array of shape (B, F)): inputs.
        active (array of shape (B,)): whether the step comes before a sample's end, or
            ``None`` when it always does.
        keys (PRNG keys of shape (B,)): one a sample, another at every step, or
            ``None``.
    """

    x: jax.Array
    active: jax.Array | None
    keys: jax.Array | None


@dataclass(frozen=True)
class AbstractGradient(abc.ABC):
    """A way to roll a cell out and to differentiate the roll-out.

    Attributes:
        name: what :func:`tnqrnn.unroll` calls it.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def roll(self, cell: AbstractCell, samples: Samples) -> Rollout:
        """Rolls out all samples, side by side.

        Returns:
            readouts of shape (T, B, M), final carry with a leading axis B, and the
            truncation record with leading axes (T, B).
        """

    def group_size(self, cell: AbstractCell, carry: Carry) -> int:
        """How many samples of a batch are best rolled out together, over all steps."""
        return len(jax.tree.leaves(carry)[0])


def moments(samples: Samples) -> Moment:
    """What each step receives, stacked along a leading axis of steps."""
    n_steps = samples.xs.shape[1]
    steps = jnp.arange(n_steps, dtype=jnp.int32)
    active = keys = None
    if samples.lengths is not None:
        active = before_end(samples.lengths, n_steps).T
    if samples.keys is not None:
        at_step = jax.vmap(jax.random.fold_in, in_axes=(0, None))
        keys = jax.vmap(at_step, in_axes=(None, 0))(samples.keys, steps)
    return Moment(jnp.swapaxes(samples.xs, 0, 1), active, keys)


def before_end(lengths: ArrayLike, n_steps: int) -> jax.Array:
    """Which steps come before each sample's end, bool of shape (..., n_steps)."""
    steps = np.arange(n_steps, dtype=np.int32).reshape(*[1] * np.ndim(lengths), -1)
    return jnp.less(steps, jnp.expand_dims(jnp.asarray(lengths, jnp.int32), -1))


def given(**options: Any) -> dict[str, Any]:
    """The options that are not ``None``: a cell need not know those it never gets."""
    return {name: value for name, value in options.items() if value is not None}
