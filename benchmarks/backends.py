"""Time and memory of one gradient on each backend, against the number of qubits.

    python benchmarks/backends.py

Two layers of RY, RZ and a CRX chain, all 3n readouts, a controller of 64 units, T=16,
batch 8, complex64. Memory is what XLA's own analysis of the compiled program states.
"""

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import tnqrnn as tq
from tnqrnn.pricing import median_seconds

N_STEPS, BATCH = 16, 8
BACKENDS: dict[str, tuple[tq.AbstractBackend, str, tuple[int, ...]]] = {
    "statevector, reversible": (tq.Statevector(), "reversible", (4, 8, 12, 14)),
    "statevector, store": (tq.Statevector(), "store", (4, 8, 12)),
    "MPS, chi = 4": (tq.MPS(4), "checkpoint", (8, 12, 20, 50)),
    "MPS, chi = 16": (tq.MPS(16), "checkpoint", (12, 20, 50)),
}


def compile_gradient(backend: tq.AbstractBackend, mode: str, n_qubits: int) -> Any:
    """The compiled gradient of a loss over all readouts, and its arguments."""
    cell = tq.QRNNCell(
        16, tq.hardware_efficient(n_qubits), backend=backend, key=jax.random.key(0)
    )
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    def loss(params: Any, xs: jax.Array) -> jax.Array:
        cell = eqx.combine(params, static)
        return jnp.mean(jnp.sin(tq.unroll(cell, xs, gradient=mode).readouts))

    xs = jax.random.normal(jax.random.key(1), (BATCH, N_STEPS, 16))
    return jax.jit(jax.grad(loss)).lower(params, xs).compile(), (params, xs)


def main() -> None:
    """Prints one line a configuration."""
    print(f"T={N_STEPS}, batch {BATCH}, {jax.devices()[0].device_kind}")
    titles = f"{'compile, s':>12}{'gradient, s':>13}{'temp, MiB':>11}"
    print(f"{'backend':26}{'n':>4}{titles}")
    for name, (backend, mode, sizes) in BACKENDS.items():
        for n_qubits in sizes:
            start = time.perf_counter()
            program, arguments = compile_gradient(backend, mode, n_qubits)
            compiling = time.perf_counter() - start
            memory = program.memory_analysis().temp_size_in_bytes / 2**20
            took = median_seconds(program, arguments, at_least=5)
            print(
                f"{name:26}{n_qubits:>4}{compiling:>12.1f}{took:>13.4f}{memory:>11.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
