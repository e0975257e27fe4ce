"""Sequence models: classifier, labeler, regressor and language model.

They differ in which steps the head sees and in what it gives
(:mod:`tnqrnn.model.sequence_model`).
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from tnqrnn.checks import check_bool, check_choice, check_instance, check_int
from tnqrnn.model.base import AbstractCell, parameter_dtype
from tnqrnn.model.controller import check_dropout
from tnqrnn.model.gradients import GRADIENTS
from tnqrnn.model.sequence_model import (
    POOLS,
    AbstractSequenceModel,
    linear,
    make_embedding,
    make_head,
    pool,
)


class SequenceClassifier(AbstractSequenceModel):
    """Classifies a sequence from its readouts.

    Args:
        cell: quantum or classical.
        n_classes: C >= 2.
        embedding: ``(n_tokens, F)`` for token ids as inputs, F the cell's
            ``input_size``; ``None`` for features.
        pool: which readouts the head sees: ``"last"``, of each sample's own last step,
            or the ``"mean"`` or ``"max"`` over its steps.
        dropout: the share of values of embedded inputs and of the head's inputs that
            training sets to 0, in [0, 1).
        gradient: mode of :func:`tnqrnn.unroll` that the model uses, in training too.
        key: PRNG key of the initial weights of head and embedding.

    Raises:
        ValueError: ``n_classes`` below 2, an embedding of another size, a number out of
            range, or an unknown pool or gradient mode.

    >>> import jax, jax.numpy as jnp
    >>> import tnqrnn as tq
    >>> keys = jax.random.split(jax.random.key(0))
    >>> cell = tq.QRNNCell(8, tq.hardware_efficient(3), key=keys[0])
    >>> model = tq.SequenceClassifier(cell, 10, key=keys[1])
    >>> model(jnp.ones((5, 8, 8))).shape
    (5, 10)
    """

    cell: AbstractCell
    embedding: eqx.nn.Embedding | None
    head: eqx.nn.Linear
    n_classes: int = eqx.field(static=True)
    pool: str = eqx.field(static=True)
    dropout: float = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    learns: ClassVar[tuple[str, ...]] = ("classify",)

    def __init__(
        self,
        cell: AbstractCell,
        n_classes: int,
        *,
        embedding: tuple[int, int] | None = None,
        pool: str = "last",
        dropout: float = 0.0,
        gradient: str = "auto",
        key: PRNGKeyArray,
    ) -> None:
        self.cell = check_instance("cell", cell, AbstractCell)
        self.n_classes = check_int("n_classes", n_classes, minimum=2)
        self.embedding = make_embedding(cell, embedding, key)
        self.pool = check_choice("pool", pool, POOLS)
        self.dropout = check_dropout(dropout)
        self.gradient = check_choice("gradient", gradient, ("auto", *GRADIENTS))
        self.head = make_head(cell, self.n_classes, key)

    def pooled(self, readouts: jax.Array, lengths: ArrayLike | None) -> jax.Array:
        """One vector a sequence, (M,) or (B, M)."""
        return pool(readouts, lengths, self.pool)

    def outputs(self, seen: jax.Array) -> jax.Array:
        """Logits of shape (C,) or (B, C)."""
        return linear(self.head, seen)


class SequenceLabeler(AbstractSequenceModel):
    """Gives logits at every step, (T, C) or (B, T, C).

    Arguments as those of :class:`SequenceClassifier`, but for ``pool``.
    """

    cell: AbstractCell
    embedding: eqx.nn.Embedding | None
    head: eqx.nn.Linear
    n_classes: int = eqx.field(static=True)
    dropout: float = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    learns: ClassVar[tuple[str, ...]] = ("label",)

    def __init__(
        self,
        cell: AbstractCell,
        n_classes: int,
        *,
        embedding: tuple[int, int] | None = None,
        dropout: float = 0.0,
        gradient: str = "auto",
        key: PRNGKeyArray,
    ) -> None:
        self.cell = check_instance("cell", cell, AbstractCell)
        self.n_classes = check_int("n_classes", n_classes, minimum=2)
        self.embedding = make_embedding(cell, embedding, key)
        self.dropout = check_dropout(dropout)
        self.gradient = check_choice("gradient", gradient, ("auto", *GRADIENTS))
        self.head = make_head(cell, self.n_classes, key)

    def pooled(self, readouts: jax.Array, lengths: ArrayLike | None) -> jax.Array:
        """All steps."""
        return readouts

    def outputs(self, seen: jax.Array) -> jax.Array:
        """Logits of shape (T, C) or (B, T, C)."""
        return linear(self.head, seen)


class SequenceRegressor(AbstractSequenceModel):
    """Predicts numbers, a few a sequence or a few at every step.

    Args:
        cell: quantum or classical.
        n_outputs: K >= 1, numbers a prediction.
        embedding: see :class:`SequenceClassifier`.
        pool: ``"last"``, ``"mean"`` or ``"max"`` for one prediction a sequence, outputs
            (K,) or (B, K); ``None`` for one at every step, (T, K) or (B, T, K).
        dropout: see there.
        gradient: see there.
        key: see there.

    Raises:
        ValueError: ``n_outputs`` below 1, or as there.

    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(1, tq.hardware_efficient(2), key=jax.random.key(0))
    >>> model = tq.SequenceRegressor(cell, 1, pool=None, key=jax.random.key(1))
    >>> model(jnp.ones((5, 8, 1))).shape
    (5, 8, 1)
    """

    cell: AbstractCell
    embedding: eqx.nn.Embedding | None
    head: eqx.nn.Linear
    n_outputs: int = eqx.field(static=True)
    pool: str | None = eqx.field(static=True)
    dropout: float = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    learns: ClassVar[tuple[str, ...]] = ("regress",)

    def __init__(
        self,
        cell: AbstractCell,
        n_outputs: int,
        *,
        embedding: tuple[int, int] | None = None,
        pool: str | None = "last",
        dropout: float = 0.0,
        gradient: str = "auto",
        key: PRNGKeyArray,
    ) -> None:
        self.cell = check_instance("cell", cell, AbstractCell)
        self.n_outputs = check_int("n_outputs", n_outputs, minimum=1)
        self.embedding = make_embedding(cell, embedding, key)
        self.pool = None if pool is None else check_choice("pool", pool, POOLS)
        self.dropout = check_dropout(dropout)
        self.gradient = check_choice("gradient", gradient, ("auto", *GRADIENTS))
        self.head = make_head(cell, self.n_outputs, key)

    def pooled(self, readouts: jax.Array, lengths: ArrayLike | None) -> jax.Array:
        """One vector a sequence, or all steps."""
        return readouts if self.pool is None else pool(readouts, lengths, self.pool)

    def outputs(self, seen: jax.Array) -> jax.Array:
        """Predictions, (..., K)."""
        return linear(self.head, seen)


class LanguageModel(AbstractSequenceModel):
    """A distribution over the next token at every step, as logits.

    Args:
        cell: quantum or classical; its ``input_size`` is the length of a token's
            vector.
        n_tokens: size of the vocabulary, at least 2.
        tied: whether the head's weights are the embedding's: a linear map takes M
            readouts to vectors of tokens, and the logit of a token is its vector's
            product with that, and a bias. Fewer parameters for a large vocabulary.
        dropout: see :class:`SequenceClassifier`.
        gradient: see there.
        key: see there.

    Raises:
        ValueError: ``n_tokens`` below 2, or as there.

    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(6, tq.hardware_efficient(3), key=jax.random.key(0))
    >>> model = tq.LanguageModel(cell, 50, key=jax.random.key(1))
    >>> model(jnp.zeros((2, 7), int)).shape
    (2, 7, 50)
    """

    cell: AbstractCell
    embedding: eqx.nn.Embedding
    head: eqx.nn.Linear
    bias: jax.Array | None
    n_tokens: int = eqx.field(static=True)
    tied: bool = eqx.field(static=True)
    dropout: float = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    learns: ClassVar[tuple[str, ...]] = ("language", "label")

    def __init__(
        self,
        cell: AbstractCell,
        n_tokens: int,
        *,
        tied: bool = False,
        dropout: float = 0.0,
        gradient: str = "auto",
        key: PRNGKeyArray,
    ) -> None:
        self.cell = check_instance("cell", cell, AbstractCell)
        self.n_tokens = check_int("n_tokens", n_tokens, minimum=2)
        self.tied = check_bool("tied", tied)
        embedding = make_embedding(cell, (self.n_tokens, cell.input_size), key)
        assert embedding is not None  # sizes were given
        self.embedding = embedding
        self.dropout = check_dropout(dropout)
        self.gradient = check_choice("gradient", gradient, ("auto", *GRADIENTS))
        n_outputs = cell.input_size if self.tied else self.n_tokens
        self.head = make_head(cell, n_outputs, key)
        dtype = parameter_dtype(cell)
        self.bias = jnp.zeros(self.n_tokens, dtype) if self.tied else None

    def pooled(self, readouts: jax.Array, lengths: ArrayLike | None) -> jax.Array:
        """All steps."""
        return readouts

    def outputs(self, seen: jax.Array) -> jax.Array:
        """Logits of shape (T, n_tokens) or (B, T, n_tokens)."""
        logits = linear(self.head, seen)
        if self.bias is None:
            return logits
        return jnp.matmul(logits, self.embedding.weight.T) + self.bias.reshape(
            *[1] * (logits.ndim - 1), -1
        )
