"""Truncated splits of a matrix, with a derivative that is finite everywhere.

A matrix product state is cut down by writing ``theta = U S V^dagger`` and keeping the
``k`` largest singular values. Differentiating the factors themselves fails wherever two
singular values meet or vanish. But nothing physical depends on the factors: only the
product ``A C`` with ``A = U_k`` and ``C = A^dagger theta`` matters, and the isometry
``A`` may be turned by any unitary that ``C`` undoes. Of all tangents that describe the
same change of ``A C`` the one with ``A^dagger dA = 0`` is chosen, as in the tangent
space of uniform matrix product states [vanderstraeten2019]::

    dA = U_d K,    dC = U_k^dagger dtheta + K^dagger U_d^dagger theta,
    K  = U_d^dagger (dtheta theta^dagger + theta dtheta^dagger) U_k / (s_k^2 - s_d^2)

where d names what is discarded. Differences within the kept values never appear, so
degenerate and vanishing ones do no harm. ``lq`` makes the same choice.

Warning:
    Two derivatives do not exist, and the rules return finite values that leave out
    what cannot be represented: where a kept singular value meets a discarded one, and
    where ``theta`` has a rank below ``k`` that a tangent would raise beyond what the
    arbitrary kept null vectors happen to hold. Both are sets of measure zero;
    ``observer`` is told how much is left out.

Where both values are tiny, ``K`` divides rounding by almost nothing. Such pairs are not
turned: that leaves out less than the noise it would let through (docs/decisions.md).

What is computed after a split must depend on ``A C`` alone, not on ``A`` and ``C``
apart; then forward and reverse derivatives are those of the truncated state.
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from tnqrnn.backends.left_vectors import inverse_where, left_vectors
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
turning them lets more rounding through than leaving them changes the state."""


observer = jax.make_user_context(None)
"""``with observer(function):`` has ``function(gap, rank)`` called for every derivative
of ``split`` and ``lq`` that is traced meanwhile: what it may leave out where a gap
closes and where a rank rises, as shares of the tangent's norm. A closed gap counts at
least as much as the share of the matrix's norm that either of the equal values is."""


save_factors = jax.checkpoint_policies.save_only_these_names(FACTORS)
"""A policy for ``jax.checkpoint``: keep the factors of splits, forget the rest."""


def saved(factor: jax.Array) -> jax.Array:
    """Names an array for policies: in parts, as JAX 0.10 cannot keep complex ones."""
    real, imag = (checkpoint_name(part, FACTORS) for part in (factor.real, factor.imag))
    return jax.lax.complex(real, imag)


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
    weights = jnp.sum(rows.real**2 + rows.imag**2, axis=1)
    norms = jnp.sqrt(weights)
    keep = jnp.arange(len(weights)) < max_bond
    if cutoff:
        keep &= norms >= cutoff * norms[0]
    kept = jnp.where(keep[:, None], rows, 0)[:max_bond]
    discarded = jnp.sum(jnp.where(keep, 0, weights))
    value = basis[:, :max_bond], kept, discarded / jnp.sum(weights)
    return value, basis, rows, norms, keep


def _left_basis(theta: jax.Array) -> jax.Array:
    """All p left singular vectors of (p, q), largest value first, as columns.

    They span the complement of the kept ones, too, whatever q is. A wide matrix is
    first reduced to its triangular factor, which has the same left vectors.
    """
    if on_accelerator():
        return saved(left_vectors(theta))
    p, q = theta.shape
    if q > p:
        theta = jnp.linalg.qr(theta.conj().T, mode="r").conj().T
    square = jnp.pad(theta, ((0, 0), (0, max(0, p - q))))
    return saved(jnp.linalg.svd(square, full_matrices=False)[0])


@split.defjvp
def _split_jvp(max_bond, cutoff, primals, tangents):
    (theta,), (dtheta,) = primals, tangents
    value, basis, rows, norms, keep = _split(theta, max_bond, cutoff)
    bond = value[0].shape[1]
    first = 0 if cutoff else bond  # a kept row's place may be masked by the cutoff
    drows = matmul(basis.conj().T, dtheta)
    numerator = matmul(drows[first:], rows[:bond].conj().T)
    numerator += matmul(rows[first:], drows[:bond].conj().T)
    small, large = norms[first:, None], norms[None, :bond]
    gap, tiny = (large - small) * (large + small), _tiny(norms)
    pairs = keep[None, :bond] & ~keep[first:, None]
    apart = pairs & (large - small > _resolution(norms)) & (gap > tiny**2)
    turn = numerator * inverse_where(apart, gap).astype(theta.dtype)
    dkept = jnp.where(keep[:bond, None], drows[:bond], 0)
    dkept += matmul(turn.conj().T, rows[first:])
    if cutoff:
        dkept += matmul(turn[:bond], value[1])
    dbasis = matmul(basis[:, bond:], turn[bond - first :])
    if observe := observer.value:
        met = pairs & ~apart & (small > tiny)
        per_value = inverse_where(met, large)
        closed = jnp.linalg.norm(numerator * per_value.astype(theta.dtype))
        undecided = jnp.max(jnp.where(met, large, 0)) / jnp.linalg.norm(norms)
        dvalue = matmul(dbasis, value[1]) + matmul(value[0], dkept)
        rank = jnp.linalg.norm(dtheta - dvalue)
        rank = jnp.where(jnp.any(keep & (norms <= tiny)), rank, 0)
        closed = jnp.maximum(_share(closed, dtheta), undecided)
        observe(closed, _share(rank, dtheta))
    return value, (dbasis, dkept, jnp.zeros_like(value[2]))


def _share(part: jax.Array, tangent: jax.Array) -> jax.Array:
    """``part / |tangent|``, zero where there is no tangent."""
    whole = jnp.linalg.norm(tangent)
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)


def _resolution(values: jax.Array) -> jax.Array:
    """The difference below which two singular values count as equal."""
    return values[0] * float(_GAP * jnp.finfo(values.dtype).eps)


def _tiny(values: jax.Array) -> jax.Array:
    """The value below which rounding decides how a singular vector turns."""
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
    return matmul(matrix, rows.conj().T), rows


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
    (matrix,), (dmatrix,) = primals, tangents
    lower, rows = _lq(matrix)
    dlower = matmul(dmatrix, rows.conj().T)
    outside = dmatrix - matmul(dlower, rows)
    drows = matmul(_pseudo_inverse(lower), outside)
    if observe := observer.value:
        rank = jnp.linalg.norm(_raised(lower, rows, dmatrix))
        observe(jnp.zeros_like(rank), _share(rank, dmatrix))
    return (lower, rows), (dlower, drows)


def _raised(lower, rows, dmatrix):
    """The part of a tangent with new directions on both sides of ``lower rows``.

    Where values of ``lower`` vanish, rounding chooses the rows that belong to them, and
    with them how much of this part ``lq`` can pass on; it counts as a whole.
    """
    if len(rows) == rows.shape[1]:  # the rows are complete, no direction is new
        return jnp.zeros_like(dmatrix)
    left, values, right = _svd(lower)
    eps = float(jnp.finfo(values.dtype).eps)
    certain = (values > values[0] * _CERTAIN * eps)[:, None]
    held = jnp.where(certain, matmul(right, rows), 0)
    new = dmatrix - matmul(matmul(dmatrix, held.conj().T), held)
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
