"""What a recurrent cell, quantum or classical, offers to the loop and the models."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from tnqrnn.backends import AbstractBackend, Truncation
from tnqrnn.checks import check_finite

Carry = Any
Module = TypeVar("Module", bound=eqx.Module)


class Rollout(NamedTuple):
    """What :func:`tnqrnn.unroll` returns.

    Attributes:
        readouts (array of shape (T, M) or (B, T, M)): z_t of every step; after a
            sample's last step those of the last step.
        carry: the final carry, with a leading axis B if there is a batch.
        truncation: after every step, each array with leading axes (T,) or (B, T);
            ``None`` for a classical cell.
    """

    readouts: jax.Array
    carry: Carry
    truncation: Truncation | None


class AbstractCell(eqx.Module):
    """One step of a recurrence; the loop belongs to :func:`tnqrnn.unroll`.

    A cell's inexact array leaves are exactly its trainable parameters. Its methods take
    one sample.

    Attributes:
        input_size: F, length of x_t.

    A cell that reads a context has its length C as ``context_size``.
    """

    input_size: eqx.AbstractVar[int]

    @property
    @abc.abstractmethod
    def output_size(self) -> int:
        """M, length of what a step gives."""

    @property
    @abc.abstractmethod
    def gradients(self) -> tuple[str, ...]:
        """Gradient modes :func:`tnqrnn.unroll` may use, the default first."""

    @property
    def has_chance(self) -> bool:
        """Whether a step draws from a key; without it none is handed over."""
        return False

    @property
    def lost_names(self) -> tuple[str, ...]:
        """What :meth:`lost` says."""
        return ()

    @property
    def grows(self) -> bool:
        """Whether a step makes the carry larger, so that steps cannot be scanned."""
        return False

    @abc.abstractmethod
    def init(self) -> Carry:
        """The carry before the first step, a pytree."""

    @abc.abstractmethod
    def __call__(
        self,
        carry: Carry,
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Carry, jax.Array]:
        """Takes x of shape (F,) and gives the next carry and z of shape (M,).

        Args:
            carry: what the step before gave.
            x (array of shape (F,)): the input.
            context (array of shape (C,)): the sample's context. A cell whose
                ``context_size`` is 0 never gets one.
            key: PRNG key of this step's chance; ``None`` for none. A cell without
                chance may do without this argument unless :func:`tnqrnn.unroll` is
                given a key.
        """

    def select(self, condition: jax.Array, new: Carry, old: Carry) -> Carry:
        """``new`` where ``condition``, of shape (), is true, else ``old``.

        A roll-out asks it after the last step of a sample that is shorter than its
        batch.
        """
        return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)

    def check_context(self, context: Any, lead: tuple[int, ...]) -> None:
        """Refuses a context that the cell cannot read, or a missing one.

        Args:
            context: an array of shape ``(*lead, C)`` or ``None``.
            lead: ``(B,)`` of a batch, else ``()``.

        Raises:
            ValueError: another shape, one too many or too few, or NaN or infinity.
        """
        size = getattr(self, "context_size", 0)
        wanted = (*lead, size) if size else None
        shape = None if context is None else np.shape(context)
        if shape != wanted:
            rule = f"of shape {wanted}" if wanted else "None"
            raise ValueError(
                f"context must be {rule} for a cell of context_size={size}, "
                f"got {'None' if shape is None else shape}."
            )
        if context is not None:
            check_finite("context", context)

    @abc.abstractmethod
    def features(self, z: jax.Array) -> jax.Array:
        """What a head receives of z: scaled readouts, or z itself. Shape (M,)."""

    def lost(self, truncation: Any) -> dict[str, jax.Array]:
        """What a roll-out lost of each sample by its end, for scores and logs.

        Args:
            truncation: of a batch's roll-out, with leading axes (B, T).

        Returns:
            one array of shape (B,) for each of ``lost_names``.
        """
        return {}

    def check_lost(self, largest: Mapping[str, float]) -> None:
        """Warns or raises where a sample of a batch lost too much.

        Args:
            largest: the largest value of each of ``lost_names``.
        """

    @abc.abstractmethod
    def truncation(self, carry: Carry) -> Truncation | None:
        """What a quantum state has lost so far; ``None`` for a classical cell."""

    @abc.abstractmethod
    def with_backend(self, backend: AbstractBackend) -> "AbstractCell":
        """The same parameters on another representation of the quantum state.

        Raises:
            ValueError: the cell holds no quantum state.
        """


def parameter_dtype(module: eqx.Module) -> Any:
    """The dtype that a module's parameters share; JAX's default without any."""
    leaves = jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array))
    return leaves[0].dtype if leaves else jnp.result_type(float)


def with_fields(module: Module, **new: Any) -> Module:
    """A copy of a module with other fields: its ``__init__`` would draw new weights."""
    copy = object.__new__(type(module))
    for field in dataclasses.fields(module):
        value = new.get(field.name, getattr(module, field.name))
        object.__setattr__(copy, field.name, value)
    return copy
