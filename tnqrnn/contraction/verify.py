"""Whether a plan contracts its network: a second answer by other means."""

import math

import jax
import numpy as np

from tnqrnn.contraction.contract import contract
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.contraction.plan import ContractionPlan

MAX_TERMS = 2**22
"""Terms of the largest network that is summed term by term."""


def plan_error(plan: ContractionPlan, seed: int = 0) -> float:
    """Relative error of a plan's contraction of random tensors, complex128.

    Args:
        plan: to check.
        seed: of the tensors.

    Returns:
        the largest difference from :func:`reference`, relative to the largest entry.

    Raises:
        ValueError: JAX's 64-bit mode is off.
    """
    if not jax.config.read("jax_enable_x64"):
        raise ValueError("jax_enable_x64 must be True to verify plans, got False.")
    rng = np.random.default_rng(seed)
    arrays = [
        (rng.normal(size=(*shape, 2)) @ [1, 1j]) / math.sqrt(2 * math.prod(shape))
        for shape in plan.geometry.shapes
    ]
    expected = reference(plan.geometry, arrays)
    actual = np.asarray(jax.jit(lambda held: contract(plan, held))(arrays))
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def reference(geometry: Geometry, arrays: list[np.ndarray]) -> np.ndarray:
    """A network's result from NumPy alone, in no plan's order.

    The sum over all indices, term by term, where there are at most ``MAX_TERMS``; else
    indices are summed one after another, always the one whose tensors make the smallest
    product, with no slices.
    """
    if math.prod(geometry.sizes) <= MAX_TERMS and len(geometry.sizes) <= 32:
        return _term_by_term(geometry, arrays)
    return _index_by_index(geometry, arrays)


def _term_by_term(geometry: Geometry, arrays: list[np.ndarray]) -> np.ndarray:
    axis = {letter: k for k, letter in enumerate(geometry.letters)}
    terms = [
        part
        for indices, array in zip(geometry.inputs, arrays, strict=True)
        for part in (array, [axis[letter] for letter in indices])
    ]
    return np.einsum(*terms, [axis[letter] for letter in geometry.output])


def _index_by_index(geometry: Geometry, arrays: list[np.ndarray]) -> np.ndarray:
    left = list(zip(geometry.inputs, arrays, strict=True))
    size_of = geometry.size_of
    to_sum = set(geometry.letters) - set(geometry.output)

    def width(letter: str) -> tuple[int, str]:
        joined = set().union(*(indices for indices, _ in left if letter in indices))
        return math.prod(size_of[one] for one in joined), letter

    while to_sum:
        letter = min(to_sum, key=width)
        touched = [one for one in left if letter in one[0]]
        left = [one for one in left if letter not in one[0]]
        joined = touched[0]
        for other in touched[1:]:
            joined = _product(joined, other)
        indices, array = joined
        left.append(
            (indices.replace(letter, ""), array.sum(axis=indices.index(letter)))
        )
        to_sum.remove(letter)
    result = left[0]
    for other in left[1:]:
        result = _product(result, other)
    indices, array = result
    return array.transpose([indices.index(letter) for letter in geometry.output])


def _product(
    first: tuple[str, np.ndarray], second: tuple[str, np.ndarray]
) -> tuple[str, np.ndarray]:
    """Two tensors multiplied entry by entry over the indices of both."""
    indices = "".join(dict.fromkeys(first[0] + second[0]))
    aligned = [
        np.expand_dims(
            array.transpose([names.index(one) for one in indices if one in names]),
            [k for k, one in enumerate(indices) if one not in names],
        )
        for names, array in (first, second)
    ]
    return indices, aligned[0] * aligned[1]
