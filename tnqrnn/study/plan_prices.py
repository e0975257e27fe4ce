"""What a contraction costs on this machine: memory, slices and seconds.

Seconds are a straight sum of what a contraction does, three rates of the machine by
three amounts: pairs of tensors multiplied, floating-point operations, entries written.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.checks import check_dtype
from tnqrnn.contraction import ContractionPlan
from tnqrnn.pricing import median_seconds

FLOPS = 8
"""Real operations of one multiplication and addition of complex entries."""


class Rates(NamedTuple):
    """How fast a machine contracts, one thread.

    Attributes:
        per_pair: seconds that one small pair of tensors takes.
        per_flop: seconds of one floating-point operation of a large product.
        per_entry: seconds to write one entry of a large result.
    """

    per_pair: float
    per_flop: float
    per_entry: float


class PlanPrice(NamedTuple):
    """What one contraction of a network costs.

    Attributes:
        flops: floating-point operations, all slices together.
        log2_width: log2 of the entries of the largest intermediate result.
        n_bytes: of all results that are held at once, of one slice.
        n_slices: how many times the sliced network is contracted.
        seconds: predicted, for the value alone.
    """

    flops: float
    log2_width: float
    n_bytes: int
    n_slices: int
    seconds: float


def measure_rates(dtype: str = "complex64") -> Rates:
    """Measures `Rates` in a few seconds."""
    check_dtype(dtype)
    small = jnp.ones((2, 2, 2), dtype)
    large = jnp.ones((512, 512), dtype)
    long = jnp.ones((2**10, 2**10), dtype)
    n_pairs = 64

    @jax.jit
    def pairs(tensor: jax.Array) -> jax.Array:
        for _ in range(n_pairs):
            tensor = jnp.einsum("abc,cde->abde", tensor, tensor)[:, :, 0] / 2
        return tensor

    product = jax.jit(lambda matrix: matrix @ matrix)
    copy = jax.jit(lambda matrix: matrix.T + matrix)
    return Rates(
        median_seconds(pairs, (small,)) / n_pairs,
        median_seconds(product, (large,)) / (FLOPS * 512**3),
        median_seconds(copy, (long,)) / 2**20,
    )


def price_plan(
    plan: ContractionPlan,
    rates: Rates,
    dtype: str = "complex64",
    memory_limit: int | None = None,
) -> PlanPrice:
    """The cost of one contraction, sliced to a memory limit.

    Args:
        plan: of the network.
        rates: of the machine, see :func:`measure_rates`.
        dtype: complex type of the entries.
        memory_limit: bytes of the largest intermediate result, ``None`` for any.

    Raises:
        ValueError: a limit below the network's own result.
    """
    itemsize = np.dtype(check_dtype(dtype)).itemsize
    if memory_limit is not None:
        plan = plan.sliced(memory_limit, dtype)
    tree = plan.tree()
    flops = FLOPS * 10.0**plan.log10_cost
    seconds = (
        len(plan.path) * plan.n_slices * rates.per_pair
        + flops * rates.per_flop
        + tree.total_write() * rates.per_entry
    )
    n_bytes = math.ceil(tree.peak_size()) * itemsize
    return PlanPrice(flops, plan.log2_width, n_bytes, plan.n_slices, seconds)
