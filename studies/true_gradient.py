"""Is the gradient of a truncated simulation the derivative of what it computes?

Compares the gradient of a loss over all readouts with central differences of the same
loss, over bonds that truncate and bonds that suffice, circuits, sequence lengths, and
special starts and angles; and with the exact gradient where nothing is truncated:

    python studies/true_gradient.py --preset full --workers 2

A point where the gradient leaves something out must be known to
`tnqrnn.diagnostics.missed_tangent`; the command fails if a gradient is off anywhere
else, or is not finite. Everything is computed in complex128.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr

import tnqrnn as tq
from tnqrnn.circuits import TOPOLOGIES
from tnqrnn.diagnostics import missed_tangent
from tnqrnn.study import Study, Table, publish, usable_cores

STARTS = ("product", "Bell", "GHZ")
ANGLES = ("random", "zero", "near zero", "pi/2", "pi")
METRICS = (
    "error",
    "uncertainty",
    "norm",
    "closing_gap",
    "raised_rank",
    "infidelity",
    "finite",
    "exact_error",
)
TOLERANCE = 1e-5
"""Largest error against central differences, relative."""
EXACT_TOLERANCE = 1e-8
"""Largest error against the exact gradient where the bond suffices, relative."""
UNRESOLVED = 3
"""A difference to central differences is none if they differ by a third of it."""
WHOLE = 1e-4
"""A smaller share of a tangent is not felt: tiny Schmidt values have no weight."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all runs share."""

    n_layers: int = 2
    directions: int = 3
    # of central differences, along a direction of norm 1
    steps: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Gradients of truncated simulations against central differences."""

    preset: Literal["tiny", "full"] = "full"
    """Size of the study."""
    seeds: int = 1
    """Number of seeds: other random angles, weights and directions."""
    out: Path | None = None
    """Directory of the results; runs/true_gradient/PRESET by default."""
    workers: int = usable_cores()
    """Runs at a time, each in a process of one thread."""


PRESETS: dict[str, dict[str, Sequence[Any]]] = {
    "tiny": dict(
        topology=("chain", "ring"), n_qubits=(6,), max_bond=(2, 8), n_steps=(2,)
    ),
    "full": dict(
        topology=TOPOLOGIES,
        n_qubits=(6, 8, 10),
        max_bond=(1, 2, 3, 4, 8, 16, 32),
        n_steps=(4, 8),
    ),
}


def more_than_enough(point: Mapping[str, Any]) -> bool:
    """Whether the bond is beyond the first that suffices for every state."""
    return point["max_bond"] > max(8, 2 ** (point["n_qubits"] // 2))


def start_state(name: str, n_qubits: int) -> np.ndarray:
    """0...0, neighbours in Bell pairs, or a GHZ state, of shape (2**n,)."""
    if name == "Bell":
        pair = np.array([1.0, 0, 0, 1])
        psi = functools.reduce(np.kron, [pair] * (n_qubits // 2))
    else:
        psi = np.zeros(2**n_qubits)
        psi[0] = 1
        if name == "GHZ":
            psi[-1] = 1
    return psi / np.linalg.norm(psi)


def angles_like(name: str, shape: tuple[int, int], rng: np.random.Generator) -> Any:
    """Angles of every step; at zero the circuit is the identity."""
    if name == "random":
        return rng.uniform(-np.pi, np.pi, shape)
    if name == "near zero":
        return rng.normal(scale=1e-3, size=shape)
    return np.full(shape, {"zero": 0.0, "pi/2": np.pi / 2, "pi": np.pi}[name])


def roll_out(backend: tq.AbstractBackend, ansatz: tq.Ansatz, inputs: tuple) -> tuple:
    """The last state and readouts (T, 3n) from a state and angles (T, P)."""
    start, angles = inputs

    def step(state: Any, row: jax.Array) -> tuple[Any, jax.Array]:
        state = backend.evolve(ansatz, row, state)
        return state, backend.expectation("xyz", state)

    return jax.lax.scan(step, start, angles)


def gradient_of(backend: tq.AbstractBackend, ansatz: tq.Ansatz, weights: Any) -> Any:
    """Compiled: (loss, infidelity estimate) and gradient by angles and start."""

    def loss(angles: jax.Array, start: Any) -> tuple[jax.Array, jax.Array]:
        state, readouts = roll_out(backend, ansatz, (start, angles))
        lost = -jnp.expm1(backend.truncation(state).log_fidelity)
        return jnp.mean(readouts @ weights), lost

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def error_along(
    gradient: Any, loss: Callable, angles: Any, directions: Any, steps: Sequence[float]
) -> tuple[float, float]:
    """Largest error of directional derivatives against central differences.

    Where truncation makes a roll-out chaotic no one step fits all, and where rounding
    decides tiny values short steps do not: the closest counts. All are relative to the
    derivative, or to what a direction of norm 1 has on average.

    Returns:
        the error, and how far the closest difference is from those of the next longer
        and next shorter step, the nearer of them.
    """
    gradient = np.asarray(gradient)
    typical = max(np.linalg.norm(gradient) / np.sqrt(gradient.size), 1e-6)
    found = []
    for direction in directions:
        slope = np.vdot(gradient, direction)
        differences = np.array(
            [
                (loss(angles + h * direction) - loss(angles - h * direction)) / (2 * h)
                for h in steps
            ]
        )
        errors = np.abs(slope - differences)
        closest = np.argmin(errors)
        changes = np.abs(np.diff(differences))[max(closest - 1, 0) : closest + 1]
        scale = max(abs(differences[closest]), typical)
        found.append((errors[closest] / scale, changes.min() / scale))
    return max(found)


def run(point: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Measures all starts and angles of one circuit, bond and sequence length."""
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(point["seed"])
    n_qubits, max_bond = point["n_qubits"], point["max_bond"]
    ansatz = tq.hardware_efficient(
        n_qubits, n_layers=settings.n_layers, topology=point["topology"]
    )
    backend, exact = tq.MPS(max_bond, dtype="complex128"), tq.Statevector("complex128")
    weights = rng.normal(size=3 * n_qubits)
    gradient_at = gradient_of(backend, ansatz, weights)
    exact_at = gradient_of(exact, ansatz, weights)
    readouts = functools.partial(roll_out, backend, ansatz)
    shape = (point["n_steps"], ansatz.n_params)

    def measure(psi: np.ndarray, angles: np.ndarray) -> dict[str, float]:
        state = backend.from_statevector(psi)
        directions = rng.normal(size=(settings.directions, *shape))
        directions /= np.linalg.norm(directions, axis=(1, 2), keepdims=True)
        (_, lost), gradient = gradient_at(angles, state)

        def loss(moved: np.ndarray) -> float:
            return float(gradient_at(moved, state)[0][0])

        still = jax.tree.map(np.zeros_like, state)
        missed = missed_tangent(readouts, (state, angles), (still, directions[0]))
        error, uncertainty = error_along(
            gradient, loss, angles, directions, settings.steps
        )
        metrics = {
            "error": error,
            "uncertainty": uncertainty,
            "norm": float(np.linalg.norm(gradient)),
            "closing_gap": missed.closing_gap,
            "raised_rank": missed.raised_rank,
            "infidelity": float(lost),
            "finite": float(np.isfinite(gradient).all()),
        }
        if max_bond >= 2 ** (n_qubits // 2):
            expected = exact_at(angles, exact.from_statevector(psi))[1]
            change = np.linalg.norm(gradient - expected)
            metrics["exact_error"] = float(change / np.linalg.norm(expected))
        return metrics

    found = [
        measure(start_state(start, n_qubits), angles_like(angles, shape, rng))
        for start in STARTS
        for angles in ANGLES
    ]
    grid = (len(STARTS), len(ANGLES))
    return {
        name: np.reshape([metrics[name] for metrics in found], grid)
        for name in found[0]
    }


def verdict(dataset: xr.Dataset) -> xr.Dataset:
    """Which gradients miss a part, and which are off: for that, or wrong."""
    missed = dataset[["closing_gap", "raised_rank"]].to_array().max("variable") > WHOLE
    measured = dataset["error"].notnull()
    # written so that NaN counts as off
    off = measured & ~(dataset["error"] <= TOLERANCE)
    unresolved = dataset["error"] <= UNRESOLVED * dataset["uncertainty"]
    wrong = measured & (dataset["finite"] == 0) | off & ~missed & ~unresolved
    if "exact_error" in dataset:
        wrong |= dataset["exact_error"] > EXACT_TOLERANCE
    judged = dict(
        points=measured,
        missed=measured & missed,
        off=off & missed,
        unresolved=off & ~missed & unresolved,
        wrong=wrong,
        whole=dataset["error"].where(measured & ~missed & ~(off & unresolved)),
    )
    return xr.Dataset(judged)


def table_of(dataset: xr.Dataset) -> Table:
    """One row for each topology and bond."""
    judged = verdict(dataset)
    rows = []
    for topology in dataset["topology"].values:
        for max_bond in dataset["max_bond"].values:
            at = dict(topology=topology, max_bond=max_bond)
            part, here = judged.sel(at), dataset.sel(at)
            counts = [
                int(part[name].sum())
                for name in ("points", "missed", "off", "unresolved")
            ]
            if not counts[0]:
                continue
            exact = "–"
            if "exact_error" in here and here["exact_error"].notnull().any():
                exact = f"{float(here['exact_error'].max()):.0e}"
            numbers = [
                f"{float(part['whole'].max()):.0e}",
                f"{abs(float(here['infidelity'].max())):.2f}",
                exact,
                str(int(part["wrong"].sum())),
            ]
            rows.append([str(topology), str(max_bond), *map(str, counts), *numbers])
    header = [
        "topology",
        "max_bond",
        "points",
        "part missed",
        "of these off",
        "differences fail",
        "largest error of the others",
        "largest infidelity",
        "error against exact",
        "wrong",
    ]
    return Table(header, rows)


def main(arguments: Arguments) -> int:
    """Runs what is missing, then writes table and report."""
    preset = arguments.preset
    study = Study(
        "true_gradient",
        PRESETS[preset] | {"seed": range(arguments.seeds)},
        run,
        Settings(),
        arguments.out or Path(__file__).parents[1] / "runs" / "true_gradient" / preset,
        skip=more_than_enough,
        dims={metric: ("start", "angles") for metric in METRICS},
        coords={"start": STARTS, "angles": ANGLES},
    )
    outcome = study.execute(workers=arguments.workers)
    if not study.records():
        return 1
    dataset = study.dataset()
    table = table_of(dataset)
    caption = (
        "Errors are relative. Part missed: the derivative of a truncation may leave "
        f"more than {WHOLE:.0e} of a change out (a gap closes or a rank rises). Off: "
        f"an error above {TOLERANCE:.0e}. Differences fail: off, but the closest "
        "central difference agrees no better with those of the next longer and next "
        "shorter step. Wrong: off otherwise, not finite, or off the exact gradient by "
        f"{EXACT_TOLERANCE:.0e} where the bond suffices."
    )
    report = publish(
        study,
        title="Gradients of truncated simulations",
        summary=__doc__.splitlines()[0],
        table=table,
        table_caption=caption,
        charts=[],
    )
    print(f"\n{table}\n\n{caption}\nReport: {report}")
    return 1 if outcome.failed or int(verdict(dataset)["wrong"].sum()) else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Arguments)))
