"""Left singular vectors from products and eigenvectors, for accelerators.

A GPU takes the SVDs of many small matrices at once by Jacobi rotations up to side 32,
and one after another beyond. The former were seen to return NaN for states of
20 qubits, and are less orthogonal than the matrices are exact (docs/decisions.md).
Eigenvectors of ``M M^dagger`` are fast, but squaring loses singular values below the
root of machine epsilon. Two things bring them back:

- rows of ``V^dagger M`` that are that small are separated by the eigenvectors of their
  own Gram matrix, scaled to 1;
- what remains is a small rotation, taken to first order as in iterative refinement
  [ogita2018]: entries of the Gram matrix of those rows are accurate relative to the
  rows' norms.
"""

import jax
import jax.numpy as jnp

from tnqrnn.products import matmul

_MARGIN = 16
"""Rows whose squared norms are this many times as large as the errors of their Gram
matrix are separated by it up to a small rotation."""


def left_vectors(matrix: jax.Array) -> jax.Array:
    """All left singular vectors as columns, largest value first.

    Args:
        matrix (complex array of shape (p, q)): of any rank.

    Returns:
        array of shape (p, p), unitary.
    """
    largest = jnp.max(jnp.abs(matrix))
    matrix = matrix / jnp.where(largest > 0, largest, 1).astype(matrix.dtype)
    vectors = _refined(_eigenvectors(_gram(matrix)), matrix)
    rotation = _small_rows_apart(matmul(vectors.conj().T, matrix))
    return _refined(matmul(vectors, rotation), matrix)


def inverse_where(resolved: jax.Array, values: jax.Array) -> jax.Array:
    """``1 / values`` where resolved, else 0; nothing is divided by zero."""
    return jnp.where(resolved, 1 / jnp.where(resolved, values, 1), 0)


def _gram(rows: jax.Array) -> jax.Array:
    return matmul(rows, rows.conj().T)


def _eigenvectors(hermitian: jax.Array) -> jax.Array:
    """As columns, largest eigenvalue first."""
    return jnp.linalg.eigh(hermitian)[1][:, ::-1]


def _small_rows_apart(rows: jax.Array) -> jax.Array:
    """The rotation (p, p) that separates rows too small for the whole Gram matrix.

    In that matrix they stand beside the rounding of the large rows. Their own Gram
    matrix, scaled to 1, has no large rows, and its eigenvectors are accurate.
    """
    p = len(rows)
    weights = jnp.sum(rows.real**2 + rows.imag**2, axis=1)
    error = float(p * jnp.finfo(weights.dtype).eps) * jnp.max(weights)
    small = weights < _MARGIN * error
    largest = jnp.max(jnp.where(small, weights, 0))
    scale = jnp.where(largest > 0, 1 / jnp.sqrt(largest), 0).astype(rows.dtype)
    block = _gram(jnp.where(small[:, None], rows * scale, 0))
    # Eigenvalues of the block are at most p. Those given to the large rows lie above
    # and fall with the row's number, so that eigh leaves these rows where they are.
    shifts = jnp.where(small, 0, 2 * p - jnp.arange(p))
    return _eigenvectors(block + jnp.diag(shifts).astype(rows.dtype))


def _refined(vectors: jax.Array, matrix: jax.Array) -> jax.Array:
    """Rotates every pair of vectors by its remaining angle, to first order.

    The angle of vectors i and j is G_ij / (s_j^2 - s_i^2), G the Gram matrix of the
    rows of V^dagger M. Pairs whose angle would be large, or whose values are equal, are
    left: what separates them is rounding. First order leaves vectors a little short of
    orthonormal, which two steps repair to the last bit.
    """
    rows = matmul(vectors.conj().T, matrix)
    product = _gram(rows)
    norms = jnp.sqrt(jnp.diag(product).real)
    difference = norms[None, :] - norms[:, None]
    gaps = difference * (norms[None, :] + norms[:, None])
    resolution = float(16 * jnp.finfo(norms.dtype).eps) * jnp.max(norms)
    apart = (jnp.abs(difference) > resolution) & (8 * jnp.abs(product) < jnp.abs(gaps))
    inverse = inverse_where(apart, gaps).astype(product.dtype)
    vectors = vectors + matmul(vectors, product * inverse)
    for _ in range(2):
        vectors = _orthonormal(vectors)
    return vectors


def _orthonormal(vectors: jax.Array) -> jax.Array:
    """A step of Newton and Schulz towards the nearest unitary matrix."""
    missing = jnp.eye(len(vectors), dtype=vectors.dtype) - _gram(vectors.conj().T)
    return vectors + matmul(vectors, missing / 2)
