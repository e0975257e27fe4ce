"""Whether a plan contracts its network: a second answer by other means."""

import math

import jax
import numpy as np

from tnqrnn.contraction.contract import contract
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.contraction.plan import ContractionPlan


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
    """A network's result in NumPy, by cotengra's own contraction in a greedy order."""
    import cotengra

    return cotengra.array_contract(
        arrays, geometry.inputs, geometry.output, optimize="greedy"
    )
