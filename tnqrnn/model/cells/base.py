"""What classical cells share: reference lines in studies, called as the quantum one."""

from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp

from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_choice, check_int
from tnqrnn.model.base import AbstractCell, Carry

_DTYPES = ("float32", "float64")


class AbstractClassicalCell(AbstractCell):
    """What classical cells share: z is the hidden vector h, and nothing is truncated.

    Attributes:
        hidden_size: length of h.
    """

    hidden_size: eqx.AbstractVar[int]

    @property
    def output_size(self) -> int:
        """The length of h."""
        return self.hidden_size

    @property
    def gradients(self) -> tuple[str, ...]:
        """Carries are small, so keeping them all is the default."""
        return ("store", "checkpoint")

    def inputs(self, x: jax.Array, context: jax.Array | None, dtype: Any) -> jax.Array:
        """[x_t; c] in the weights' precision, of shape (F + C,)."""
        x = jnp.asarray(x, dtype)
        if context is None:
            return x
        return jnp.concatenate([x, jnp.asarray(context, dtype)])

    def features(self, z: jax.Array) -> jax.Array:
        """The hidden vector itself."""
        return z

    def truncation(self, carry: Carry) -> None:
        """``None``: there is no quantum state."""
        return None

    def with_backend(self, backend: AbstractBackend) -> NoReturn:
        """Refuses.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"backend must be left alone for {type(self).__name__}, a classical cell "
            f"without a quantum state, got {backend!r}."
        )


def checked_sizes(
    input_size: int, hidden_size: int, context_size: int
) -> tuple[int, int, int]:
    """The three sizes of a cell, each refused by name if it is too small."""
    return (
        check_int("input_size", input_size, minimum=1),
        check_int("hidden_size", hidden_size, minimum=1),
        check_int("context_size", context_size, minimum=0),
    )


def checked_dtype(dtype: str) -> Any:
    """The dtype of a cell's weights."""
    return jnp.dtype(check_choice("dtype", dtype, _DTYPES))
