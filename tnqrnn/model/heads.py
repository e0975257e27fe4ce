"""Models over any cell: one linear head on what the cell reads out."""

import abc
from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_choice, check_instance, check_int
from tnqrnn.model.base import AbstractCell, parameter_dtype
from tnqrnn.model.rnn import GRADIENTS, Rollout, unroll


class AbstractSequenceModel(eqx.Module):
    """A cell and a linear head; subclasses say which steps the head sees."""

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
        self.cell = check_instance("cell", cell, AbstractCell)
        self.gradient = check_choice("gradient", gradient, ("auto", *GRADIENTS))
        self.n_classes = check_int("n_classes", n_classes, minimum=2)
        dtype = parameter_dtype(cell)
        self.head = eqx.nn.Linear(
            cell.output_size, self.n_classes, dtype=dtype, key=key
        )

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

    def _logits(self, z: jax.Array) -> jax.Array:
        """The head on what steps read out, (..., M) to (..., C)."""
        one = lambda z: self.head(self.cell.features(z))  # noqa: E731
        return jnp.vectorize(one, signature="(m)->(c)")(z)

    def with_backend(self, backend: AbstractBackend) -> Self:
        """The same parameters on another representation of the quantum state.

        Raises:
            ValueError: the cell is classical.
        """
        cell = self.cell.with_backend(backend)
        dtype = parameter_dtype(cell)
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

    __init__ = AbstractSequenceModel.__init__  # or type checkers see a dataclass's

    def classify(self, readouts: jax.Array) -> jax.Array:
        """Logits of shape (C,) or (B, C) from readouts (T, M) or (B, T, M)."""
        return self._logits(readouts[..., -1, :])


class SequenceLabeler(AbstractSequenceModel):
    """Gives logits at every step; arguments as :class:`SequenceClassifier`."""

    __init__ = AbstractSequenceModel.__init__

    def classify(self, readouts: jax.Array) -> jax.Array:
        """Logits of shape (T, C) or (B, T, C) from readouts (T, M) or (B, T, M)."""
        return self._logits(readouts)
