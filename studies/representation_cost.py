"""From how many qubits on is an MPS cheaper than exact states, and how exact is it?

Measures time, memory and error of one gradient over number of qubits x representation x
seed, and writes records, a table, figures and a report:

    python studies/representation_cost.py --preset quick

Interrupted and started again, it goes on with the runs that are missing. Runs go one
after another on one core with one thread, so that none disturbs another's timing. The
seeds of a point share one compiled program.
"""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from jax.flatten_util import ravel_pytree
from representation_cost_charts import draw
from representations import as_lines, bonds, has_its_bond, label

import tnqrnn as tq
from tnqrnn.checks import check_choice
from tnqrnn.diagnostics import infidelity, relative_error
from tnqrnn.pricing import median_seconds, refusal
from tnqrnn.study import (
    Column,
    Study,
    publish,
    replaced,
    summary_table,
    use_one_thread,
)

RUNS = Path(__file__).parents[1] / "runs"
INPUT_SIZE = 16
BACKENDS = ("statevector", "mps")
EXACT = label("statevector", 0)
STARTS = {"near_identity": 1, "scrambling": 10}
"""Factor on the controller's output layer: how much entanglement a step makes."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all runs share."""

    n_steps: int = 16
    batch: int = 8
    other_sizes: tuple[tuple[int, int], ...] = ((64, 32), (16, 1))  # T, B: memory alone
    calls: int = 3  # at least, for the median time
    exact_up_to: int = 16  # qubits of the largest statevector
    compared_up_to: int = 12  # qubits up to which errors are measured


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Time, memory and error of a gradient against qubits and representation."""

    preset: Literal["tiny", "quick", "full"] = "quick"
    """Size of the study; the next four replace parts of it."""
    n_qubits: tuple[int, ...] | None = None
    """Numbers of qubits; exact states stop at 16."""
    backends: tuple[str, ...] | None = None
    """statevector and mps, to compare."""
    max_bonds: tuple[int, ...] | None = None
    """Chi of the MPS; one that truncates nothing is left out."""
    seeds: int | None = None
    """Number of seeds, counted from 0."""
    out: Path | None = None
    """Directory of the results; runs/representation_cost/PRESET by default."""


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": dict(
        n_qubits=(2, 4), backends=("statevector", "mps"), max_bonds=(2,), seeds=2
    ),
    "quick": dict(
        n_qubits=(4, 8, 10, 14),
        backends=("statevector", "mps"),
        max_bonds=(2, 8),
        seeds=3,
    ),
    "full": dict(
        n_qubits=(4, 6, 8, 10, 12, 14, 16, 24, 50),
        backends=("statevector", "mps"),
        max_bonds=(2, 4, 8, 16, 32),
        seeds=3,
    ),
}


class Programs(NamedTuple):
    """What the seeds of a point share: the compiled gradient and its cost."""

    gradient: Callable[..., Any]
    compile_seconds: float
    temp_bytes: int
    other_temp_bytes: dict[str, int]


def make_cell(max_bond: int, n_qubits: int, seed: int) -> tq.QRNNCell:
    """The cell of the benchmark on an MPS, or for 0 a statevector, with its weights."""
    return tq.QRNNCell(
        INPUT_SIZE,
        tq.hardware_efficient(n_qubits),
        backend=tq.MPS(max_bond) if max_bond else tq.Statevector(),
        key=jax.random.key(seed),
    )


def scale_angles(cell: tq.QRNNCell, factor: float) -> tq.QRNNCell:
    """A cell whose controller emits ``factor`` times the angles."""
    return eqx.tree_at(
        lambda cell: cell.network.layers[-1],
        cell,
        replace_fn=lambda layer: jax.tree.map(lambda leaf: factor * leaf, layer),
    )


def make_inputs(n_steps: int, batch: int, seed: int) -> jax.Array:
    """Normal inputs, (B, T, F)."""
    return jax.random.normal(jax.random.key(seed + 1), (batch, n_steps, INPUT_SIZE))


def loss(cell: tq.QRNNCell, xs: jax.Array) -> tuple[jax.Array, tq.Rollout]:
    """The mean sine of all readouts, so that each has a gradient of its own."""
    rollout = tq.unroll(cell, xs)
    return jnp.mean(jnp.sin(rollout.readouts)), rollout


def lower(max_bond: int, n_qubits: int, n_steps: int, batch: int) -> Any:
    """The gradient of the loss by the weights, ready to be compiled."""
    params, static = eqx.partition(
        make_cell(max_bond, n_qubits, 0), eqx.is_inexact_array
    )

    def gradient(params: Any, xs: jax.Array) -> Any:
        cell_loss = lambda params: loss(eqx.combine(params, static), xs)[0]  # noqa: E731
        return jax.grad(cell_loss)(params)

    return jax.jit(gradient).lower(params, make_inputs(n_steps, batch, 0))


@functools.lru_cache(maxsize=1)
def compile_programs(max_bond: int, n_qubits: int, settings: Settings) -> Programs:
    """Compiles the gradient, and those of other sizes for their memory alone."""
    start = time.perf_counter()
    gradient = lower(max_bond, n_qubits, settings.n_steps, settings.batch).compile()
    seconds = time.perf_counter() - start
    # Memory is planned before code is made: the cheapest code tells it as well.
    quickly = {"xla_backend_optimization_level": 0}
    others = {
        size_metric(size): temp_bytes(lower(max_bond, n_qubits, *size).compile(quickly))
        for size in settings.other_sizes
        if not max_bond or size[1] > 1  # an MPS needs B times the same
    }
    return Programs(gradient, seconds, temp_bytes(gradient), others)


def size_metric(size: Sequence[int]) -> str:
    """The metric of the memory at another (T, B)."""
    return f"temp_bytes_{size[0]}_{size[1]}"


def temp_bytes(program: Any) -> int:
    """Memory beside arguments and results, by XLA's own analysis."""
    return program.memory_analysis().temp_size_in_bytes


def run(point: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Measures one gradient, and its error where exact states are cheap."""
    max_bond, n_qubits, seed = point["max_bond"], point["n_qubits"], point["seed"]
    programs = compile_programs(max_bond, n_qubits, settings)
    cell = make_cell(max_bond, n_qubits, seed)
    params = eqx.filter(cell, eqx.is_inexact_array)
    xs = make_inputs(settings.n_steps, settings.batch, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    seconds = median_seconds(programs.gradient, (params, xs), at_least=settings.calls)
    cpu_share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    metrics: dict[str, Any] = {
        "seconds": seconds,
        "cpu_share": cpu_share,
        "compile_seconds": programs.compile_seconds,
        "temp_bytes": programs.temp_bytes,
    } | programs.other_temp_bytes
    if n_qubits <= settings.compared_up_to:
        for start, factor in STARTS.items():
            found = errors(scale_angles(cell, factor), xs, programs.gradient)
            metrics |= {f"{what}_{start}": error for what, error in found.items()}
    return metrics


@eqx.filter_jit
def gradient_and_rollout(cell: tq.QRNNCell, xs: jax.Array) -> tuple[Any, tq.Rollout]:
    """The gradient of the loss by the weights, with the roll-out it came from."""
    return eqx.filter_grad(loss, has_aux=True)(cell, xs)


def errors(
    cell: tq.QRNNCell, xs: jax.Array, program: Callable[..., Any]
) -> dict[str, float]:
    """How far a cell is from exact states in complex128 with the same weights."""
    gradient = program(eqx.filter(cell, eqx.is_inexact_array), xs)
    rollout = tq.unroll(cell, xs)
    with jax.enable_x64(True):
        exact_cell = cell.with_backend(tq.Statevector("complex128"))
        exact_gradient, exact = gradient_and_rollout(
            exact_cell, jnp.asarray(xs, "float64")
        )
        exact_states = states(exact_cell, exact)
    pair = [np.asarray(ravel_pytree(tree)[0]) for tree in (gradient, exact_gradient)]
    truncation: Any = rollout.truncation
    log_fidelity = np.asarray(truncation.log_fidelity, float)[:, -1]
    return {
        "readout_error": np.abs(rollout.readouts - np.asarray(exact.readouts)).max(),
        "gradient_error": relative_error(*pair),
        "infidelity": infidelity(states(cell, rollout), exact_states).mean(),
        "estimated_infidelity": -np.expm1(log_fidelity).mean(),
    }


def states(cell: tq.QRNNCell, rollout: tq.Rollout) -> np.ndarray:
    """The states after the last step, (B, 2^n), of norm 1."""
    held = jax.vmap(cell.backend.to_statevector)(rollout.carry.state)
    vectors = np.asarray(held, complex)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def left_out(point: Mapping[str, Any]) -> bool:
    """Exact states that take too long, an MPS that truncates nothing, and no room."""
    max_bond, n_qubits = point["max_bond"], point["n_qubits"]
    if not has_its_bond(point, "backend"):
        return True
    if not max_bond and n_qubits > Settings.exact_up_to:
        return True
    if max_bond >= 2 ** (n_qubits // 2):
        return True  # it is held as a vector
    return is_refused(max_bond, n_qubits)


@functools.cache
def is_refused(max_bond: int, n_qubits: int) -> bool:
    """Whether the states of a batch cannot be held in memory."""
    return (
        refusal(make_cell(max_bond, n_qubits, 0), batch_size=Settings.batch) is not None
    )


def faster_from(dataset: xr.Dataset) -> dict[str, int]:
    """For each MPS, by its label, the smallest n at which it beat exact states."""
    lines = as_lines(dataset, "backend")
    seconds = lines["seconds"].mean("seed")
    exact = seconds.sel(line=EXACT)
    crossings = {}
    for line in lines["line"].values.tolist():
        faster = lines["n_qubits"].where(seconds.sel(line=line) < exact, drop=True)
        if faster.size:
            crossings[line] = int(faster.min())
    return crossings


def describe(dataset: xr.Dataset) -> str:
    """From which of the measured numbers of qubits on an MPS is faster, in words."""
    crossings = faster_from(dataset)
    return "\n".join(
        f"{line}: faster than exact states from n = {n} on"
        for line, n in crossings.items()
    )


COLUMNS = (
    Column("seconds", "gradient, ms", 1e3, ".2f"),
    Column("cpu_share", "of it computing, %", 100, ".0f", interval=False),
    Column("compile_seconds", "compile, s", 1, ".1f", interval=False),
    Column("temp_bytes", "memory, MiB", 2**-20, ".2f", interval=False),
    Column("gradient_error_near_identity", "gradient error, near identity", 1, ".1e"),
    Column("readout_error_scrambling", "readout error, scrambling", 1, ".1e"),
    Column("gradient_error_scrambling", "gradient error, scrambling", 1, ".1e"),
    Column("infidelity_scrambling", "1 − fidelity, scrambling", 1, ".1e"),
    Column("estimated_infidelity_scrambling", "the same, estimated", 1, ".1e"),
)


def check_backends(backends: Sequence[str]) -> None:
    """Refuses unknown backends and a choice that compares nothing."""
    for backend in backends:
        check_choice("backends", backend, BACKENDS)
    if set(backends) != set(BACKENDS):
        raise ValueError(
            f"backends must name both of {BACKENDS} to compare, got {backends}."
        )


def main(arguments: Arguments) -> int:
    """Runs what is missing, then writes table, figures and report."""
    use_one_thread()
    chosen = replaced(PRESETS[arguments.preset], arguments)
    check_backends(chosen["backends"])
    axes = {
        "n_qubits": chosen["n_qubits"],
        "backend": chosen["backends"],
        "max_bond": bonds(chosen["backends"], chosen["max_bonds"]),
        "seed": range(chosen["seeds"]),  # innermost: seeds share their programs
    }
    directory = arguments.out or RUNS / "representation_cost" / arguments.preset
    settings = Settings()
    study = Study("representation_cost", axes, run, settings, directory, left_out)
    outcome = study.execute(workers=1)
    if outcome.failed:
        return 1
    dataset = study.dataset()
    table = summary_table(
        dataset, COLUMNS, by=("backend", "max_bond", "n_qubits"), over="seed"
    )
    caption = (
        "Mean ± half-width of the 95% Student t interval over seeds; seconds of a seed "
        f"are the median of {settings.calls} calls or more."
    )
    size = f"T = {settings.n_steps}, batch {settings.batch}, complex64"
    report = publish(
        study,
        title="What a gradient costs on exact states and on matrix product states",
        summary=f"{__doc__.splitlines()[0]}\n{describe(dataset)}",
        table=table,
        table_caption=caption,
        charts=draw(dataset, size, reversed(STARTS)),
    )
    print(f"\n{table}\n\n{caption}\n\n{describe(dataset)}\nReport: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Arguments)))
