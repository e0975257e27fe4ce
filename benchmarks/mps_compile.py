"""Compile time of the MPS gradient step: flat in qubits and in time steps.

    python benchmarks/mps_compile.py            # 2 minutes on one core

One gradient of a sequence classifier's loss on a chain ansatz of two layers, batch 8,
traced and compiled from nothing. Seconds are processor time, the least of ``repeats``,
so that other work on the machine does not count.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp

import tnqrnn as tq


def compile_seconds(
    n_qubits: int, n_steps: int, max_bond: int, repeats: int
) -> tuple[float, int]:
    """Processor seconds to compile one gradient, and its operations."""
    ansatz = tq.hardware_efficient(n_qubits)
    cell = tq.QRNNCell(8, ansatz, backend=tq.MPS(max_bond), key=jax.random.key(0))
    model = tq.SequenceClassifier(cell, 10, key=jax.random.key(1))

    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(params, xs):
        logits = eqx.combine(params, static)(xs)
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1))

    xs = jnp.zeros((8, n_steps, 8), jnp.float32)
    seconds = []
    for _ in range(repeats):
        jax.clear_caches()
        start = time.process_time()
        lowered = jax.jit(jax.value_and_grad(loss)).lower(params, xs)
        lowered.compile()
        seconds.append(time.process_time() - start)
    return min(seconds), lowered.as_text().count("\n")


def main() -> None:
    """Prints one line a program and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--max-bond", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    print("  n    T  max_bond  compile [s]  operations")
    results = {}
    for n_qubits, n_steps in ((12, 16), (24, 16), (12, 64)):
        seconds, size = compile_seconds(
            n_qubits, n_steps, options.max_bond, options.repeats
        )
        results[n_qubits, n_steps] = seconds
        row = f"{n_qubits:3d} {n_steps:4d} {options.max_bond:9d}"
        print(f"{row} {seconds:12.2f} {size:11d}")
    base = results[12, 16]
    print(f"n=24 / n=12: {results[24, 16] / base:.2f} (at most 1.5)")
    print(f"T=64 / T=16: {results[12, 64] / base:.2f} (at most 1.2)")


if __name__ == "__main__":
    main()
