"""What one truncated split of the MPS engine costs, and what its parts would cost.

    python benchmarks/splits.py

Microseconds a sample, eight samples at once, one core, complex64, matrices of side
2 chi as a gate on a bond makes them. `svd` is what the engine takes. `subspace` is one
step of subspace iteration with Cholesky QR from a random start, and `steps` how many of
them bring the kept space to 1e-5 at a spectrum of ratio 0.8 between neighbours: what a
truncation without SVD would have to beat. `complex` and `real` are one product of two
such matrices as XLA multiplies complex numbers, which the engine uses, and as one real
product of stacked parts.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engine_rate
import jax
import jax.numpy as jnp
import numpy as np
import tyro


@dataclass
class Options:
    """What to measure.

    Attributes:
        bonds: chi.
        batch: samples at once.
        repeats: calls of which the fastest counts.
        inner: repetitions within a call.
    """

    bonds: tuple[int, ...] = (4, 8, 16, 32)
    batch: int = 8
    repeats: int = 9
    inner: int = 30


def microseconds(function: Callable, arguments: tuple, options: Options) -> float:
    """Time a sample of one evaluation."""
    timing = engine_rate.Options(repeats=options.repeats, inner=options.inner)
    return 1e6 * engine_rate.fastest(function, arguments, timing) / options.batch


def matrices(chi: int, batch: int, ratio: float = 0.8) -> np.ndarray:
    """Matrices (batch, 2 chi, 2 chi) with singular values in geometric progression."""
    rng = np.random.default_rng(0)
    shape = (2, 2, batch, 2 * chi, 2 * chi)
    (a, b), (c, d) = rng.normal(size=shape)
    left, right = np.linalg.qr(a + 1j * b)[0], np.linalg.qr(c + 1j * d)[0]
    return (left * ratio ** np.arange(2.0 * chi)) @ right


def adjoint(matrix: jax.Array) -> jax.Array:
    """The conjugate transpose of the last two axes."""
    return jnp.swapaxes(matrix, -1, -2).conj()


def product(left: jax.Array, right: jax.Array) -> jax.Array:
    """``left @ right``, as one real product of parts stacked and a sum of four."""
    p, q = left.shape[-2], right.shape[-1]
    parts = jnp.matmul(
        jnp.concatenate([left.real, left.imag], -2),
        jnp.concatenate([right.real, right.imag], -1),
        precision="highest",
    )
    above, below = parts[..., :p, :], parts[..., p:, :]
    return jax.lax.complex(
        above[..., :q] - below[..., q:], above[..., q:] + below[..., :q]
    )


def subspace_step(theta: jax.Array, space: jax.Array) -> jax.Array:
    """An orthonormal basis of ``theta theta^dagger space``, by Cholesky QR."""
    moved = product(theta, product(adjoint(theta), space))
    factor = jnp.linalg.cholesky(product(adjoint(moved), moved))
    return adjoint(
        jax.lax.linalg.triangular_solve(
            factor, adjoint(moved), left_side=True, lower=True
        )
    )


def steps_needed(theta: np.ndarray, chi: int, tolerance: float = 1e-5) -> int:
    """Steps of subspace iteration until the kept space is right, in double precision.

    Its distance is the norm of the part outside the chi largest left singular vectors.
    """
    kept = np.linalg.svd(theta)[0][..., :chi]
    space = np.linalg.qr(theta @ np.eye(theta.shape[-1], chi))[0]
    for step in range(1, 1000):
        space = np.linalg.qr(theta @ (theta.conj().mT @ space))[0]
        outside = space - kept @ (kept.conj().mT @ space)
        if np.linalg.norm(outside, ord=2, axis=(-2, -1)).max() < tolerance:
            return step
    raise RuntimeError(f"chi={chi}: subspace iteration did not converge.")


def main(options: Options) -> None:
    """Prints one line for each bond dimension."""
    heads = ("svd", "eigh", "qr", "subspace", "steps", "complex", "real")
    print("chi".rjust(5) + "".join(head.rjust(11) for head in heads))
    for chi in options.bonds:
        exact = matrices(chi, options.batch)
        theta = jnp.asarray(exact, jnp.complex64)
        half = theta[..., :chi]
        timed: dict[str, tuple[Callable[..., Any], tuple]] = {
            "svd": (lambda t: jnp.linalg.svd(t, full_matrices=False), (theta,)),
            "eigh": (lambda t: jnp.linalg.eigh(product(t, adjoint(t))), (theta,)),
            "qr": (jnp.linalg.qr, (half,)),
            "subspace": (lambda q, t: subspace_step(t, q), (half, theta)),
            "complex": (jnp.matmul, (theta, theta)),
            "real": (product, (theta, theta)),
        }
        row = {name: microseconds(*work, options) for name, work in timed.items()}
        row["steps"] = steps_needed(exact, chi)
        print(f"{chi:>5}" + "".join(f"{row[head]:>11.4g}" for head in heads))


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(tyro.cli(Options))
