"""Products of complex matrices as real ones, several times faster on a CPU."""

import jax
import jax.numpy as jnp


def product(left: jax.Array, right: jax.Array) -> jax.Array:
    """``left @ right``, as one real product of parts stacked and a sum of four.

    Args:
        left (complex array of shape (..., p, k)): the first factor.
        right (complex array of shape (..., k, q)): the second factor.

    Returns:
        complex array of shape (..., p, q).
    """
    p, q = left.shape[-2], right.shape[-1]
    parts = jnp.matmul(
        jnp.concatenate([left.real, left.imag], -2),
        jnp.concatenate([right.real, right.imag], -1),
        precision="highest",
    )
    above, below = parts[..., :p, :], parts[..., p:, :]
    return jax.lax.complex(
        above[..., :q] - below[..., q:], above[..., q:] + below[..., :q]
    )


def adjoint(matrix: jax.Array) -> jax.Array:
    """The conjugate transpose of the last two axes."""
    return jnp.swapaxes(matrix, -1, -2).conj()
