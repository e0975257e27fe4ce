"""The gradient of a roll-out as an exact tensor network, beside a sufficient MPS.

    python benchmarks/network_step.py            # 5 minutes

One gradient of all 3n readouts of T steps by the weights of a controller, each
configuration in a process of its own: seconds of the first gradient, compilation
included, and of later ones, peak memory, and the largest difference of readouts and
relative difference of gradients from an MPS whose bonds suffice. Plans that are not
shipped are searched and stored first, and their number is printed.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.flatten_util import ravel_pytree

import tnqrnn as tq
from tnqrnn.backends.network.readout import network_geometries
from tnqrnn.contraction import find_plan, stored_plan
from tnqrnn.pricing import median_seconds
from tnqrnn.records import provenance, write_json

CASES = (
    (40, 3, "brickwork", 16),
    (40, 3, "chain", 16),
    (100, 2, "brickwork", 4),
    (10, 4, "brickwork", 32),
    (10, 4, "chain", 32),
    (10, 4, "ring", 32),
    (10, 4, "all_to_all", 32),
)
"""Qubits, steps, topology, and a bond that suffices."""


@dataclass
class Options:
    """What to measure.

    Attributes:
        cases: numbers of cases to measure; all unless given.
        batch: samples a gradient.
        n_layers: layers of the circuit.
        out: folder of the results.
    """

    cases: tuple[int, ...] = tuple(range(len(CASES)))
    batch: int = 8
    n_layers: int = 1
    out: Path = Path("runs/network_step")


def measure(
    n_qubits: int, n_steps: int, topology: str, max_bond: int, batch: int, n_layers: int
) -> dict[str, Any]:
    """One configuration, in this process."""
    ansatz = tq.hardware_efficient(n_qubits, n_layers, topology=topology)
    geometries = network_geometries(ansatz, n_steps)
    missing = sum(stored_plan(geometry) is None for geometry in geometries)
    plans = [find_plan(geometry, progress=None) for geometry in geometries]
    cell = tq.QRNNCell(
        4,
        ansatz,
        controller=tq.Controller("tanh", (64,), init_scale=1.0),
        backend=tq.Network(search="never"),
        key=jax.random.key(0),
    )
    xs = jax.random.normal(jax.random.key(1), (batch, n_steps, 4))

    def loss(cell: tq.QRNNCell) -> tuple[jax.Array, jax.Array]:
        readouts = tq.unroll(cell, xs).readouts
        return jnp.mean(jnp.sin(3 * readouts)), readouts

    gradient = eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))
    start = time.perf_counter()
    found, readouts = jax.block_until_ready(gradient(cell))
    first = time.perf_counter() - start
    later = median_seconds(gradient, (cell,))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    d_mps, expected = gradient(cell.with_backend(tq.MPS(max_bond)))
    flat, d_flat = (
        np.asarray(ravel_pytree(eqx.filter(one, eqx.is_inexact_array))[0])
        for one in (found, d_mps)
    )
    return {
        "first_seconds": first,
        "later_seconds": later,
        "peak_mib": peak,
        "n_geometries": len(geometries),
        "searched": missing,
        "log2_width": max(plan.log2_width for plan in plans),
        "readout_difference": float(np.abs(readouts - expected).max()),
        "gradient_difference": float(
            np.linalg.norm(flat - d_flat) / np.linalg.norm(d_flat)
        ),
    }


def main(options: Options) -> None:
    """Measures each case in a process of its own and prints a table."""
    options.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{'n':>4} {'T':>2} {'topology':11} {'first, s':>9} {'later, s':>9} "
        f"{'peak, MiB':>9} {'networks':>8} {'searched':>8} {'width':>6} "
        f"{'readouts':>9} {'gradient':>9}"
    )
    rows = []
    for case in (CASES[number] for number in options.cases):
        arguments = [*case, options.batch, options.n_layers]
        done = subprocess.run(
            [sys.executable, __file__, "--measure", json.dumps(arguments)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        row = json.loads(done.stdout.splitlines()[-1])
        n, n_steps, topology, _ = case
        rows.append({"n_qubits": n, "n_steps": n_steps, "topology": topology} | row)
        print(
            f"{n:4} {n_steps:2} {topology:11} {row['first_seconds']:9.1f} "
            f"{row['later_seconds']:9.3f} {row['peak_mib']:9.0f} "
            f"{row['n_geometries']:8} {row['searched']:8} {row['log2_width']:6.0f} "
            f"{row['readout_difference']:9.0e} {row['gradient_difference']:9.0e}",
            flush=True,
        )
    settings = {"batch": options.batch, "n_layers": options.n_layers}
    result = {"machine": provenance(), "settings": settings, "rows": rows}
    write_json(options.out / "results.json", result)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
    else:
        main(tyro.cli(Options))
