"""Truncated splits: values against NumPy, derivatives against central differences."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxprs import equations
from plain_squares import qr_of_plain_squares

from tnqrnn.backends.mps.truncation import lq, save_factors, split

pytestmark = pytest.mark.usefixtures("algorithms")
SHAPES = [(4, 4), (4, 6), (7, 3), (1, 5)]


def random_matrix(rng, shape, dtype="complex128"):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def with_values(rng, values, shape=None):
    """A matrix (p, q) with the given singular values, the rest zero."""
    p, q = shape or (len(values), len(values))
    u, v = (np.linalg.qr(random_matrix(rng, (d, d)))[0] for d in (p, q))
    k = len(values)
    return (u[:, :k] * np.array(values)) @ v[:k]


def best(matrix, k):
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return (u[:, :k] * s[:k]) @ v[:k]


@functools.partial(jax.jit, static_argnums=(2, 3))
def product_and_tangent(matrix, direction, max_bond, cutoff=0.0):
    """``A C`` and its derivative along a direction."""

    def product(matrix):
        isometry, rest, _ = split(matrix, max_bond, cutoff)
        return isometry @ rest

    return jax.jvp(product, (matrix,), (direction,))


@functools.partial(jax.jit, static_argnums=2)
def factors_and_tangents(matrix, direction, max_bond):
    return jax.jvp(lambda m: split(m, max_bond), (matrix,), (direction,))


split_once = jax.jit(split, static_argnums=(1, 2))
lq_and_tangents = jax.jit(lambda m, d: jax.jvp(lq, (m,), (d,)))


def central_difference(function, matrix, direction, step=1e-6):
    both = function(matrix + step * direction) - function(matrix - step * direction)
    return both / (2 * step)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("max_bond", [1, 3, 9])
@pytest.mark.parametrize("shape", SHAPES)
def test_split_is_the_best_approximation(rng, shape, max_bond, dtype):
    matrix = random_matrix(rng, shape, dtype)
    isometry, rest, weight = map(np.asarray, split_once(matrix, max_bond))
    k = min(max_bond, shape[0])
    eps = np.finfo(dtype).eps
    assert isometry.shape == (shape[0], k) and rest.shape == (k, shape[1])
    assert isometry.dtype == rest.dtype == dtype
    gram = isometry.conj().T @ isometry
    np.testing.assert_allclose(gram, np.eye(k), atol=30 * eps)
    np.testing.assert_allclose(isometry @ rest, best(matrix, k), atol=100 * eps)
    values = np.linalg.svd(matrix, compute_uv=False)
    expected = np.sum(values[k:] ** 2) / np.sum(values**2)
    np.testing.assert_allclose(weight, expected, atol=30 * eps)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0, 6))
def test_a_larger_bond_never_discards_more(seed, decades):
    rng = np.random.default_rng(seed)
    values = np.sort(10 ** rng.uniform(-decades, 0, 8))[::-1]
    matrix = with_values(rng, values, (8, 8))
    weights = [float(split_once(matrix, bond)[2]) for bond in range(1, 9)]
    assert weights[-1] == 0
    assert all(b <= a for a, b in itertools.pairwise(weights))
    kept = [1 - np.sum(values[:bond] ** 2) / np.sum(values**2) for bond in range(1, 9)]
    np.testing.assert_allclose(weights, kept, atol=1e-13)


def test_small_discarded_weight_keeps_its_digits(rng):
    matrix = with_values(rng, [1.0, 0.5, 3e-9, 1e-9])
    weight = split_once(matrix, 2)[2]
    np.testing.assert_allclose(weight, 1e-17 / 1.25, rtol=1e-5)


@pytest.mark.parametrize("max_bond", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_derivative_of_the_product(rng, shape, max_bond):
    matrix, direction = random_matrix(rng, shape), random_matrix(rng, shape)
    value, tangent = product_and_tangent(matrix, direction, max_bond)
    expected = central_difference(lambda m: best(m, max_bond), matrix, direction)
    np.testing.assert_allclose(value, best(matrix, max_bond), atol=1e-13)
    np.testing.assert_allclose(tangent, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("values", "max_bond", "why"),
    [
        ([1, 1, 1, 0.3], 3, "degenerate kept values"),
        ([1, 0.5, 0.2, 0.2], 2, "degenerate discarded values"),
        ([1, 0.5, 0, 0], 2, "vanishing discarded values"),
        ([1, 0.5, 0.2, 0.1], 3, "distinct values"),
        ([1, 0.5, 1e-9, 0], 2, "tiny discarded value"),
    ],
)
@pytest.mark.parametrize("shape", [(4, 4), (7, 4), (4, 7)])
def test_derivative_at_special_values(rng, values, max_bond, why, shape):
    matrix, direction = with_values(rng, values, shape), random_matrix(rng, shape)
    _, tangent = product_and_tangent(matrix, direction, max_bond)
    expected = central_difference(lambda m: best(m, max_bond), matrix, direction)
    np.testing.assert_allclose(tangent, expected, atol=1e-6, err_msg=why)


@pytest.mark.parametrize("max_bond", [1, 2, 3])
def test_derivative_of_what_cannot_change_rank(rng, max_bond):
    """A rank below ``max_bond`` is exact as long as the tangent keeps the rank."""
    left, right = random_matrix(rng, (4, 1)), random_matrix(rng, (1, 4))
    dleft, dright = random_matrix(rng, (4, 1)), random_matrix(rng, (1, 4))
    direction = dleft @ right + left @ dright
    _, tangent = product_and_tangent(left @ right, direction, max_bond)
    np.testing.assert_allclose(tangent, direction, atol=1e-13)


@pytest.mark.parametrize("shape", [(6, 6), (8, 5), (5, 8)])
def test_cutoff_masks_and_keeps_shapes(rng, shape):
    matrix = with_values(rng, [1, 0.4, 0.05, 0.01], shape)
    isometry, rest, weight = map(np.asarray, split_once(matrix, 3, 0.1))
    np.testing.assert_allclose(isometry @ rest, best(matrix, 2), atol=1e-14)
    assert rest.shape == (3, shape[1]) and not np.any(rest[2])
    total = 1 + 0.4**2 + 0.05**2 + 0.01**2
    np.testing.assert_allclose(weight, (0.05**2 + 0.01**2) / total, rtol=1e-12)
    direction = random_matrix(rng, shape)
    _, tangent = product_and_tangent(matrix, direction, 3, 0.1)
    expected = central_difference(lambda m: best(m, 2), matrix, direction)
    np.testing.assert_allclose(tangent, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("values", [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
def test_derivative_is_bounded_where_the_gap_closes(rng, values, dtype):
    """No noise comes through at an exact degeneracy, whatever LAPACK makes of it."""
    for _ in range(20):
        matrix = with_values(rng, values).astype(dtype)
        direction = random_matrix(rng, (4, 4), dtype)
        for max_bond in (1, 2, 3):
            tangents = factors_and_tangents(matrix, direction, max_bond)[1]
            sizes = [np.linalg.norm(tangent) for tangent in tangents]
            assert max(sizes) <= 3 * np.linalg.norm(direction)


def test_discarded_weight_is_constant_under_differentiation(rng):
    matrix, direction = random_matrix(rng, (4, 4)), random_matrix(rng, (4, 4))
    _, tangents = factors_and_tangents(matrix, direction, 2)
    assert tangents[2] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_lq(rng, shape):
    matrix, direction = random_matrix(rng, shape), random_matrix(rng, shape)
    values, tangents = lq_and_tangents(matrix, direction)
    (lower, rows), (dlower, drows) = jax.tree.map(np.asarray, (values, tangents))
    np.testing.assert_allclose(lower @ rows, matrix, atol=1e-14)
    r = min(shape)
    np.testing.assert_allclose(rows @ rows.conj().T, np.eye(r), atol=1e-14)
    tangent = dlower @ rows + lower @ drows
    if shape[0] <= shape[1]:
        np.testing.assert_allclose(tangent, direction, atol=1e-12)
    np.testing.assert_allclose(drows @ rows.conj().T, np.zeros((r, r)), atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2])
def test_lq_below_full_rank(rng, rank):
    """Tangents that keep the rank come through whole, also where rows are arbitrary."""
    left, right = random_matrix(rng, (3, rank)), random_matrix(rng, (rank, 6))
    dleft, dright = random_matrix(rng, (3, rank)), random_matrix(rng, (rank, 6))
    direction = dleft @ right + left @ dright
    both = lq_and_tangents(left @ right, direction)
    (lower, rows), (dlower, drows) = jax.tree.map(np.asarray, both)
    np.testing.assert_allclose(dlower @ rows + lower @ drows, direction, atol=1e-12)


def test_tiny_rows_on_an_accelerator(rng, algorithms, monkeypatch):
    """A GPU's QR makes NaN of columns whose squares vanish: it is given none."""
    sizes = np.array([[1], [1e-22], [1e-30]], "complex64")
    matrix = sizes * random_matrix(rng, (3, 6), "complex64")
    if algorithms == "accelerator":
        monkeypatch.setattr(jnp.linalg, "qr", qr_of_plain_squares)
        assert not np.isfinite(qr_of_plain_squares(matrix.T)[0]).all()
    lower, rows = map(np.asarray, lq(matrix))
    np.testing.assert_allclose(rows @ rows.conj().T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(lower @ rows, matrix, atol=1e-6)


def quadratic(matrix, max_bond=2):
    """A real function of the product alone."""
    isometry, rest, _ = split(matrix, max_bond)
    image = isometry @ rest
    lower, rows = lq(image)
    weights = jnp.arange(image.size, dtype=float).reshape(image.shape)
    return jnp.sum(weights * jnp.abs(lower @ rows) ** 2)


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (4, 6)])
def test_reverse_equals_forward_under_jit_and_vmap(rng, shape):
    matrices, directions = (random_matrix(rng, (3, *shape)) for _ in range(2))
    forward = jax.jit(jax.vmap(lambda m, d: jax.jvp(quadratic, (m,), (d,))[1]))(
        matrices, directions
    )
    gradient = jax.jit(jax.vmap(jax.grad(quadratic)))(matrices)
    reverse = jnp.sum(gradient * directions, axis=(1, 2)).real
    np.testing.assert_allclose(reverse, forward, rtol=1e-10)


def test_saved_factors_are_not_computed_twice(rng, algorithms):
    matrix = random_matrix(rng, (4, 4))

    def count(function):
        program = jax.make_jaxpr(jax.grad(function))(matrix).jaxpr
        names = [equation.primitive.name for equation in equations(program)]
        return sum(name in ("svd", "eigh", "qr") for name in names)

    once = count(quadratic)
    # A split, an lq and the inverse in its derivative; two eigh for one SVD.
    assert once == {"cpu": 3, "accelerator": 5}[algorithms]
    assert count(jax.checkpoint(quadratic, policy=save_factors)) == once
    assert count(jax.checkpoint(quadratic)) > once
