"""Which tiny Schmidt values a derivative should turn into each other.

    python benchmarks/tiny_values.py            # 3 minutes on one core

A pair of singular values is turned where their squares differ by more than a bound (see
`tnqrnn/backends/truncation.py`). Printed is the relative error of the gradient of a
roll-out's readouts, two layers, T = 8, with each bound in turn: none but that on the
values themselves, 16 machine epsilons of the largest square, and the engine's.
Geometric means over `--seeds` circuits.
"""

import os
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import tnqrnn as tq
from tnqrnn.backends import truncation

BOUNDS = {"on values": 0.0, "16 eps": 4.0, "engine": truncation._TINY}
SCRAMBLING, NEAR_IDENTITY = 3.0, 0.1


@dataclass(frozen=True)
class Case:
    """A gradient and what it is compared with.

    Attributes:
        n_qubits: n.
        max_bond: chi.
        dtype: of the gradient.
        exact: compared with exact states, otherwise with complex128.
        init_scale: of the controller.
    """

    n_qubits: int
    max_bond: int
    dtype: str
    exact: bool
    init_scale: float

    def __str__(self) -> str:
        start = "scrambling" if self.init_scale > 1 else "near the identity"
        other = "exact states" if self.exact else "complex128"
        return (
            f"n={self.n_qubits} chi={self.max_bond} {start}, {self.dtype} "
            f"against {other}"
        )


CASES = (
    Case(12, 16, "complex128", True, SCRAMBLING),
    Case(12, 16, "complex64", False, SCRAMBLING),
    Case(8, 4, "complex64", False, SCRAMBLING),
    Case(8, 2, "complex64", False, NEAR_IDENTITY),
)


@dataclass
class Options:
    """What to measure.

    Attributes:
        seeds: circuits and inputs.
        n_steps: T.
    """

    seeds: int = 3
    n_steps: int = 8


def gradients(case: Case, backend: tq.AbstractBackend, options: Options) -> np.ndarray:
    """Each seed's gradient of the mean sine of all readouts by all parameters.

    Returns:
        array of shape (seeds, parameters).
    """

    def problem(seed: int) -> tuple[Any, jax.Array]:
        keys = jax.random.split(jax.random.key(seed))
        cell = tq.QRNNCell(
            8,
            tq.hardware_efficient(case.n_qubits),
            controller=tq.Controller(init_scale=case.init_scale),
            backend=tq.MPS(case.max_bond),  # every backend gets its parameters
            key=keys[0],
        )
        xs = jax.random.normal(keys[1], (1, options.n_steps, 8), "float32")
        return cell.with_backend(backend), xs

    static = eqx.partition(problem(0)[0], eqx.is_inexact_array)[1]

    @jax.jit
    @jax.grad
    def gradient(params, xs):
        xs = xs.astype(jax.tree.leaves(params)[0].dtype)
        cell = eqx.combine(params, static)
        rollout = tq.unroll(cell, xs, gradient="checkpoint")
        return jnp.mean(jnp.sin(rollout.readouts))

    rows = []
    for seed in range(options.seeds):
        cell, xs = problem(seed)
        leaves = jax.tree.leaves(gradient(eqx.filter(cell, eqx.is_inexact_array), xs))
        rows.append(np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(float))
    return np.stack(rows)


def errors(case: Case, options: Options) -> list[float]:
    """Geometric mean of the relative error with each bound."""
    exact = tq.Statevector("complex128")
    double = tq.MPS(case.max_bond, dtype="complex128")
    expected = gradients(case, exact if case.exact else double, options)
    found = []
    for bound in BOUNDS.values():
        truncation._TINY = bound
        jax.clear_caches()  # derivative rules are traced once
        actual = gradients(case, tq.MPS(case.max_bond, dtype=case.dtype), options)
        each = np.linalg.norm(actual - expected, axis=1)
        each /= np.linalg.norm(expected, axis=1)
        found.append(float(np.exp(np.mean(np.log(each)))))
    return found


def main(options: Options) -> None:
    """Prints one line a case."""
    print(" " * 60 + "".join(f"{name:>12}" for name in BOUNDS))
    for case in CASES:
        found = errors(case, options)
        print(f"{case!s:60}" + "".join(f"{e:12.1e}" for e in found), flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    jax.config.update("jax_enable_x64", True)
    main(tyro.cli(Options))
