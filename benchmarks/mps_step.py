"""One gradient step of the MPS engine against its peers.

    make peers                                          # once: their environment
    python benchmarks/mps_step.py --large 30 50 100     # everything; resumes
    python benchmarks/mps_step.py                       # the comparison alone
    python benchmarks/mps_step.py --qubits 20 --steps 16 --peers    # this library alone
    python benchmarks/mps_step.py --platform cuda --cores 16 --turns /tmp/turns \
        --qubits 20 --batch 64 --peers --out runs/mps_gpu   # where JAX has a GPU

The problem of `gradient_step.py` on a chain, in complex64, truncated at `--max-bond`.
Every measurement is a process of its own, pinned to one core, and the libraries take
turns (`--cores`, `--turns` and full precision: see `gradient_step.py`). A peer that
takes longer than `--limit` seconds or runs out of memory is left out there and at
larger sizes, in later calls too (`left_out` in results.json). `--large`
adds this library alone at more qubits.

First every library is checked in complex128, at 8 qubits and 4 steps. At chi = 16,
which does not truncate, losses must agree with exact states' to 1e-8. At chi = 2 the
peers, which truncate after every gate, must agree with each other, and how far each
library is from exact states is printed: this one takes two layers in one sweep and
truncates a bond once. The derivative of the library's own loss in a random direction is
compared with central differences, at both. In the tables, "finite" says
whether every entry of the gradient was finite, "true" whether the derivatives agreed to
1e-5, and "product" whether they did where all angles are 0, so that the state is a
product state; the largest relative error stands beside.
"""

import statistics
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gradient_step
import matplotlib.pyplot as plt
import numpy as np
import tyro
from gradient_step import OURS, Failed
from matplotlib.axes import Axes

EXACT = "statevector"
CHECK_QUBITS, CHECK_STEPS, CHECK_BONDS = 8, 4, (2, 16)
LOSS_TOLERANCE, TRUE_TOLERANCE = 1e-8, 1e-5
HEAD = (
    f"{'':16}{'first, s':>10}{'gradient, s':>13}{'ratio':>8}{'peak, MiB':>11}"
    f"{'finite':>8}{'true':>11}{'product':>11}{'processes':>11}"
)


@dataclass
class Options(gradient_step.Processes):
    """What to measure.

    Attributes:
        qubits: numbers of qubits.
        steps: sequence lengths.
        max_bond: largest bond dimension.
        batch: samples a gradient.
        peers: libraries beside this one.
        large: numbers of qubits for this library alone.
        large_bonds: largest bond dimensions there; from 32 on half the batch.
        large_steps: sequence length there.
        out: folder of the results; finished measurements there are kept.
    """

    qubits: tuple[int, ...] = (8, 12, 16, 20)
    steps: tuple[int, ...] = (4, 16)
    max_bond: int = 16
    batch: int = 8
    peers: tuple[str, ...] = ("quimb", "tensorcircuit")
    large: tuple[int, ...] = ()
    large_bonds: tuple[int, ...] = (8, 16, 32)
    large_steps: int = 16
    out: Path = Path("runs/mps_step")


@dataclass(frozen=True)
class Size:
    """What is measured of each library at once."""

    n_qubits: int
    n_steps: int
    batch: int
    max_bond: int

    def key(self, name: str) -> str:
        """What the processes of one library are filed under."""
        return f"{name} {self}"

    def __str__(self) -> str:
        return f"n={self.n_qubits} T={self.n_steps} B={self.batch} chi={self.max_bond}"


def run(name: str, size: Size, task: object, options: Options) -> dict:
    """One process of `mps_peers.py`; the task is ``check`` or seconds of repeats."""
    return gradient_step.run(
        *(name, size.n_qubits, size.n_steps, size.batch, size.max_bond, task),
        options=options,
        script="mps_peers.py",
    )


def check(results: dict, options: Options) -> None:
    """Compares the losses of all, and their gradients with central differences.

    Raises:
        SystemExit: losses differ, or a check took too long or did not end well.
    """
    checks = results.setdefault("checks", {})

    def one(name: str, size: Size) -> None:
        if size.key(name) not in checks:
            checks[size.key(name)] = run(name, size, "check", options)
            gradient_step.write(options.out / "results.json", results)

    names = (EXACT, OURS, *options.peers)
    with gradient_step.workers(options) as pool:
        jobs = {
            size.key(name): pool.submit(one, name, size)
            for size in checked(options)
            for name in names
        }
        for key, job in jobs.items():
            try:
                job.result()
            except Failed as error:
                sys.exit(f"The check of {key} failed: {error}")
    for size in checked(options):
        for name in (OURS, *options.peers):
            points = checks[size.key(name)]
            difference = points["random"]["loss"] - loss_of(checks, size, EXACT)
            errors = [f"{point} {error_of(points[point]):.1e}" for point in points]
            print(
                f"{size}, {name}: loss differs from exact states' by {difference:.0e}, "
                f"derivatives from central differences by {', '.join(errors)}",
                flush=True,
            )
        truncates = size.max_bond < 2 ** (size.n_qubits // 2)
        alike = options.peers if truncates else (EXACT, OURS, *options.peers)
        losses = {name: loss_of(checks, size, name) for name in alike}
        if losses and not np.ptp(list(losses.values())) < LOSS_TOLERANCE:
            sys.exit(f"At {size} losses differ: {losses}.")


def loss_of(checks: dict, size: Size, name: str) -> float:
    """A library's loss at the random angles."""
    return checks[size.key(name)]["random"]["loss"]


def checked(options: Options) -> list[Size]:
    """Sizes of the checks."""
    return [
        Size(CHECK_QUBITS, CHECK_STEPS, options.batch, max_bond)
        for max_bond in CHECK_BONDS
    ]


def error_of(point: dict) -> float:
    """Relative error of a derivative, NaN if the gradient has an entry not finite."""
    if not point["finite"]:
        return float("nan")
    return abs(point["derivative"] / point["difference"] - 1)


def verdict(results: dict, name: str, point: str, options: Options) -> str:
    """Whether a library's derivatives agree at a point of the checks, and their error.

    Returns:
        such as ``yes 3e-07``.
    """
    checks = [results["checks"][size.key(name)] for size in checked(options)]
    error = np.max([error_of(points[point]) for points in checks])  # NaN stays
    return f"{yes(error < TRUE_TOLERANCE)} {error:.0e}"


def yes(value: bool) -> str:
    """A truth value in words."""
    return "yes" if value else "no"


def compared(options: Options) -> list[list[Size]]:
    """Sizes of the comparison, growing within each sequence length."""
    return [
        [Size(n, n_steps, options.batch, options.max_bond) for n in options.qubits]
        for n_steps in options.steps
        if options.qubits
    ]


def alone(options: Options) -> list[list[Size]]:
    """Sizes of this library alone, growing within each bond dimension."""
    return [
        [
            Size(n, options.large_steps, options.batch // (1 + (chi >= 32)), chi)
            for n in options.large
        ]
        for chi in options.large_bonds
    ]


def lines(options: Options) -> list[tuple[list[Size], tuple[str, ...]]]:
    """Sizes that grow, and the libraries measured at them: the lines of the figure."""
    return [(sizes, (OURS, *options.peers)) for sizes in compared(options)] + [
        (sizes, (OURS,)) for sizes in alone(options)
    ]


def measure(results: dict, options: Options) -> None:
    """Adds all measurements that are missing."""
    for sizes, names in lines(options):
        given_up: set[str] = set()
        for size in sizes:
            with gradient_step.workers(options) as pool:
                gradient_step.take_turns(
                    {name: size.key(name) for name in names},
                    partial(run, size=size, task=options.seconds, options=options),
                    options.rounds,
                    given_up,
                    results,
                    options.out / "results.json",
                    pool,
                )
            show(results, size, names, options)


def show(results: dict, size: Size, names: tuple[str, ...], options: Options) -> None:
    """Prints a table: one line a library, ratios to this library."""
    print(f"\n{size}, {options.platform}, {options.cores} core(s)\n{HEAD}")
    ours = None
    for name in names:
        runs = results["runs"].get(size.key(name))
        if not runs:
            reason = results["left_out"].get(size.key(name), "left out at fewer qubits")
            print(f"{name:16}{reason}")
            continue
        first, seconds, peak = (
            statistics.median(run[field] for run in runs)
            for field in ("first", "seconds", "peak_bytes")
        )
        ours = seconds if name == OURS else ours
        print(
            f"{name:16}{first:>10.1f}{seconds:>13.4f}"
            f"{seconds / ours if ours else float('nan'):>8.2f}{peak / 2**20:>11.0f}"
            f"{yes(all(run['finite'] for run in runs)):>8}"
            f"{verdict(results, name, 'random', options):>11}"
            f"{verdict(results, name, 'product', options):>11}{len(runs):>11}",
            flush=True,
        )


def draw(results: dict, options: Options) -> Path:
    """Seconds of a later gradient, and of the first, against qubits."""
    n_columns = len(compared(options)) + bool(options.large)
    figure, panels = plt.subplots(
        *(2, n_columns),
        figsize=(3.6 * n_columns + 0.6, 6.4),
        squeeze=False,
        sharey="row",
    )
    for row, field in zip(panels, ("seconds", "first"), strict=True):
        for panel, sizes in zip(row, compared(options), strict=False):
            for color, name in enumerate((OURS, *options.peers)):
                draw_series(panel, results, name, sizes, field, color, name)
            panel.set_title(f"{sizes[0].n_steps} steps, chi = {options.max_bond}")
        for color, sizes in enumerate(alone(options), start=1 + len(options.peers)):
            if sizes:
                label = f"chi = {sizes[0].max_bond}, batch {sizes[0].batch}"
                draw_series(row[-1], results, OURS, sizes, field, color, label)
                row[-1].set_title(f"{OURS} alone, {options.large_steps} steps")
        for panel in row:
            panel.set(yscale="log", xlabel="qubits")
            panel.grid(alpha=0.3)
            panel.legend(frameon=False, fontsize=8)
    panels[0, 0].set_ylabel("seconds a gradient")
    panels[1, 0].set_ylabel("seconds to the first gradient")
    bars = gradient_step.what_lines_are(results)
    where = gradient_step.device(results, options)
    figure.suptitle(
        f"chain, batch {options.batch}, {where}\n{bars}; crosses: the gradient is not "
        "finite",
        fontsize=9,
    )
    figure.tight_layout()
    path = options.out / "mps_step.png"
    figure.savefig(path, dpi=150)
    return path


def draw_series(
    panel: Axes,
    results: dict,
    name: str,
    sizes: list[Size],
    field: str,
    color: int,
    label: str,
) -> None:
    """One line of a panel; crosses where an entry of the gradient is not finite."""
    found = {size: results["runs"].get(size.key(name)) for size in sizes}
    points = [
        (size.n_qubits, [run[field] for run in runs])
        for size, runs in found.items()
        if runs
    ]
    gradient_step.draw_line(panel, points, color=f"C{color}", label=label)
    panel.set_xticks([size.n_qubits for size in sizes])
    broken = {
        size.n_qubits
        for size, runs in found.items()
        if runs and not all(run["finite"] for run in runs)
    }
    for n, values in points:
        if n in broken:
            panel.plot(n, statistics.median(values), "kx", markersize=9)


def main(options: Options) -> None:
    """Checks, measures, prints and draws."""
    gradient_step.require_peers(options.peers)
    results = gradient_step.read(options.out / "results.json")
    check(results, options)
    measure(results, options)
    print("\n== all")
    for sizes, names in lines(options):
        for size in sizes:
            show(results, size, names, options)
    print(f"\n{draw(results, options)}")


if __name__ == "__main__":
    main(tyro.cli(Options))
