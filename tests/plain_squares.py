"""A QR decomposition as GPUs compute it, for tests of float32 on a CPU."""

import jax
import jax.numpy as jnp


def qr_of_plain_squares(
    matrix: jax.Array, mode: str = "reduced"
) -> tuple[jax.Array, jax.Array]:
    """Householder's, without LAPACK's care for squares that vanish.

    A column whose entries are below the root of the smallest number, but not zero,
    gives NaN. Takes what :func:`jax.numpy.linalg.qr` takes with ``mode="reduced"``.
    """
    assert mode == "reduced"
    n_rows, n_columns = matrix.shape
    rank = min(n_rows, n_columns)
    places = jnp.arange(n_rows)

    def reflect(mirror: jax.Array, factor: jax.Array, target: jax.Array) -> jax.Array:
        return target - factor * jnp.outer(mirror, mirror.conj() @ target)

    def eliminate(j: jax.Array, carry: tuple) -> tuple:
        rest, mirrors, factors = carry
        diagonal = rest[j, j]
        below = jnp.where(places > j, rest[:, j], 0)
        square = jnp.sum(below.real**2 + below.imag**2)
        norm = jnp.sqrt(square + diagonal.real**2 + diagonal.imag**2)
        image = jnp.where(diagonal.real < 0, norm, -norm).astype(matrix.dtype)
        done = (square == 0) & (diagonal.imag == 0)
        factor = jnp.where(done, 0, (image - diagonal) / image)
        mirror = jnp.where(done, 0, below / (diagonal - image)).at[j].set(1)
        rest = reflect(mirror, factor.conj(), rest)
        return rest, mirrors.at[j].set(mirror), factors.at[j].set(factor)

    def collect(i: jax.Array, basis: jax.Array) -> jax.Array:
        return reflect(mirrors[rank - 1 - i], factors[rank - 1 - i], basis)

    empty = jnp.zeros((rank, n_rows), matrix.dtype)
    rest, mirrors, factors = jax.lax.fori_loop(
        0, rank, eliminate, (matrix, empty, empty[:, 0])
    )
    identity = jnp.eye(n_rows, rank, dtype=matrix.dtype)
    basis = jax.lax.fori_loop(0, rank, collect, identity)
    return basis, jnp.triu(rest[:rank])
