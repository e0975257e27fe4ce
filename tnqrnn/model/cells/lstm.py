"""Long short-term memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from tnqrnn.model.cells.base import AbstractClassicalCell, checked_dtype, checked_sizes


class LSTM(AbstractClassicalCell):
    """Long short-term memory [hochreiter1997], with forget gates.

    By ``equinox.nn.LSTMCell``. Takes what :class:`~tnqrnn.model.cells.RNN` takes; the
    carry is (h, c).
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    context_size: int = eqx.field(static=True)
    step: eqx.nn.LSTMCell

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
        n_in = self.input_size + self.context_size
        dtype = checked_dtype(dtype)
        self.step = eqx.nn.LSTMCell(n_in, self.hidden_size, dtype=dtype, key=key)

    def init(self) -> tuple[jax.Array, jax.Array]:
        """The hidden vector and the cell vector, both 0 of shape (hidden_size,)."""
        zero = jnp.zeros(self.hidden_size, self.step.weight_ih.dtype)
        return zero, zero

    def __call__(
        self,
        carry: tuple[jax.Array, jax.Array],
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """Takes (h, c) and x of shape (F,), gives the next (h, c), and h as z."""
        h, c = self.step(self.inputs(x, context, carry[0].dtype), carry)
        return (h, c), h
