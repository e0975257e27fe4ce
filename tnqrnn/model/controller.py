"""The classical controller: [input embedding x_t; last readouts z_{t-1}] to angles."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from tnqrnn.checks import check_choice, check_int, check_number
from tnqrnn.products import PRECISION

_ACTIVATIONS = {
    "linear": lambda h: h,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "tanh": jnp.tanh,
    "glu": jax.nn.glu,
}


@dataclass(frozen=True)
class Controller:
    """Description of a feedforward controller.

    Args:
        activation: ``linear``, ``relu``, ``gelu``, ``glu`` or ``tanh``, after every
            hidden layer. With ``glu`` a hidden layer of size h is made from 2h values,
            ``a * sigmoid(b)`` [dauphin2017].
        hidden: sizes of the hidden layers; ``()`` for a single affine map.
        embedding_size: size of a learned linear embedding of the input; ``None`` feeds
            the input as it is.
        init_scale: factor on the output layer's initial weights. Small values start
            every circuit near the identity; at 1 each step scrambles the state and
            little is learned (docs/sharp_bits.md).

        dropout: the share of hidden values that training sets to 0, in [0, 1); only
            where a roll-out is given a key.

    Raises:
        ValueError: an unknown activation, or a size or scale out of range.
    """

    activation: str = "gelu"
    hidden: Sequence[int] = (64,)
    embedding_size: int | None = None
    init_scale: float = 0.1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, _ACTIVATIONS)
        hidden = tuple(check_int("hidden", size, minimum=1) for size in self.hidden)
        object.__setattr__(self, "hidden", hidden)
        if self.embedding_size is not None:
            size = check_int("embedding_size", self.embedding_size, minimum=1)
            object.__setattr__(self, "embedding_size", size)
        init_scale = check_number("init_scale", self.init_scale, minimum=0)
        object.__setattr__(self, "init_scale", init_scale)
        object.__setattr__(self, "dropout", check_dropout(self.dropout))


class ControllerNetwork(eqx.Module):
    """The network a :class:`Controller` describes.

    Args:
        spec: the description.
        input_size: F.
        feedback_size: number of readouts fed back, 0 for none.
        output_size: P, number of angles.
        dtype: type of the weights.
        key: PRNG key of the initial weights.
    """

    embedding: eqx.nn.Linear | None
    layers: tuple[eqx.nn.Linear, ...]
    activation: str = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __init__(
        self,
        spec: Controller,
        input_size: int,
        feedback_size: int,
        output_size: int,
        *,
        dtype: str,
        key: PRNGKeyArray,
    ) -> None:
        keys = jax.random.split(key, len(spec.hidden) + 2)
        self.activation = spec.activation
        self.dropout = spec.dropout
        self.embedding = None
        embedded = input_size
        if spec.embedding_size is not None:
            embedded = spec.embedding_size
            self.embedding = eqx.nn.Linear(
                input_size, embedded, dtype=jnp.dtype(dtype), key=keys[-1]
            )
        sizes_in = (embedded + feedback_size, *spec.hidden)
        doubling = 2 if spec.activation == "glu" else 1
        sizes_out = (*(doubling * size for size in spec.hidden), output_size)
        layers = [
            eqx.nn.Linear(n_in, n_out, dtype=jnp.dtype(dtype), key=k)
            for n_in, n_out, k in zip(sizes_in, sizes_out, keys[:-1], strict=True)
        ]
        layers[-1] = jax.tree.map(lambda leaf: leaf * spec.init_scale, layers[-1])
        self.layers = tuple(layers)

    def __call__(
        self, x: jax.Array, others: jax.Array, *, key: PRNGKeyArray | None = None
    ) -> jax.Array:
        """Angles of shape (P,) from x of shape (F,) and what is read beside it.

        Args:
            x: the input.
            others: the readouts fed back, then the context.
            key: PRNG key of dropout; ``None`` for none.
        """
        if self.embedding is not None:
            x = _affine(self.embedding, x)
        h = jnp.concatenate([x, others])  # h_0 = [E x_t; s z_{t-1}; c]
        for i, layer in enumerate(self.layers[:-1]):
            h = _ACTIVATIONS[self.activation](_affine(layer, h))
            if key is not None:
                h = dropped(h, self.dropout, jax.random.fold_in(key, i))
        return _affine(self.layers[-1], h)


def check_dropout(dropout: float) -> float:
    """A share of values to drop, in [0, 1).

    Raises:
        ValueError: another number.
    """
    if check_number("dropout", dropout, minimum=0, maximum=1) == 1:
        raise ValueError(f"dropout must be below 1, got {dropout!r}.")
    return float(dropout)


def dropped(h: jax.Array, dropout: float, key: PRNGKeyArray | None) -> jax.Array:
    """``h`` with a share of its values set to 0, the others scaled up [srivastava2014].

    The scale 1 / (1 - dropout) keeps the mean.

    Args:
        h: any array.
        dropout: the share, in [0, 1).
        key: PRNG key; ``None`` leaves ``h`` as it is.
    """
    if key is None or dropout == 0:
        return h
    return eqx.nn.Dropout(dropout)(h, key=key)


def _affine(layer: eqx.nn.Linear, h: jax.Array) -> jax.Array:
    """A linear layer in full precision, whatever JAX's setting for products is."""
    with jax.default_matmul_precision(PRECISION):
        return layer(h)
