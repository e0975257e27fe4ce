"""How far do two gradients drift apart when the weights differ by one part in 10^7?

With feedback the recurrence is a closed loop: readouts steer the circuit that makes the
next readouts. If each step scrambles the state the loop is chaotic, and no two ways to
compute a gradient can agree better over a long sequence than rounding lets them:

    python studies/sensitivity.py

Everything is computed in complex128, so that the change drawn is the loop's own.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.flatten_util import ravel_pytree

import tnqrnn as tq
from tnqrnn.checks import check_int
from tnqrnn.study import (
    Column,
    Groups,
    Study,
    plot_against_axis,
    publish,
    summary_table,
)
from tnqrnn.study.differences import relative_error

LOOPS = {
    "scrambling, with feedback": (1.0, True),
    "scrambling, no feedback": (1.0, False),
    "near identity, with feedback": (0.1, True),
    "near identity, no feedback": (0.1, False),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all runs share."""

    n_qubits: int = 4
    n_steps: tuple[int, ...] = (4, 8, 16, 32, 64, 128, 256)
    change: float = 1e-7  # of every weight, relative to the norm of all

    def __post_init__(self) -> None:
        check_int("n_qubits", self.n_qubits, minimum=1)
        for n_steps in self.n_steps:
            check_int("n_steps", n_steps, minimum=1)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Sensitivity of gradients against sequence length, start and feedback."""

    seeds: int = 10
    """Number of seeds."""
    n_qubits: int = 4
    """Number of qubits."""
    n_steps: tuple[int, ...] = Settings.n_steps
    """Sequence lengths."""
    out: Path = Path(__file__).parents[1] / "runs" / "sensitivity"
    """Directory of the results."""


def make_cell(loop: str, n_qubits: int, key: Any) -> tq.QRNNCell:
    """A cell whose circuits start scrambling or near the identity."""
    init_scale, feedback = LOOPS[loop]
    return tq.QRNNCell(
        4,
        tq.hardware_efficient(n_qubits),
        controller=tq.Controller("tanh", (64,), init_scale=3 * init_scale),
        feedback=feedback,
        backend=tq.Statevector("complex128"),
        key=key,
    )


@eqx.filter_jit
@eqx.filter_value_and_grad
def last_readout(cell: tq.QRNNCell, xs: jax.Array) -> jax.Array:
    """One readout of the last step: Z of qubit 0."""
    return tq.unroll(cell, xs).readouts[-1, 2]


def run(point: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Moves the weights a little and compares readout and gradient at every length."""
    jax.config.update("jax_enable_x64", True)
    keys = jax.random.split(jax.random.key(point["seed"]), 3)
    cell = make_cell(point["loop"], settings.n_qubits, keys[0])
    params, static = eqx.partition(cell, eqx.is_inexact_array)
    noise = jax.tree.map(lambda leaf: jax.random.normal(keys[1], leaf.shape), params)
    sizes = [np.linalg.norm(ravel_pytree(tree)[0]) for tree in (params, noise)]
    size = settings.change * sizes[0] / sizes[1]
    moved = jax.tree.map(lambda leaf, by: leaf + size * by, params, noise)
    gradients, readouts = [], []
    for n_steps in settings.n_steps:
        xs = jax.random.normal(keys[2], (n_steps, 4))
        z, gradient = last_readout(cell, xs)
        other_z, other = last_readout(eqx.combine(moved, static), xs)
        pair = [np.asarray(ravel_pytree(tree)[0]) for tree in (other, gradient)]
        gradients.append(relative_error(*pair))
        readouts.append(abs(float(jnp.subtract(other_z, z))))
    return {"gradient_change": gradients, "readout_change": readouts}


def main(arguments: Arguments) -> int:
    """Runs what is missing, then writes table, figures and report."""
    settings = Settings(arguments.n_qubits, arguments.n_steps)
    study = Study(
        "sensitivity",
        {"loop": list(LOOPS), "seed": range(arguments.seeds)},
        run,
        settings,
        arguments.out,
        dims={name: ("n_steps",) for name in ("gradient_change", "readout_change")},
        coords={"n_steps": settings.n_steps},
    )
    outcome = study.execute()
    if not study.records():
        return 1
    dataset = study.dataset()
    groups = Groups("loop", {loop: loop for loop in LOOPS})
    charts = [
        plot_against_axis(
            dataset,
            f"{what}_change",
            x="n_steps",
            groups=groups,
            over="seed",
            title=f"Change of the last {what} when the weights change by "
            f"{settings.change:g}",
            caption=f"{settings.n_qubits} qubits, complex128, loss Z of qubit 0 after "
            "the last step; the change is relative for gradients.",
            labels=("time steps T", f"change of the {what}"),
            log=True,
            log_x=True,
        )
        for what in ("gradient", "readout")
    ]
    unit = settings.change
    columns = [
        Column(f"{what}_change", f"change of the {what}, {unit:g}", 1 / unit, ".1f")
        for what in ("gradient", "readout")
    ]
    table = summary_table(dataset, columns, by=("loop", "n_steps"), over="seed")
    caption = "Mean ± half-width of the 95% Student t interval over seeds."
    report = publish(
        study,
        title="Sensitivity of gradients to the last bits of the weights",
        summary=__doc__.splitlines()[0],
        table=table,
        table_caption=caption,
        charts=charts,
    )
    print(f"\n{table}\n\n{caption}\nReport: {report}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Arguments)))
