"""The gated recurrent unit."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from tnqrnn.model.cells.base import AbstractClassicalCell, checked_dtype, checked_sizes


class GRU(AbstractClassicalCell):
    """Gated recurrent unit [cho2014], by ``equinox.nn.GRUCell``.

    Takes what :class:`~tnqrnn.model.cells.RNN` takes.
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    context_size: int = eqx.field(static=True)
    step: eqx.nn.GRUCell

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
        self.step = eqx.nn.GRUCell(n_in, self.hidden_size, dtype=dtype, key=key)

    def init(self) -> jax.Array:
        """The hidden vector 0, of shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, self.step.weight_ih.dtype)

    def __call__(
        self,
        carry: jax.Array,
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Takes h and x of shape (F,), gives the next h twice: as carry and as z."""
        h = self.step(self.inputs(x, context, carry.dtype), carry)
        return h, h
