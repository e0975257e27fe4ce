"""Truncated splits of a matrix, with a derivative that is finite everywhere.

A matrix product state is cut down by writing ``theta = U S V^dagger`` and keeping the
``k`` largest singular values. Differentiating the factors themselves fails wherever two
singular values meet or vanish. But nothing physical depends on the factors: only the
product ``A C`` with ``A = U_k`` and ``C = A^dagger theta`` matters, and the isometry
``A`` may be rotated by any unitary that ``C`` undoes. Of all tangents that describe the
same change of ``A C`` the one with ``A^dagger dA = 0`` is chosen, as in the tangent
space of uniform matrix product states [vanderstraeten2019]. With k for what is kept and
d for what is discarded::

    (1)  N  = U_d^dagger (dtheta theta^dagger + theta dtheta^dagger) U_k
    (2)  K  = N / (s_k^2 - s_d^2)                                        elementwise
    (3)  dA = U_d K
    (4)  dC = U_k^dagger dtheta + K^dagger U_d^dagger theta

Differences within the kept values never appear, so degenerate and vanishing ones do no
harm. ``lq`` makes the same choice, ``Q`` in the place of ``A^dagger``::

    (5)  dL = dM Q^dagger
    (6)  dQ = L^+ (dM - dL Q)                                 L^+ the pseudo-inverse

Warning:
    Two derivatives do not exist, and the rules return finite values that leave out
    what cannot be represented: where a kept singular value meets a discarded one, and
    where ``theta`` has a rank below ``k`` that a tangent would raise beyond what the
    arbitrary kept null vectors happen to span. Both are sets of measure zero;
    ``observer`` is told how much is left out.

Where both values are tiny, (2) divides rounding by almost nothing. ``K`` is 0 for such
pairs: that leaves out less than the noise it would let through (docs/decisions.md).

What is computed after a split must depend on ``A C`` alone, not on ``A`` and ``C``
apart; then forward and reverse derivatives are those of the truncated state.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from tnqrnn.backends.mps.left_vectors import inverse_where, left_vectors
from tnqrnn.products import matmul, on_accelerator

FACTORS = "tnqrnn_factors"
"""Name of the factors in checkpoint policies: saved, no decomposition runs twice."""

_GAP = 16
"""Singular values closer than this many machine epsilons times the largest are equal:
LAPACK does not resolve less."""

_CERTAIN = 1024
"""A smaller value, in machine epsilons times the largest, may be rounding alone, and so
may be its vectors."""

_TINY = 0.25
"""Singular values below this many roots of machine epsilon times the largest are tiny:
rotating their vectors lets more rounding through than leaving them loses."""


observer = jax.make_user_context(None)
"""``with observer(function):`` calls ``function(closed_gap, raised_rank)`` for every
derivative of ``split`` and ``lq`` that is traced meanwhile. Both numbers are of shape
(), and say how much of ``dtheta`` the derivative may leave out:

1. ``closed_gap = max(|N_dk / s_k| / |dtheta|, max s_k / |theta|)`` over the pairs d, k
   of equal values, for which (2) has no answer. The second term is there because a
   tangent that does not tell the values apart still does not say which one to keep.
2. ``raised_rank = |dtheta - d(A C)| / |dtheta|`` for ``split`` where a kept value is
   tiny, and 0 where none is; for ``lq`` the part of ``dtheta`` that leaves both the
   column space and the row space of the matrix.
"""


save_factors = jax.checkpoint_policies.save_only_these_names(FACTORS)
"""A policy for ``jax.checkpoint``: keep the factors of splits, forget the rest."""


def saved(factor: jax.Array) -> jax.Array:
    """Names an array for policies: in parts, as JAX 0.10 cannot keep complex ones."""
    real, imag = (checkpoint_name(part, FACTORS) for part in (factor.real, factor.imag))
    return jax.lax.complex(real, imag)


@jax.custom_jvp
def _not_twice(factors: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """Factors as they are, for the rules of derivatives, which have none themselves.

    (2) at equal values and (6) at vanishing ones are finite by what they leave out, so
    their own derivatives would be wrong, and those of the SVD in them are NaN.
    """
    return factors


@_not_twice.defjvp
def _not_twice_jvp(primals, tangents):
    raise NotImplementedError(
        "A matrix product state that truncates has first derivatives only, and a "
        "second one was asked for. tnqrnn.Statevector, or an MPS whose max_bond is at "
        "least 2**(n // 2), has all."
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def split(
    theta: jax.Array, max_bond: int, cutoff: float = 0.0
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The best approximation ``A C`` of a matrix at a bond of at most ``max_bond``.

    Args:
        theta (complex array of shape (p, q)): not zero; wide, square or tall.
        max_bond: largest number of singular values kept.
        cutoff: singular values below ``cutoff`` times the largest are discarded too;
            their rows of ``C`` are zero, shapes stay.

    Returns:
        ``A`` of shape (p, k) with orthonormal columns, ``k = min(max_bond, p)``; ``C``
        of shape (k, q), whose squared norm is the kept weight; and the discarded weight
        relative to the squared norm of ``theta``, real, of shape (), computed from the
        discarded values themselves and constant under differentiation.
    """
    return _split(theta, max_bond, cutoff)[0]


def _split(theta, max_bond, cutoff):
    """The value of :func:`split`, then the whole basis, its rows, norms and mask."""
    basis = _left_basis(theta)
    rows = saved(matmul(basis.conj().T, theta))
    squares = jnp.sum(rows.real**2 + rows.imag**2, axis=1)
    norms = jnp.sqrt(squares)
    keep = jnp.arange(len(squares)) < max_bond
    if cutoff:
        keep &= norms >= cutoff * norms[0]
    kept = jnp.where(keep[:, None], rows, 0)[:max_bond]
    discarded = jnp.sum(jnp.where(keep, 0, squares))
    value = basis[:, :max_bond], kept, discarded / jnp.sum(squares)
    return value, basis, rows, norms, keep


def _left_basis(theta: jax.Array) -> jax.Array:
    """All p left singular vectors of (p, q), largest value first, as columns.

    Not only those with a value: ``U_d`` of (3) has to span the whole complement of what
    is kept, so a tall matrix is padded. A wide one is first reduced to its triangular
    factor, which has the same left vectors.
    """
    if on_accelerator():
        return saved(left_vectors(theta))
    p, q = theta.shape
    if q > p:
        theta = jnp.linalg.qr(theta.conj().T, mode="r").conj().T
    square = jnp.pad(theta, ((0, 0), (0, max(0, p - q))))
    return saved(jnp.linalg.svd(square, full_matrices=False)[0])


class _Pairs(NamedTuple):
    """Pairs of a discarded value s_d and a kept one s_k: arrays (rows d, columns k).

    Attributes:
        gap: ``s_k^2 - s_d^2``.
        apart: whether one is kept, the other discarded, and (2) can be evaluated.
        met: whether one is kept, the other discarded, and they are equal, not tiny.
        large: ``s_k``, of shape (1, k).
    """

    gap: jax.Array
    apart: jax.Array
    met: jax.Array
    large: jax.Array


def _pairs(norms: jax.Array, keep: jax.Array, first: int, n_kept: int) -> _Pairs:
    """Every value from ``first`` on with every one of the first ``n_kept``."""
    small, large = norms[first:, None], norms[None, :n_kept]
    # The difference of the squares would lose the bits in which near values differ.
    gap, tiny = (large - small) * (large + small), _tiny(norms)
    pairs = keep[None, :n_kept] & ~keep[first:, None]
    # Of equal values, and of two tiny ones, K in (2) stays 0.
    apart = pairs & (large - small > _resolution(norms)) & (gap > tiny**2)
    return _Pairs(gap, apart, pairs & ~apart & (small > tiny), large)


@split.defjvp
def _split_jvp(max_bond, cutoff, primals, tangents):
    """``(dA, dC, 0)``; the numbers are those of the module's equations.

    All is computed in the basis U of left singular vectors: ``rows = U^dagger theta``
    holds ``s V^dagger``, so that no right vector is needed.
    """
    (theta,), (dtheta,) = primals, tangents
    value, basis, rows, norms, keep = _split(theta, max_bond, cutoff)
    weight, n_kept = value[2], value[0].shape[1]
    basis, rows, norms, isometry, centre = _not_twice((basis, rows, norms, *value[:2]))
    # What is discarded lies behind the first n_kept; a cutoff may discard among them.
    first = 0 if cutoff else n_kept
    drows = matmul(basis.conj().T, dtheta)  # U^dagger dtheta
    numerator = matmul(drows[first:], rows[:n_kept].conj().T)  # (1)
    numerator += matmul(rows[first:], drows[:n_kept].conj().T)
    pairs = _pairs(norms, keep, first, n_kept)
    inverse_gap = inverse_where(pairs.apart, pairs.gap).astype(theta.dtype)
    rotation = numerator * inverse_gap  # (2), K
    dcentre = jnp.where(keep[:n_kept, None], drows[:n_kept], 0)  # (4)
    dcentre += matmul(rotation.conj().T, rows[first:])
    if cutoff:
        # A vector discarded by the cutoff is a column of A whose row of C is 0. dA may
        # not contain it, for A^dagger dA = 0; what (3) has of it goes into that row.
        dcentre += matmul(rotation[:n_kept], centre)
    disometry = matmul(basis[:, n_kept:], rotation[n_kept - first :])  # (3)
    if observe := observer.value:
        dproduct = matmul(disometry, centre) + matmul(isometry, dcentre)
        kept_is_tiny = jnp.any(keep & (norms <= _tiny(norms)))
        observe(
            _closed_gap(numerator, pairs, norms, dtheta),
            _raised_rank(dtheta - dproduct, kept_is_tiny, dtheta),
        )
    return value, (disometry, dcentre, jnp.zeros_like(weight))


def _closed_gap(
    numerator: jax.Array, pairs: _Pairs, norms: jax.Array, dtheta: jax.Array
) -> jax.Array:
    """The observer's first number."""
    per_value = inverse_where(pairs.met, pairs.large).astype(numerator.dtype)
    closed = jnp.linalg.norm(numerator * per_value)
    largest = jnp.max(jnp.where(pairs.met, pairs.large, 0))
    return jnp.maximum(_share(closed, dtheta), largest / jnp.linalg.norm(norms))


def _raised_rank(
    missed: jax.Array, kept_is_tiny: jax.Array, dtheta: jax.Array
) -> jax.Array:
    """The observer's second number for ``split``, ``missed = dtheta - d(A C)``.

    Where all kept values are large, ``missed`` is what truncation discards of the
    tangent, and rightly so. Where one is tiny all discarded ones are, too: nothing is
    truncated, and whatever is missing would have raised the rank.
    """
    missed_norm = jnp.where(kept_is_tiny, jnp.linalg.norm(missed), 0)
    return _share(missed_norm, dtheta)


def _share(part: jax.Array, tangent: jax.Array) -> jax.Array:
    """``part / |tangent|``, zero where there is no tangent."""
    whole = jnp.linalg.norm(tangent)
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)


def _resolution(values: jax.Array) -> jax.Array:
    """The difference below which two singular values count as equal."""
    return values[0] * float(_GAP * jnp.finfo(values.dtype).eps)


def _tiny(values: jax.Array) -> jax.Array:
    """The value below which rounding decides how a singular vector rotates."""
    return values[0] * float(_TINY * jnp.finfo(values.dtype).eps ** 0.5)


@jax.custom_jvp
def lq(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``matrix = L Q`` with orthonormal rows of ``Q``.

    Args:
        matrix (complex array of shape (p, q)): of any rank.

    Returns:
        ``L`` of shape (p, r) and ``Q`` of shape (r, q), ``r = min(p, q)``.
    """
    return _lq(matrix)


def _lq(matrix):
    basis, _ = jnp.linalg.qr(_rows_of_size_one(matrix).conj().T)
    rows = saved(basis.conj().T)
    return matmul(matrix, rows.conj().T), rows  # L = M Q^dagger


def _rows_of_size_one(matrix: jax.Array) -> jax.Array:
    """The matrix with rows that have the same span as the first ones of its own.

    On an accelerator, whose QR adds plain squares: those of a float32 below 1e-19
    vanish, and a state's null vectors are as small as that.
    """
    if not on_accelerator():
        return matrix
    sizes = jnp.max(jnp.abs(matrix), axis=1, keepdims=True)
    return matrix / jnp.where(sizes > 0, sizes, 1).astype(matrix.dtype)


@lq.defjvp
def _lq_jvp(primals, tangents):
    """``(dL, dQ)``; the numbers are those of the module's equations."""
    (matrix,), (dmatrix,) = primals, tangents
    value = _lq(matrix)
    lower, rows = _not_twice(value)
    dlower = matmul(dmatrix, rows.conj().T)  # (5)
    outside = dmatrix - matmul(dlower, rows)
    drows = matmul(_pseudo_inverse(lower), outside)  # (6)
    if observe := observer.value:
        raised_rank = jnp.linalg.norm(_new_directions(lower, rows, dmatrix))
        observe(jnp.zeros_like(raised_rank), _share(raised_rank, dmatrix))
    return value, (dlower, drows)


def _new_directions(lower, rows, dmatrix):
    """The part of a tangent with new directions on both sides of ``lower rows``.

    Where values of ``lower`` vanish, rounding chooses the rows that belong to them, and
    with them how much of this part ``lq`` can pass on; it counts as a whole.
    """
    if len(rows) == rows.shape[1]:  # the rows are complete, no direction is new
        return jnp.zeros_like(dmatrix)
    left, values, right = _svd(lower)
    eps = float(jnp.finfo(values.dtype).eps)
    certain = (values > values[0] * _CERTAIN * eps)[:, None]
    row_space = jnp.where(certain, matmul(right, rows), 0)
    # (1 - P_columns) dM (1 - P_rows), the left factor in the basis of left vectors
    new = dmatrix - matmul(matmul(dmatrix, row_space.conj().T), row_space)
    return jnp.where(certain, 0, matmul(left.conj().T, new))


def _pseudo_inverse(matrix: jax.Array) -> jax.Array:
    left, values, right = _svd(matrix)
    resolved = values > _resolution(values)
    inverse = inverse_where(resolved, values)
    scaled = right.conj().T * inverse[None, :].astype(matrix.dtype)
    return saved(matmul(scaled, left.conj().T))


def _svd(matrix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``matrix = U diag(s) V``, square; rows of V are zero where s is."""
    if not on_accelerator():
        left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
        return left, values, right
    left = left_vectors(matrix)
    rows = matmul(left.conj().T, matrix)
    values = jnp.linalg.norm(rows, axis=1)
    inverse = inverse_where(values > 0, values)
    return left, values, rows * inverse[:, None].astype(rows.dtype)
