"""Models over any cell: one linear head on what the cell reads out."""

import abc
from typing import Self

import equinox as eqx
import jax
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_choice, check_int
from tnqrnn.model.base import AbstractCell
from tnqrnn.model.rnn import GRADIENTS, Rollout, unroll


class AbstractSequenceModel(eqx.Module):
    """A cell and a linear head; subclasses say which steps the head sees."""

    cell: eqx.AbstractVar[AbstractCell]
    head: eqx.AbstractVar[eqx.nn.Linear]
    n_classes: eqx.AbstractVar[int]
    gradient: eqx.AbstractVar[str]

    def __call__(self, xs: ArrayLike, *, gradient: str | None = None) -> jax.Array:
        """Logits for xs of shape (T, F) or (B, T, F); see :meth:`rollout`."""
        return self.rollout(xs, gradient=gradient)[0]

    def rollout(
        self, xs: ArrayLike, *, gradient: str | None = None
    ) -> tuple[jax.Array, Rollout]:
        """Logits, and the roll-out they come from.

        Args:
            xs (array of shape (T, F) or (B, T, F)): inputs.
            gradient: mode of :func:`tnqrnn.unroll`; ``None`` for the model's own.

        Raises:
            ValueError: see :func:`tnqrnn.unroll`.
        """
        mode = self.gradient if gradient is None else gradient
        rollout = unroll(self.cell, xs, gradient=mode)
        return self.classify(rollout.readouts), rollout

    @abc.abstractmethod
    def classify(self, readouts: jax.Array) -> jax.Array:
        """Logits from readouts of shape (T, M) or (B, T, M)."""

    def with_backend(self, backend: AbstractBackend) -> Self:
        """The same parameters on another representation of the quantum state.

        Raises:
            ValueError: the cell is classical.
        """
        cell = self.cell.with_backend(backend)
        dtype = jax.tree.leaves(eqx.filter(cell, eqx.is_inexact_array))[0].dtype
        head = jax.tree.map(lambda leaf: leaf.astype(dtype), self.head)
        return eqx.tree_at(lambda model: (model.cell, model.head), self, (cell, head))


class SequenceClassifier(AbstractSequenceModel):
    """Classifies a sequence from the last step's readouts.

    Args:
        cell: quantum or classical.
        n_classes: C >= 2.
        gradient: mode of :func:`tnqrnn.unroll` that the model uses, in training too.
        key: PRNG key of the head's initial weights.

    Raises:
        ValueError: ``n_classes`` below 2, or an unknown gradient mode.

    >>> import jax, jax.numpy as jnp
    >>> import tnqrnn as tq
    >>> keys = jax.random.split(jax.random.key(0))
    >>> cell = tq.QRNNCell(8, tq.hardware_efficient(3), key=keys[0])
    >>> model = tq.SequenceClassifier(cell, 10, key=keys[1])
    >>> model(jnp.ones((5, 8, 8))).shape
    (5, 10)
    """

    cell: AbstractCell
    head: eqx.nn.Linear
    n_classes: int = eqx.field(static=True)
    gradient: str = eqx.field(static=True)

    def __init__(
        self,
        cell: AbstractCell,
        n_classes: int,
        *,
        gradient: str = "auto",
        key: PRNGKeyArray,
    ) -> None:
        self.cell = cell
        self.gradient = check_choice("gradient", gradient, ("auto", *GRADIENTS))
        self.n_classes = check_int("n_classes", n_classes, minimum=2)
        self.head = _head(cell, n_classes, key)

    def classify(self, readouts: jax.Array) -> jax.Array:
        """Logits of shape (C,) or (B, C) from readouts (T, M) or (B, T, M)."""
        last = readouts[..., -1, :]
        one = lambda z: self.head(self.cell.features(z))  # noqa: E731
        return one(last) if last.ndim == 1 else jax.vmap(one)(last)


class SequenceLabeler(AbstractSequenceModel):
    """Gives logits at every step; arguments as :class:`SequenceClassifier`."""

    cell: AbstractCell
    head: eqx.nn.Linear
    n_classes: int = eqx.field(static=True)
    gradient: str = eqx.field(static=True)

    def __init__(
        self,
        cell: AbstractCell,
        n_classes: int,
        *,
        gradient: str = "auto",
        key: PRNGKeyArray,
    ) -> None:
        self.cell = cell
        self.gradient = check_choice("gradient", gradient, ("auto", *GRADIENTS))
        self.n_classes = check_int("n_classes", n_classes, minimum=2)
        self.head = _head(cell, n_classes, key)

    def classify(self, readouts: jax.Array) -> jax.Array:
        """Logits of shape (T, C) or (B, T, C) from readouts (T, M) or (B, T, M)."""
        steps = jax.vmap(lambda z: self.head(self.cell.features(z)))
        return steps(readouts) if readouts.ndim == 2 else jax.vmap(steps)(readouts)


def _head(cell: AbstractCell, n_classes: int, key: PRNGKeyArray) -> eqx.nn.Linear:
    dtype = jax.tree.leaves(eqx.filter(cell, eqx.is_inexact_array))[0].dtype
    return eqx.nn.Linear(cell.output_size, n_classes, dtype=dtype, key=key)
