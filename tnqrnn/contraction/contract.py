"""Contracting a network by its plan, in JAX."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.contraction.plan import ContractionPlan
from tnqrnn.products import einsum


def contract(plan: ContractionPlan, arrays: Sequence[jax.Array]) -> jax.Array:
    """The result of a network, traceable and differentiable.

    Slices are contracted one after another, and a gradient contracts each again instead
    of keeping its intermediate results.

    Args:
        plan: of the network's geometry.
        arrays: its tensors in order, of the shapes of ``plan.geometry``.

    Returns:
        array with the axes of ``plan.geometry.output``.

    Raises:
        ValueError: another number of arrays or another shape.
    """
    shapes = tuple(tuple(np.shape(array)) for array in arrays)
    if shapes != plan.geometry.shapes:
        raise ValueError(
            f"arrays must be of shapes {plan.geometry.shapes}, got {shapes}."
        )
    if not plan.slices:
        return _contract(plan, plan.geometry.inputs, arrays)
    inputs = [
        "".join(i for i in indices if i not in plan.slices)
        for indices in plan.geometry.inputs
    ]

    @jax.checkpoint
    def slice_result(arrays, number):
        value_of, parts = {}, []
        for letter in plan.slices:  # the digits of the slice's number
            number, value_of[letter] = jnp.divmod(number, plan.geometry.size_of[letter])
        for indices, array in zip(plan.geometry.inputs, arrays, strict=True):
            for axis in reversed(range(len(indices))):
                if indices[axis] in value_of:
                    array = jax.lax.dynamic_index_in_dim(
                        array, value_of[indices[axis]], axis, keepdims=False
                    )
            parts.append(array)
        return _contract(plan, inputs, parts)

    arrays = tuple(map(jnp.asarray, arrays))
    numbers = jnp.arange(plan.n_slices, dtype="int32")
    start = jnp.zeros_like(jax.eval_shape(slice_result, arrays, numbers[0]))
    add = lambda total, number: (total + slice_result(arrays, number), None)  # noqa: E731
    return jax.lax.scan(add, start, numbers)[0]


def _contract(
    plan: ContractionPlan, inputs: Sequence[str], arrays: Sequence[jax.Array]
) -> jax.Array:
    """Pair after pair of tensors; an index that no other tensor has is summed."""
    remaining = list(zip(inputs, arrays, strict=True))
    output = plan.geometry.output
    for pair in plan.path:
        # The later one first, so that the earlier one's place does not change.
        (b, second), (a, first) = (remaining.pop(place) for place in sorted(pair)[::-1])
        needed = set(output).union(*(indices for indices, _ in remaining))
        kept = "".join(i for i in dict.fromkeys(a + b) if i in needed)
        remaining.append((kept, _einsum((a, b), (first, second), kept)))
    ((indices, result),) = remaining
    return _einsum((indices,), (result,), output)


def _einsum(
    inputs: Sequence[str], arrays: Sequence[jax.Array], output: str
) -> jax.Array:
    """``jnp.einsum`` of indices that are any letters."""
    axis = {i: k for k, i in enumerate(dict.fromkeys("".join(inputs)))}
    terms = [
        part
        for indices, array in zip(inputs, arrays, strict=True)
        for part in (array, [axis[i] for i in indices])
    ]
    return einsum(*terms, [axis[i] for i in output])
