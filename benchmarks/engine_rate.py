"""How far the exact engine is from this machine's matrix-product rate.

    python benchmarks/engine_rate.py                # n=14, one core
    python benchmarks/engine_rate.py --n-qubits 12 --topology ring

Counts the floating-point operations of the fused plan: a block of k qubits, applied or
taken the cotangent of, is 8 2^k 2^n real ones, and so is a group of readouts. Rates are
shares of what one core reaches on a product of two float32 matrices of side 1024,
measured before and after. One sample of two layers of RY, RZ and CRX, all 3n readouts,
complex64.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import tyro

import tnqrnn as tq
from tnqrnn.backends.readout import group_strings
from tnqrnn.backends.statevector import fuse_for


@dataclass
class Options:
    """What to measure.

    Attributes:
        n_qubits: number of qubits.
        topology: of the entanglers, see `tnqrnn.hardware_efficient`.
        repeats: calls of which the fastest counts.
        inner: repetitions within a call.
    """

    n_qubits: int = 14
    topology: str = "chain"
    repeats: int = 7
    inner: int = 50


def fastest(function: Callable, arguments: tuple, options: Options) -> float:
    """Seconds of one evaluation, repeated inside one program."""

    def repeated(*arguments: Any) -> Any:
        def again(_: int, carry: tuple) -> tuple:
            # The result goes into the next round, and XLA may leave out no part of it.
            result = jax.lax.optimization_barrier(function(*carry))
            tiny = sum(jnp.sum(leaf.ravel()[:1]) for leaf in jax.tree.leaves(result))
            return jax.tree.map(lambda leaf: leaf + 1e-30 * tiny, carry)

        return jax.lax.fori_loop(0, options.inner, again, arguments)

    program = jax.jit(repeated).lower(*arguments).compile()
    jax.block_until_ready(program(*arguments))
    times = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        times.append((time.perf_counter() - start) / options.inner)
    return min(times)


def matrix_rate(options: Options) -> float:
    """Operations a second of a float32 matrix product."""
    matrix = jax.random.normal(jax.random.key(0), (1024, 1024))
    program = jax.jit(jnp.matmul)
    jax.block_until_ready(program(matrix, matrix))
    times = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        jax.block_until_ready(program(matrix, matrix))
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(times)


def operations(groups: Sequence[tuple[int, ...]], n_qubits: int) -> int:
    """Floating-point operations of one product for each group of qubits."""
    return sum(8 * 2 ** len(qubits) * 2**n_qubits for qubits in groups)


def main(options: Options) -> None:
    """Prints one line for evolution, readout and backward pass."""
    n = options.n_qubits
    backend = tq.Statevector()
    ansatz = tq.hardware_efficient(n, topology=options.topology)
    strings = tq.parse_observables("xyz", n)
    angles = jax.random.normal(jax.random.key(1), (ansatz.n_params,))

    def build(angles: jax.Array) -> Any:
        return backend.operators(ansatz, angles)

    def evolve(operators: Any, state: Any) -> Any:
        return backend.apply(ansatz, operators, state)

    def read(state: Any) -> jax.Array:
        return backend.expectation(strings, state)

    operators = jax.jit(build)(angles)
    state = jax.jit(evolve)(operators, backend.init(n))
    blocks = operations([block.qubits for block in fuse_for(ansatz)], n)
    groups = operations([group.qubits for group in group_strings(strings)], n)
    dz = jnp.ones(len(strings))

    def backward(operators: Any, state: Any, dstate: Any, dz: jax.Array) -> Any:
        dstate = backend.pull_back_expectation(strings, state, dz, dstate)
        return backend.undo(ansatz, operators, state, dstate)

    parts: list[tuple[str, int, Callable, tuple]] = [
        ("evolution", blocks, evolve, (operators, state)),
        ("readout", groups, read, (state,)),
        ("backward", 3 * blocks + groups, backward, (operators, state, state, dz)),
        ("operators", 0, build, (angles,)),
    ]
    before = matrix_rate(options)
    lines = [(name, ops, fastest(f, args, options)) for name, ops, f, args in parts]
    rate = max(before, matrix_rate(options))
    n_blocks = len(fuse_for(ansatz))
    print(
        f"n={n}, {options.topology}, {n_blocks} blocks; matrix product "
        f"{rate / 1e9:.0f} Gflop/s, 1 core"
    )
    print(f"{'':12}{'us':>9}{'Mflop':>9}{'Gflop/s':>9}{'share':>8}")
    for name, ops, seconds in lines:
        line = f"{name:12}{seconds * 1e6:>9.1f}"
        if ops:
            line += f"{ops / 1e6:>9.2f}{ops / seconds / 1e9:>9.1f}"
            line += f"{ops / seconds / rate:>8.0%}"
        print(line)


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(tyro.cli(Options))
