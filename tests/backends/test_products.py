"""Complex products taken as real ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tnqrnn.backends.products import adjoint, product


def random_matrix(rng, shape, dtype):
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape), dtype)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 1, 1), (8, 2, 1)])
def test_product_and_its_gradient(rng, sizes, dtype):
    p, k, q = sizes
    left, right = (random_matrix(rng, (2, *s), dtype) for s in ((p, k), (k, q)))
    actual = product(left, right)
    assert actual.dtype == dtype
    rtol = 30 * np.finfo(dtype).eps
    np.testing.assert_allclose(actual, np.matmul(left, right), rtol=0, atol=10 * rtol)
    np.testing.assert_allclose(adjoint(left), np.conj(np.swapaxes(left, 1, 2)))
    weights = random_matrix(rng, (2, p, q), dtype)

    def loss(multiply, left, right):
        return jnp.sum((weights * multiply(left, right)).real)

    gradients = [jax.grad(loss, (1, 2))(f, left, right) for f in (product, jnp.matmul)]
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=10 * rtol)
