"""Models over any cell: an embedding of token ids, the cell, and one linear head.

::

    ids (B, T) --embedding--> xs (B, T, F) --cell--> z (B, T, M) --head--> outputs
    features (B, T, F) ---------^
"""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_int
from tnqrnn.model.base import AbstractCell, Carry, Rollout, parameter_dtype
from tnqrnn.model.controller import dropped
from tnqrnn.model.gradients.base import before_end
from tnqrnn.model.rnn import check_lengths, roll_out, start_of_batch, within_budget

POOLS = ("last", "mean", "max")


class AbstractSequenceModel(eqx.Module):
    """A cell with what comes before and after it; subclasses say what the head sees.

    Attributes:
        cell: quantum or classical.
        embedding: a vector of length F for every token id; ``None`` if inputs are
            features.
        dropout: the share of values of embedded inputs and of the head's inputs that
            are set to 0 where a call is given a key.
        gradient: mode of :func:`tnqrnn.unroll` that the model uses.
        learns: what the targets it can learn are, for messages.
    """

    cell: eqx.AbstractVar[AbstractCell]
    embedding: eqx.AbstractVar[eqx.nn.Embedding | None]
    dropout: eqx.AbstractVar[float]
    gradient: eqx.AbstractVar[str]
    learns: ClassVar[tuple[str, ...]]

    def __call__(self, xs: ArrayLike, **options: Any) -> jax.Array:
        """The outputs alone; takes what :meth:`rollout` takes."""
        return self.rollout(xs, **options)[0]

    def rollout(
        self,
        xs: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        carry: Carry | None = None,
        context: Any = None,
        key: PRNGKeyArray | None = None,
        gradient: str | None = None,
    ) -> tuple[jax.Array, Rollout]:
        """Outputs, and the roll-out they come from.

        Args:
            xs (array of shape (T, F) or (B, T, F), or integers (T,) or (B, T)):
                features, or token ids for a model with an embedding.
            lengths (integers of shape () or (B,)): the steps of each sample.
            carry: where to start; see :func:`tnqrnn.unroll`.
            context: what every step reads beside x; see there.
            key: PRNG key of dropout and all other chance; ``None`` for none.
            gradient: mode of :func:`tnqrnn.unroll`; ``None`` for the model's own.

        Raises:
            ValueError: token ids out of range; else see :func:`tnqrnn.unroll`.
        """
        self.check_inputs(xs, lengths)
        outputs, rollout = self.run(
            xs,
            lengths=lengths,
            carry=carry,
            context=context,
            key=key,
            gradient=gradient,
        )
        return outputs, within_budget(self.cell, rollout)

    def run(
        self,
        xs: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        carry: Carry | None = None,
        context: Any = None,
        key: PRNGKeyArray | None = None,
        gradient: str | None = None,
    ) -> tuple[jax.Array, Rollout]:
        """:meth:`rollout` without a look at ids and at what was lost, for training."""
        keys = (None, None, None) if key is None else jax.random.split(key, 3)
        features = self._features(xs, lengths, keys[0])
        rollout = roll_out(
            self.cell,
            features,
            lengths=lengths,
            carry=carry,
            context=context,
            key=keys[1],
            gradient=self.gradient if gradient is None else gradient,
        )
        return self.read_out(rollout.readouts, lengths, keys[2]), rollout

    def read_out(
        self,
        readouts: jax.Array,
        lengths: ArrayLike | None = None,
        key: PRNGKeyArray | None = None,
    ) -> jax.Array:
        """The outputs that follow from readouts.

        Args:
            readouts (array of shape (T, M) or (B, T, M)): of every step.
            lengths: the steps of each sample.
            key: PRNG key of dropout; ``None`` for none.
        """
        seen = jnp.vectorize(self.cell.features, signature="(m)->(m)")(
            self.pooled(readouts, lengths)
        )
        return self.outputs(dropped(seen, self.dropout, key))

    def _features(
        self, xs: ArrayLike, lengths: ArrayLike | None, key: PRNGKeyArray | None
    ) -> ArrayLike:
        """What the cell receives, (T, F) or (B, T, F)."""
        if self.embedding is None:
            return xs
        ids = jnp.asarray(xs)
        if not jnp.issubdtype(ids.dtype, jnp.integer) or ids.ndim not in (1, 2):
            raise ValueError(
                "xs must be token ids, integers of shape (T,) or (B, T), for a model "
                f"with an embedding, got {ids.dtype} values of shape {ids.shape}."
            )
        if lengths is not None:  # what stands in padding need not be an id
            lengths = check_lengths(lengths, ids.shape[:-1], ids.shape[-1])
            ids = jnp.where(before_end(lengths, ids.shape[-1]), ids, 0)
        return dropped(self.embedding.weight[ids], self.dropout, key)

    def check_inputs(self, xs: ArrayLike, lengths: ArrayLike | None = None) -> None:
        """Refuses token ids that the embedding does not have, where they are known.

        Raises:
            ValueError: an id is negative or too large, or there is no embedding.
        """
        if self.embedding is None or isinstance(xs, jax.core.Tracer):
            return
        ids = np.asarray(xs)
        if not np.issubdtype(ids.dtype, np.integer) or ids.size == 0:
            return  # the call itself refuses these
        if lengths is not None and not isinstance(lengths, jax.core.Tracer):
            steps = np.arange(ids.shape[-1])
            ids = ids[steps < np.expand_dims(np.asarray(lengths), -1)]
        n_tokens = self.embedding.num_embeddings
        if ids.size and (ids.min() < 0 or ids.max() >= n_tokens):
            raise ValueError(
                f"xs must be token ids in [0, {n_tokens}), got values from "
                f"{ids.min()} to {ids.max()}."
            )

    @property
    def has_chance(self) -> bool:
        """Whether a call draws from a key."""
        return self.dropout > 0 or self.cell.has_chance

    @property
    def lost_names(self) -> tuple[str, ...]:
        """What :meth:`lost` says: that of the cell."""
        return self.cell.lost_names

    def lost(self, rollout: Rollout) -> dict[str, jax.Array]:
        """What a batch's roll-out lost of each sample, arrays of shape (B,)."""
        return self.cell.lost(rollout.truncation)

    def check_lost(self, largest: Mapping[str, float]) -> None:
        """Warns or raises where a sample of a batch lost too much."""
        self.cell.check_lost(largest)

    def start(self, batch: int) -> Carry:
        """The carry before the first step, for every sample of a batch."""
        return start_of_batch(self.cell, batch)

    @abc.abstractmethod
    def pooled(self, readouts: jax.Array, lengths: ArrayLike | None) -> jax.Array:
        """What the head sees of the readouts, (..., T, M): some or all steps."""

    @abc.abstractmethod
    def outputs(self, seen: jax.Array) -> jax.Array:
        """The head, on what it sees, (..., M)."""

    def with_backend(self, backend: AbstractBackend) -> Self:
        """The same parameters on another representation of the quantum state.

        Raises:
            ValueError: the cell is classical.
        """
        cell = self.cell.with_backend(backend)
        dtype = parameter_dtype(cell)
        cast = jax.tree.map(lambda leaf: leaf.astype(dtype), self)
        return eqx.tree_at(lambda model: model.cell, cast, cell)


def pool(readouts: jax.Array, lengths: ArrayLike | None, how: str) -> jax.Array:
    """One vector of M readouts a sequence, from those of its steps.

    Args:
        readouts (array of shape (..., T, M)): after a sample's last step, those of it.
        lengths (integers of shape (...)): steps that count; ``None`` when all do.
        how: ``"last"``, ``"mean"`` or ``"max"``, over the steps that count.
    """
    if how == "last":  # a sample stands still after its last step
        return readouts[..., -1, :]
    if how == "max":  # so repeating it changes no maximum either
        return readouts.max(axis=-2)
    if lengths is None:
        return readouts.mean(axis=-2)
    weights = before_end(lengths, readouts.shape[-2]).astype(readouts.dtype)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return jnp.sum(readouts * weights[..., None], axis=-2)


def linear(layer: eqx.nn.Linear, seen: jax.Array) -> jax.Array:
    """A linear layer on the last axis, (..., M) to (..., C)."""
    return jnp.vectorize(layer, signature="(m)->(c)")(seen)


def make_embedding(
    cell: AbstractCell, sizes: tuple[int, int] | None, key: PRNGKeyArray
) -> eqx.nn.Embedding | None:
    """A vector for every token id, as long as the cell's input."""
    if sizes is None:
        return None
    if not isinstance(sizes, tuple | list) or len(sizes) != 2:
        raise ValueError(f"embedding must be (n_tokens, size) or None, got {sizes!r}.")
    n_tokens = check_int("embedding: n_tokens", sizes[0], minimum=1)
    size = check_int("embedding: size", sizes[1], minimum=1)
    if size != cell.input_size:
        raise ValueError(
            f"embedding must be of the cell's input_size = {cell.input_size}, "
            f"got size {size}."
        )
    dtype = parameter_dtype(cell)
    return eqx.nn.Embedding(n_tokens, size, dtype=dtype, key=jax.random.fold_in(key, 1))


def make_head(cell: AbstractCell, n_outputs: int, key: PRNGKeyArray) -> eqx.nn.Linear:
    """A linear layer with bias from M readouts to ``n_outputs`` numbers."""
    dtype = parameter_dtype(cell)
    return eqx.nn.Linear(cell.output_size, n_outputs, dtype=dtype, key=key)
