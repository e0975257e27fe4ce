"""The engines of this working tree against those of another commit.

    python benchmarks/against_commit.py fa3416f            # 15 minutes
    python benchmarks/against_commit.py fa3416f --rows exact-14 mps-20

For each row two processes, one a tree, are pinned to one core and take turns of a
third of a second, so that a busy machine disturbs both alike: the problems of
`gradient_step.py`, `mps_step.py` and `network_step.py` in complex64. Seconds are those
in which the process computed, of the fastest call of a turn. Printed and appended to
``--out``, one line of JSON a row and sitting: the median over turns of the ratio new by
old with its quartiles, seconds of compilation, and XLA's own count of temporary bytes.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

ROOT = Path(__file__).parents[1]
TURN = 0.3  # seconds

EXACT = {f"exact-{n}": (n, 16) for n in (8, 10, 12, 14)}
"""Qubits and steps."""
MPS = {"mps-12": (12, 16), "mps-20": (20, 16)}
"""Qubits and steps, at chi = 16."""
NETWORK = {"network-40": (40, 3, "brickwork"), "network-10": (10, 4, "chain")}
"""Qubits, steps and topology, of one layer."""
ROWS = (*EXACT, *MPS, *NETWORK)


@dataclass(frozen=True)
class Options:
    """What to compare.

    Attributes:
        commit: the other tree's.
        rows: names of the problems.
        turns: of each process.
        core: number of the processor core.
        out: file that rows are appended to.
    """

    commit: tyro.conf.Positional[str]
    rows: tuple[str, ...] = ROWS
    turns: int = 15
    core: int = 0
    out: Path = Path("runs/against_commit.jsonl")


def problem_of(row: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A loss with its gradient, not compiled yet, and what it takes."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    from gradient_peers import tnqrnn_loss
    from gradient_problem import make

    import tnqrnn as tq

    if row in NETWORK:
        n_qubits, n_steps, topology = NETWORK[row]
        cell = tq.QRNNCell(
            4,
            tq.hardware_efficient(n_qubits, 1, topology=topology),
            controller=tq.Controller("tanh", (64,), init_scale=1.0),
            backend=tq.Network(search="never"),
            key=jax.random.key(0),
        )
        xs = jax.random.normal(jax.random.key(1), (8, n_steps, 4))
        weights, static = eqx.partition(cell, eqx.is_inexact_array)

        def loss(weights: Any, xs: jax.Array) -> jax.Array:
            rollout = tq.unroll(eqx.combine(weights, static), xs)
            return jnp.mean(jnp.sin(3 * rollout.readouts))

        return jax.value_and_grad(loss), (weights, xs)
    n_qubits, n_steps = (EXACT | MPS)[row]
    backend = tq.Statevector() if row in EXACT else tq.MPS(16)
    problem = make(n_qubits, n_steps, 8, "complex64")
    given = (problem.weights, problem.xs, problem.targets)
    return jax.value_and_grad(tnqrnn_loss(problem, backend)), given


def measure(row: str) -> None:
    """Compiles a row, then answers each line of stdin by the time of one turn."""
    import jax

    function, given = problem_of(row)
    start = time.process_time()
    program = jax.jit(function).lower(*given).compile()
    compiling = time.process_time() - start
    memory: Any = program.memory_analysis()
    jax.block_until_ready(program(*given))
    print(
        json.dumps({"compile": compiling, "temp_bytes": memory.temp_size_in_bytes}),
        flush=True,
    )
    for _ in sys.stdin:
        started = time.perf_counter()
        seconds: list[float] = []
        while not seconds or time.perf_counter() - started < TURN:
            begin = time.process_time()
            jax.block_until_ready(program(*given))
            seconds.append(time.process_time() - begin)
        print(min(seconds), flush=True)


def process(tree: Path, row: str, core: int) -> subprocess.Popen[str]:
    """A process that measures a row with the library of a tree."""
    threads = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": threads,
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # compilation is measured
    return subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, __file__, "--measure", row],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tree,
    )


def answer(of: subprocess.Popen[str]) -> Any:
    """The next line of a process, of JSON."""
    assert of.stdout is not None
    line = of.stdout.readline()
    if not line:
        raise RuntimeError(f"{of.args!r} ended with code {of.wait()}.")
    return json.loads(line)


def turn(of: subprocess.Popen[str]) -> float:
    """Seconds of the fastest call of one turn."""
    assert of.stdin is not None
    print(file=of.stdin, flush=True)
    return answer(of)


def compare(row: str, old_tree: Path, options: Options) -> dict[str, Any]:
    """One row of one sitting."""
    started, programs = [], []
    for tree in (old_tree, ROOT):  # one compiles after the other
        started.append(process(tree, row, options.core))
        programs.append(answer(started[-1]))
    ratios, seconds = [], []
    for _ in range(options.turns):
        pair = [turn(one) for one in started]
        ratios.append(pair[1] / pair[0])
        seconds.append(pair)
    for one in started:
        one.communicate()
    quartiles = statistics.quantiles(ratios, n=4)
    old, new = programs
    return {
        "row": row,
        "commit": options.commit,
        "old_seconds": min(pair[0] for pair in seconds),
        "new_seconds": min(pair[1] for pair in seconds),
        "ratio": quartiles[1],
        "quartiles": [quartiles[0], quartiles[2]],
        "compile_old": old["compile"],
        "compile_new": new["compile"],
        "temp_bytes_old": old["temp_bytes"],
        "temp_bytes_new": new["temp_bytes"],
    }


def main(options: Options) -> None:
    """Compares row by row, prints a table and appends to ``options.out``."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    print(
        f"{'':12}{'old, ms':>10}{'new, ms':>10}{'new / old':>11}{'quartiles':>15}"
        f"{'compile, s':>16}{'temporary, MiB':>18}"
    )
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", options.commit],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        subprocess.run(["tar", "-x"], input=archive.stdout, cwd=folder, check=True)
        for row in options.rows:
            found = compare(row, Path(folder), options)
            low, high = found["quartiles"]
            times = f"{found['compile_old']:.1f} {found['compile_new']:.1f}"
            sizes = " ".join(
                f"{found[f'temp_bytes_{which}'] / 2**20:.2f}"
                for which in ("old", "new")
            )
            print(
                f"{row:12}{1e3 * found['old_seconds']:10.2f}"
                f"{1e3 * found['new_seconds']:10.2f}{found['ratio']:11.3f}"
                f"{f'{low:.3f} {high:.3f}':>15}{times:>16}{sizes:>18}",
                flush=True,
            )
            with options.out.open("a") as file:
                file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    else:
        main(tyro.cli(Options, description=__doc__))
