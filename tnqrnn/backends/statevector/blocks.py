"""A block's unitary on a dense state, as real matrix products.

A state is held as real numbers of shape (2, 2**n), real parts and imaginary parts, and
a matrix ``A + iB`` on k qubits as ``(A, B)`` of shape (2, d, d), d = 2**k. Then::

    (A + iB)(x + iy) = (Ax - By) + i (Bx + Ay)

is one product of the stacked ``[A; B]`` with x and y, 2d rows, and a sum of its four
parts. Real products run several times faster on a CPU than complex ones. What is
fastest depends on how many values of the state lie behind the block's qubits; the
bounds below are measured (docs/decisions.md). On an accelerator, where passing over
the state costs more than arithmetic, the four parts are summed within the product.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from tnqrnn.products import dot_general, einsum, on_accelerator


def split_axes(
    qubits: Sequence[int], n_qubits: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape of a 2**n axis cut into runs of ``qubits`` and what lies between.

    Returns:
        the sizes (gap, run, gap, run, ..., gap), gaps possibly 1, and the sizes of the
        runs alone.
    """
    shape: list[int] = []
    runs: list[int] = []
    last = -1
    for qubit in qubits:
        if runs and qubit == last + 1:
            runs[-1] *= 2
            shape[-1] *= 2
        else:
            shape += [2 ** (qubit - last - 1), 2]
            runs.append(2)
        last = qubit
    return (*shape, 2 ** (n_qubits - 1 - last)), tuple(runs)


def as_parts(matrix: jax.Array) -> jax.Array:
    """A complex array as its real and imaginary parts, on a new first axis."""
    return jnp.stack([matrix.real, matrix.imag])


def adjoint(matrix: jax.Array) -> jax.Array:
    """The adjoint of a matrix in parts, (2, d, d)."""
    real, imag = jnp.swapaxes(matrix, -1, -2)
    return jnp.stack([real, -imag])


def apply_block(
    matrix: jax.Array, parts: jax.Array, qubits: Sequence[int]
) -> jax.Array:
    """Applies a matrix on some qubits to a state.

    Args:
        matrix (array of shape (2, 2**k, 2**k)): in parts.
        parts (array of shape (2, 2**n)): the state.
        qubits: the block's k qubits, ascending.

    Returns:
        array like ``parts``.
    """
    shape, runs = split_axes(qubits, parts.shape[1].bit_length() - 1)
    if on_accelerator():
        return _jointly(matrix, parts.reshape(2, *shape), runs).reshape(parts.shape)
    if len(runs) == 1 and shape[-1] >= max(32, 2 * runs[0]):
        products = _row_by_row(matrix, parts.reshape(2, *shape))
    else:
        products = _all_at_once(matrix, parts.reshape(2, *shape), runs)
    (ax, bx), (ay, by) = products  # by part of the state, then by part of the matrix
    return jnp.stack([ax - by, bx + ay]).reshape(parts.shape)


def _row_by_row(matrix: jax.Array, tensor: jax.Array) -> jax.Array:
    """Products of shape (2, 2, left, d, right), one matrix product for each left."""
    _, left, d, right = tensor.shape
    stacked = jnp.broadcast_to(matrix.reshape(2 * d, d), (2, left, 2 * d, d))
    products = dot_general(stacked, tensor, (((3,), (2,)), ((0, 1), (0, 1))))
    return jnp.moveaxis(products.reshape(2, left, 2, d, right), 2, 1)


def _all_at_once(
    matrix: jax.Array, tensor: jax.Array, runs: Sequence[int]
) -> jax.Array:
    """Products of shape (2, 2, left, run, middle, ..., right), one matrix product."""
    axes = list(range(tensor.ndim))
    inner = axes[2::2]
    renamed = {axis: len(axes) + i for i, axis in enumerate(inner)}
    part = 2 * len(axes)
    return einsum(
        matrix.reshape(2, *runs, *runs),
        [part, *(renamed[axis] for axis in inner), *inner],
        tensor,
        axes,
        [0, part, *(renamed.get(axis, axis) for axis in axes[1:])],
    )


def _jointly(matrix: jax.Array, tensor: jax.Array, runs: Sequence[int]) -> jax.Array:
    """The result as one product, ``[[A, -B], [B, A]]`` with both parts."""
    axes = list(range(tensor.ndim))
    inner = [0, *axes[2::2]]
    renamed = {axis: len(axes) + i for i, axis in enumerate(inner)}
    real, imag = matrix.reshape(2, *runs, *runs)
    columns = jnp.stack([jnp.stack([real, imag]), jnp.stack([-imag, real])])
    return einsum(
        columns,
        [0, renamed[0], *(renamed[axis] for axis in inner[1:]), *inner[1:]],
        tensor,
        axes,
        [renamed.get(axis, axis) for axis in axes],
    )


def gram(left: jax.Array, right: jax.Array, qubits: Sequence[int]) -> jax.Array:
    """``sum left right^T`` over the axes other than ``qubits``.

    Args:
        left (array of shape (2, 2**n)): real and imaginary parts.
        right (array of shape (2, 2**n)): real and imaginary parts.
        qubits: ascending.

    Returns:
        real array of shape (2, 2**k, 2, 2**k), indexed by (part, qubits) twice.
    """
    shape, runs = split_axes(qubits, left.shape[1].bit_length() - 1)
    d = 2 ** len(qubits)
    axes = list(range(len(shape) + 1))
    inner = [0, *axes[2::2]]
    renamed = {axis: len(axes) + i for i, axis in enumerate(inner)}
    long_rows = len(runs) == 1 and shape[-1] >= max(16, d)
    by_row = [1] if long_rows else []  # one product for each left, summed afterwards
    result = einsum(
        left.reshape(2, *shape),
        axes,
        right.reshape(2, *shape),
        [renamed.get(axis, axis) for axis in axes],
        by_row + inner + [renamed[axis] for axis in inner],
    )
    return result.reshape(-1, 2, d, 2, d).sum(0)


def block_cotangent(
    cotangent: jax.Array, parts: jax.Array, qubits: Sequence[int]
) -> jax.Array:
    """dL/d(matrix) of :func:`apply_block`, in parts, (2, d, d).

    ``dB = sum_rest lambda psi^dagger``, the sum over the axes that B leaves alone.

    Args:
        cotangent (array of shape (2, 2**n)): dL/d(result).
        parts (array of shape (2, 2**n)): the state the matrix was applied to.
        qubits: the block's qubits.
    """
    (xx, xy), (yx, yy) = jnp.swapaxes(gram(cotangent, parts, qubits), 1, 2)
    return jnp.stack([xx + yy, yx - xy])
