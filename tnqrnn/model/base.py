"""What a recurrent cell, quantum or classical, offers to the loop and the models."""

import abc
import dataclasses
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from tnqrnn.backends import AbstractBackend, Truncation

Carry = Any
Module = TypeVar("Module", bound=eqx.Module)


class AbstractCell(eqx.Module):
    """One step of a recurrence; the loop belongs to :func:`tnqrnn.unroll`.

    A cell's inexact array leaves are exactly its trainable parameters. Its methods take
    one sample.

    Attributes:
        input_size: F, length of x_t.
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
    def grows(self) -> bool:
        """Whether a step makes the carry larger, so that steps cannot be scanned."""
        return False

    @abc.abstractmethod
    def init(self) -> Carry:
        """The carry before the first step, a pytree."""

    @abc.abstractmethod
    def __call__(self, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """Takes x of shape (F,) and gives the next carry and z of shape (M,)."""

    @abc.abstractmethod
    def features(self, z: jax.Array) -> jax.Array:
        """What a head receives of z: scaled readouts, or z itself. Shape (M,)."""

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
