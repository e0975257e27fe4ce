"""The plain recurrence."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from tnqrnn.model.cells.base import AbstractClassicalCell, checked_dtype, checked_sizes


class RNN(AbstractClassicalCell):
    """The plain recurrence [elman1990]: ``h_t = tanh(W [x_t; c] + U h_{t-1} + b)``.

    Args:
        input_size: F.
        hidden_size: length of h.
        context_size: C, length of a context that every step reads; 0 for none.
        dtype: of the weights, ``"float32"`` or ``"float64"``.
        key: PRNG key of the initial weights.

    Raises:
        ValueError: a size out of range or an unknown dtype.
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    context_size: int = eqx.field(static=True)
    from_input: eqx.nn.Linear
    from_hidden: eqx.nn.Linear

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        context_size: int = 0,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        sizes = checked_sizes(input_size, hidden_size, context_size)
        self.input_size, self.hidden_size, self.context_size = sizes
        keys, dtype = jax.random.split(key), checked_dtype(dtype)
        n_in = self.input_size + self.context_size
        self.from_input = eqx.nn.Linear(
            n_in, self.hidden_size, dtype=dtype, key=keys[0]
        )
        self.from_hidden = eqx.nn.Linear(
            self.hidden_size, self.hidden_size, False, dtype=dtype, key=keys[1]
        )

    def init(self) -> jax.Array:
        """The hidden vector 0, of shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, self.from_input.weight.dtype)

    def __call__(
        self,
        carry: jax.Array,
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Takes h and x of shape (F,), gives the next h twice: as carry and as z."""
        x = self.inputs(x, context, carry.dtype)
        h = jnp.tanh(self.from_input(x) + self.from_hidden(carry))
        return h, h
