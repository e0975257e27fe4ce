"""Contractions of many small matrices at once, as sums of elementwise products."""

import math

import jax
import jax.numpy as jnp


def fused_einsum(
    a: jax.Array, a_axes: list[int], b: jax.Array, b_axes: list[int], result: list[int]
) -> jax.Array:
    """An einsum over named axes, as a sum of elementwise products; axes are merged.

    XLA fuses it into one loop on a CPU. For thousands of matrices of side 2 to 16 that
    takes a third of the time of a batched complex product (docs/decisions.md).

    Returns:
        the entries in the order of ``result``, neighbouring axes possibly as one.
    """
    summed = [axis for axis in a_axes if axis in b_axes and axis not in result]
    half = 1 + (len(result) - 1) // 2
    order = [*result[:half], *summed, *result[half:]]
    sizes = dict(zip(a_axes, a.shape, strict=True)) | dict(
        zip(b_axes, b.shape, strict=True)
    )
    # Neighbours that the same operands have, and that are summed or kept alike.
    runs: list[list[int]] = []
    kind = lambda axis: (axis in a_axes, axis in b_axes, axis in summed)  # noqa: E731
    for axis in order:
        if runs and kind(runs[-1][0]) == kind(axis):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    aligned = []
    for array, axes in ((a, a_axes), (b, b_axes)):
        present = [axis for axis in order if axis in axes]
        array = jnp.transpose(array, [axes.index(axis) for axis in present])
        shape = [
            math.prod(sizes[axis] for axis in run) if run[0] in axes else 1
            for run in runs
        ]
        aligned.append(array.reshape(shape))
    over = tuple(i for i, run in enumerate(runs) if run[0] in summed)
    return jnp.sum(aligned[0] * aligned[1], over)
