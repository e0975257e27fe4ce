"""How far the exact engine is from what this machine's processor can do.

    python benchmarks/engine_rate.py                # n=14, one core
    python benchmarks/engine_rate.py --n-qubits 12 --topology ring
    python benchmarks/engine_rate.py --platform cuda --batch 256   # where JAX has a GPU

Counts the floating-point operations of the fused plan: a block of k qubits, applied or
taken the cotangent of, is 8 2^k 2^n real ones a sample, and so is a group of readouts.
Rates are shares of what the processor (one core of a CPU) reaches on a product of two
float32 matrices, of side 1024 or 8192 on an accelerator, measured before and after. On
an accelerator, whose states lie in no cache, it also counts the fewest bytes: such a
product reads one or two states and writes one, or none; their rate is a share of what
adding 1 to 2^28 numbers reaches. Two layers of RY, RZ and CRX, all 3n readouts,
complex64.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import tyro

import tnqrnn as tq
from tnqrnn.backends.statevector.backend import fuse_for
from tnqrnn.backends.statevector.readout import group_strings, most_together
from tnqrnn.products import matmul, on_accelerator


@dataclass
class Options:
    """What to measure.

    Attributes:
        n_qubits: number of qubits.
        topology: of the entanglers, see `tnqrnn.hardware_efficient`.
        batch: samples at once.
        repeats: calls of which the fastest counts.
        inner: repetitions within a call.
        platform: what JAX runs on, `cpu` or `cuda`.
    """

    n_qubits: int = 14
    topology: str = "chain"
    batch: int = 1
    repeats: int = 7
    inner: int = 50
    platform: str = "cpu"


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
    return least_seconds(program, arguments, options.repeats) / options.inner


def matrix_rate(options: Options) -> float:
    """Operations a second of a float32 matrix product in full precision."""
    side = 8192 if on_accelerator() else 1024
    matrix = jax.random.normal(jax.random.key(0), (side, side))
    seconds = least_seconds(jax.jit(matmul), (matrix, matrix), options.repeats)
    return 2 * side**3 / seconds


def copy_rate(options: Options) -> float:
    """Bytes a second of adding 1 to a long array, read and written."""
    array = jax.random.normal(jax.random.key(0), (2**28,))
    add = jax.jit(lambda x: x + 1)
    return 2 * array.nbytes / least_seconds(add, (array,), options.repeats)


def least_seconds(program: Callable, arguments: tuple, repeats: int) -> float:
    """Seconds of the fastest of several calls, after a first one."""
    jax.block_until_ready(program(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        times.append(time.perf_counter() - start)
    return min(times)


class Part(NamedTuple):
    """A part of a step: its operations, the states it passes over, how to run it."""

    name: str
    operations: int
    passes: int
    function: Callable
    arguments: tuple


def parts(options: Options) -> list[Part]:
    """Evolution, readout, backward pass, and the matrices they need."""
    n, batch = options.n_qubits, options.batch
    backend = tq.Statevector()
    ansatz = tq.hardware_efficient(n, topology=options.topology)
    strings = tq.parse_observables("xyz", n)
    angles = jax.random.normal(jax.random.key(1), (batch, ansatz.n_params))

    def build(angles: jax.Array) -> Any:
        return backend.operators(ansatz, angles)

    def evolve(operators: Any, state: Any) -> Any:
        return backend.apply(ansatz, operators, state)

    def read(state: Any) -> jax.Array:
        return backend.expectation(strings, state)

    def backward(operators: Any, state: Any, dstate: Any, dz: jax.Array) -> Any:
        dstate = backend.pull_back_expectation(strings, state, dz, dstate)
        return backend.undo(ansatz, operators, state, dstate)

    operators = jax.jit(jax.vmap(build))(angles)
    start = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), backend.init(n)
    )
    state = jax.jit(jax.vmap(evolve))(operators, start)
    dz = jnp.ones((batch, len(strings)))
    blocks = fuse_for(ansatz)
    groups = group_strings(strings, most_together())
    once, read_once = (
        sum(8 * 2 ** len(each.qubits) * 2**n * batch for each in products)
        for products in (blocks, groups)
    )
    # Applying reads and writes a state, a cotangent of a matrix reads two; reading
    # reads one, its cotangent reads two, as it adds to another, and writes one.
    back = 6 * len(blocks) + 3 * len(groups)
    return [
        Part("evolution", once, 2 * len(blocks), evolve, (operators, state)),
        Part("readout", read_once, len(groups), read, (state,)),
        Part(
            *("backward", 3 * once + read_once, back),
            *(backward, (operators, state, state, dz)),
        ),
        Part("operators", 0, 0, build, (angles,)),
    ]


def main(options: Options) -> None:
    """Prints one line for evolution, readout and backward pass."""
    jax.config.update("jax_platforms", options.platform)
    if options.platform == "cpu":  # before JAX starts its threads
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    n = options.n_qubits
    probes = {"Gflop/s": matrix_rate} | (
        {"GB/s": copy_rate} if on_accelerator() else {}
    )
    rates = {unit: [probe(options)] for unit, probe in probes.items()}
    measured = [
        (part, fastest(jax.vmap(part.function), part.arguments, options))
        for part in parts(options)
    ]
    for unit, probe in probes.items():
        rates[unit].append(probe(options))
    n_blocks = len(fuse_for(tq.hardware_efficient(n, topology=options.topology)))
    best = {unit: max(values) / 1e9 for unit, values in rates.items()}
    print(
        f"n={n}, {options.topology}, batch {options.batch}, {n_blocks} blocks, "
        f"{jax.devices()[0].device_kind}; at most "
        + ", ".join(f"{value:.0f} {unit}" for unit, value in best.items())
    )
    print(f"{'':12}{'us':>10}" + "".join(f"{u:>11}{'share':>7}" for u in best))
    for part, seconds in measured:
        line = f"{part.name:12}{seconds * 1e6:>10.1f}"
        n_bytes = part.passes * 8 * 2**n * options.batch
        for unit, amount in zip(best, (part.operations, n_bytes), strict=False):
            value = amount / seconds / 1e9
            if amount:
                line += f"{value:>11.1f}{value / best[unit]:>7.0%}"
        print(line, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
