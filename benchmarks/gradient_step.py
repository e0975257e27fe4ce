"""One gradient step of the exact engine against its peers.

    make peers                                  # once: an environment of their own
    python benchmarks/gradient_step.py          # everything; resumes where it stopped
    python benchmarks/gradient_step.py --qubits 8 10 --steps 16 --peers jax pennylane
    python benchmarks/gradient_step.py --topology ring --steps 16
    python benchmarks/gradient_step.py --platform cuda --cores 16 --turns /tmp/turns \
        --qubits 10 14 --batch 256 --peers jax jax-checkpoint   # where JAX has a GPU

Every measurement is a process of its own, pinned to one core (`--cores 2` for two), and
the libraries take turns, so that a busy machine disturbs all of them alike. With
`--turns` all processes compile side by side, which a GPU's many cores allow, and only
measure in turns; other calls with the same file join in. Peers multiply in full
precision, too, where JAX would round factors to TF32. First, loss and gradient of every
peer are compared with straightforward JAX: 1e-8 in complex128, 1e-4 in complex64,
relative, at T=4 (`--check-qubits 0` leaves that out). A peer that takes longer than
`--limit` seconds at a size is left out there and at larger sizes, in later calls too
(`left_out` in results.json). Prints a table; writes results.json and gradient_step.png
to `--out`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import tyro
from matplotlib.axes import Axes

from tnqrnn.records import processor_name, write_atomic

HERE = Path(__file__).parent
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
IN_THIS_ENVIRONMENT = ("tnqrnn", "statevector", "jax", "jax-checkpoint", "quimb")
TOLERANCES = {"complex128": 1e-8, "complex64": 1e-4}
OURS = "tnqrnn"
WRITING = threading.Lock()


@dataclass
class Processes:
    """How measuring processes are run.

    Attributes:
        rounds: processes of each configuration, taking turns.
        seconds: time of repeated calls in a process.
        limit: seconds a process may take.
        cores: processor cores a process may use.
        platform: what JAX runs on, `cpu` or `cuda`.
        turns: a file; processes compile side by side and lock it to measure.
    """

    rounds: int = 3
    seconds: float = 2.0
    limit: float = 600.0
    cores: int = 1
    platform: str = "cpu"
    turns: Path | None = None


@dataclass
class Options(Processes):
    """What to measure.

    Attributes:
        qubits: numbers of qubits.
        topology: of the entanglers, see `tnqrnn.hardware_efficient`.
        steps: sequence lengths.
        batch: samples a gradient.
        check_qubits: number of qubits at which results are compared first; 0: nowhere.
        peers: libraries beside this one.
        out: folder of the results; finished measurements there are kept.
    """

    qubits: tuple[int, ...] = (4, 6, 8, 10, 12, 14)
    topology: str = "chain"
    steps: tuple[int, ...] = (16, 64)
    batch: int = 8
    check_qubits: int = 8
    peers: tuple[str, ...] = (
        "jax",
        "jax-checkpoint",
        "tensorcircuit",
        "pennylane",
        "torch",
    )
    out: Path = Path("runs/gradient_step")


class Failed(Exception):
    """A process that ran out of time or memory, with what it said last."""


def run(
    name: str, *arguments: object, options: Processes, script: str = "gradient_peers.py"
) -> dict:
    """One process of a script that measures a library.

    Raises:
        Failed: it took too long or did not end well.
    """
    python = sys.executable if name in IN_THIS_ENVIRONMENT else str(PEERS_PYTHON)
    cores = set(sorted(os.sched_getaffinity(0))[-options.cores :])
    command = [python, str(HERE / script), name, *map(str, arguments)]
    env = os.environ | {
        "JAX_PLATFORMS": options.platform,
        "OMP_NUM_THREADS": str(options.cores),
    }
    if name != OURS:
        env["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
    if options.turns:
        env["BENCHMARK_TURNS"] = str(options.turns)
        env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=options.limit,
            env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"more than {options.limit:g} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"exit {done.returncode}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def check(options: Options) -> None:
    """Compares loss and gradient of all libraries with straightforward JAX.

    Raises:
        SystemExit: one differs.
    """
    n_qubits = options.check_qubits
    names = dict.fromkeys(("jax", OURS, *options.peers))
    with tempfile.TemporaryDirectory() as folder, workers(options) as pool:

        def computed(name: str, dtype: str) -> Any:
            file = Path(folder) / f"{name} {dtype}.npz"
            arguments = (n_qubits, options.topology, 4, 8, dtype, 0, file)
            run(name, *arguments, options=options)
            return np.load(file)

        jobs = {
            dtype: {name: pool.submit(computed, name, dtype) for name in names}
            for dtype in TOLERANCES
        }
        for dtype, tolerance in TOLERANCES.items():
            results = {name: job.result() for name, job in jobs[dtype].items()}
            expected = results.pop("jax")
            for name, result in results.items():
                size = np.linalg.norm(expected["gradient"])
                difference = result["gradient"] - expected["gradient"]
                errors = (
                    abs(float(result["loss"] - expected["loss"])),
                    float(np.linalg.norm(difference) / size),
                )
                print(
                    f"n={n_qubits}, T=4, {dtype}, {name}: loss differs by "
                    f"{errors[0]:.1e}, gradient by {errors[1]:.1e}",
                    flush=True,
                )
                if not max(errors) < tolerance:
                    sys.exit(f"{name} differs from straightforward JAX.")


def workers(options: Processes) -> ThreadPoolExecutor:
    """Runs one process at a time, or all at once if they take turns by themselves."""
    return ThreadPoolExecutor(1 if options.turns is None else 64)


def measure(options: Options) -> dict:
    """All measurements, those of earlier calls included."""
    file = options.out / "results.json"
    results = read(file)
    for n_steps in options.steps:
        given_up: set[str] = set()

        def at(n_qubits: int, given_up: set = given_up, n_steps: int = n_steps) -> None:
            shape = (n_qubits, options.topology, n_steps, options.batch, "complex64")

            def measured(name: str) -> dict:
                return run(name, *shape, options.seconds, options=options)

            keys = {
                name: key_of(name, n_qubits, n_steps, options)
                for name in (OURS, *options.peers)
            }
            with workers(options) as pool:
                take_turns(
                    keys, measured, options.rounds, given_up, results, file, pool
                )
            show(results, (n_qubits,), (n_steps,), options)

        with workers(options) as sizes:
            list(sizes.map(at, options.qubits))
    return results


def read(file: Path) -> dict:
    """The results of earlier calls, or an empty set; ends on another machine's."""
    file.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(file.read_text()) if file.exists() else {}
    here = {"processor": processor_name(), "dtype": "complex64"}
    made_on = results.setdefault("machine", here)
    if made_on != here:
        there, name = made_on["processor"], here["processor"]
        sys.exit(f"out must hold results of {name}, got {there}: choose another.")
    for kind in ("runs", "left_out"):
        results.setdefault(kind, {})
    return results


def take_turns(
    keys: dict[str, str],
    measured: Callable[[str], dict],
    rounds: int,
    given_up: set[str],
    results: dict,
    file: Path,
    pool: ThreadPoolExecutor,
) -> None:
    """Measures what is missing at one size: a process of each library a round.

    Args:
        keys: what the processes of each library are filed under.
        measured: runs a process of a library.
        rounds: processes of each library.
        given_up: libraries to leave out; those that fail are added.
        results: filed under its ``runs`` and ``left_out``.
        file: where the results are written after every process.
        pool: runs the processes of a round.
    """
    given_up.update(name for name, key in keys.items() if key in results["left_out"])

    def once(name: str) -> None:
        if name in given_up:
            return
        try:
            result = measured(name)
        except Failed as error:
            given_up.add(name)
            results["left_out"][keys[name]] = str(error)
            print(f"left out from here on: {keys[name]}: {error}", flush=True)
        else:
            results["runs"][keys[name]].append(result)
        write(file, results)

    for i in range(rounds):
        missing = [
            name
            for name, key in keys.items()
            if len(results["runs"].setdefault(key, [])) <= i
        ]
        list(pool.map(once, missing))


def write(file: Path, results: dict) -> None:
    """Replaces a JSON file, so that a killed run leaves the old or the new one."""
    with WRITING:
        write_atomic(file, json.dumps(results, indent=1).encode())


def key_of(name: str, n_qubits: int, n_steps: int, options: Options) -> str:
    """What the processes of one configuration are filed under."""
    size = f"n={n_qubits} T={n_steps} B={options.batch}"
    where = f"{options.platform} cores={options.cores}"
    return f"{name} {options.topology} {size} {where}"


def summary(runs: list[dict]) -> dict:
    """Medians over the processes of a configuration."""
    keys = ("seconds", "compile", "peak_bytes")
    return {key: statistics.median(run[key] for run in runs) for key in keys}


def show(
    results: dict, qubits: tuple[int, ...], steps: tuple[int, ...], options: Options
) -> None:
    """Prints a table: one line a configuration, ratios to this library."""
    for n_steps in steps:
        for n_qubits in qubits:
            size = f"n={n_qubits}, {options.topology}, T={n_steps}"
            print(f"\n{size}, batch {options.batch}, {options.cores} core(s)")
            head = f"{'':16}{'gradient, s':>12}{'ratio':>8}{'compile, s':>12}"
            print(head + f"{'peak, MiB':>11}{'processes':>11}")
            ours = None
            for name in (OURS, *options.peers):
                runs = results["runs"].get(key_of(name, n_qubits, n_steps, options))
                if not runs:
                    print(f"{name:16}{'–':>12}")
                    continue
                line = summary(runs)
                ours = ours or line["seconds"]
                print(
                    f"{name:16}{line['seconds']:>12.5f}{line['seconds'] / ours:>8.2f}"
                    f"{line['compile']:>12.1f}{line['peak_bytes'] / 2**20:>11.0f}"
                    f"{len(runs):>11}",
                    flush=True,
                )


def draw(results: dict, options: Options) -> Path:
    """Seconds a gradient against qubits, one panel a sequence length."""
    figure, panels = plt.subplots(
        1, len(options.steps), figsize=(4.6 * len(options.steps), 3.8), sharey=True
    )
    for panel, n_steps in zip(np.atleast_1d(panels), options.steps, strict=True):
        for color, name in enumerate((OURS, *options.peers)):
            points = [
                (n, [run["seconds"] for run in runs])
                for n in options.qubits
                if (runs := results["runs"].get(key_of(name, n, n_steps, options)))
            ]
            thick = 2.5 if name == OURS else 1.2
            draw_line(panel, points, color=f"C{color}", linewidth=thick, label=name)
        panel.set(yscale="log", xlabel="qubits", title=f"{n_steps} steps")
        panel.grid(alpha=0.3)
    first = np.atleast_1d(panels)[0]
    first.set_ylabel("seconds a gradient")
    first.legend(frameon=False, fontsize=8)
    title = f"{options.topology}, batch {options.batch}, {device(results, options)}"
    figure.suptitle(f"{title}\n{what_lines_are(results)}", fontsize=9)
    figure.tight_layout()
    path = options.out / "gradient_step.png"
    figure.savefig(path, dpi=150)
    return path


def device(results: dict, options: Any) -> str:
    """What the measurements ran on, and their dtype."""
    machine = results["machine"]
    names = {run["device"] for runs in results["runs"].values() for run in runs}
    if options.platform == "cpu":
        names = {f"{options.cores} core(s) of {machine['processor']}"}
    return f"{machine['dtype']}, {', '.join(sorted(names))}"


def what_lines_are(results: dict) -> str:
    """Medians of how many processes, which the bars span."""
    counts = [len(runs) for runs in results["runs"].values()]
    number = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return f"medians of {number} process(es), which bars span"


def draw_line(panel: Axes, points: list[tuple[int, list[float]]], **style: Any) -> None:
    """Medians of processes against qubits; bars from the least to the largest."""
    if not points:
        return
    medians = np.array([statistics.median(values) for _, values in points])
    ends = np.array([[min(values), max(values)] for _, values in points]).T
    panel.errorbar(
        [n for n, _ in points],
        medians,
        yerr=np.abs(ends - medians),
        marker="o",
        markersize=4,
        capsize=2,
        **style,
    )


def require_peers(names: tuple[str, ...]) -> None:
    """Ends the program where libraries need an environment that is not there."""
    missing = [name for name in names if name not in IN_THIS_ENVIRONMENT]
    if missing and not PEERS_PYTHON.exists():
        sys.exit(
            f"{', '.join(missing)} need an environment of their own: `make peers`."
        )


def main(options: Options) -> None:
    """Checks, measures, prints and draws."""
    require_peers(options.peers)
    if options.check_qubits:
        check(options)
    results = measure(options)
    print("\n== all")
    show(results, options.qubits, options.steps, options)
    for key, reason in results["left_out"].items():
        print(f"left out from here on: {key}: {reason}")
    print(f"\n{draw(results, options)}")


if __name__ == "__main__":
    main(tyro.cli(Options))
