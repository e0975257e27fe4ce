"""How fast a machine is: two short measurements, and how times are taken."""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.truncation import split


class Probes(NamedTuple):
    """Two short measurements that say how fast a machine is, in seconds.

    Attributes:
        product: 100 products of a 32 x 16 and a 16 x 1024 matrix, float32: the work of
            exact states.
        split: 8 truncated splits of 32 x 32 matrices, complex64: the work of an MPS.
    """

    product: float
    split: float

    def of(self, kind: str) -> float:
        """The probe that resembles a representation's work."""
        return self.product if kind == "statevector" else self.split


def measure_probes() -> Probes:
    """Measures `Probes` on the first processor core: medians, in about a second."""
    rng = np.random.default_rng(0)
    with jax.default_device(jax.devices("cpu")[0]):
        matrix = np.linalg.qr(rng.normal(size=(32, 16)))[0].astype(np.float32)
        state = rng.normal(size=(16, 1024)).astype(np.float32)
        theta = rng.normal(size=(2, 8, 32, 32)).astype(np.float32)
        return Probes(
            median_seconds(_products, (jnp.asarray(matrix), jnp.asarray(state))),
            median_seconds(_splits, (jax.lax.complex(*jnp.asarray(theta)),)),
        )


def median_seconds(
    program: Callable[..., Any], arguments: tuple[Any, ...], *, at_least: int = 3
) -> float:
    """Median time of calls after a first one, at least so many and half a second."""
    jax.block_until_ready(program(*arguments))
    times: list[float] = []
    while len(times) < at_least or sum(times) < 0.5:
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@jax.jit
def _products(matrix: jax.Array, state: jax.Array) -> jax.Array:
    def step(_: Any, state: jax.Array) -> jax.Array:
        moved = matrix @ state
        return moved[:16] + moved[16:]

    return jax.lax.fori_loop(0, 100, step, state)


@jax.jit
def _splits(thetas: jax.Array) -> Any:
    return jax.vmap(functools.partial(split, max_bond=16))(thetas)
