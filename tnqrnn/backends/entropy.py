"""Entropy of a density matrix with a gradient that is finite at pure states."""

import jax
import jax.numpy as jnp

from tnqrnn.products import einsum


@jax.custom_jvp
def von_neumann_entropy(rho: jax.Array) -> jax.Array:
    """``-Tr(rho log2 rho)`` in bits, of a density matrix of trace 1.

    Its derivative is ``-Tr(drho (log2 rho + 1/ln 2))``. Where an eigenvalue vanishes
    the derivative is infinite; here the logarithm stops at the dtype's smallest
    relative step, which keeps it finite and large.

    Args:
        rho (array of shape (d, d)): Hermitian, positive, trace 1.

    Returns:
        real array of shape (), in [0, log2(d)].
    """
    return _entropy(jnp.linalg.eigvalsh(rho))


def _entropy(values: jax.Array) -> jax.Array:
    values = jnp.maximum(values, jnp.zeros_like(values))
    return -jnp.sum(jax.scipy.special.xlogy(values, values)) / jnp.log(2.0).astype(
        values.dtype
    )


@von_neumann_entropy.defjvp
def _von_neumann_entropy_jvp(primals, tangents):
    (rho,), (drho,) = primals, tangents
    values, vectors = jnp.linalg.eigh(rho)
    floor = jnp.finfo(values.dtype).eps
    ln2 = jnp.log(2.0).astype(values.dtype)
    logs = (jnp.log(jnp.maximum(values, floor)) + 1) / ln2
    dvalues = einsum("ia,ij,ja->a", vectors.conj(), drho, vectors).real
    return _entropy(values), -jnp.sum(dvalues * logs)
