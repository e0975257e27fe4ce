"""How faithful is the gradient of a truncated simulation to the exact gradient?

Takes the gradient of the same model on exact states and on matrix product states, over
number of qubits x start x bond dimension x sequence length x seed, and writes records,
a table, figures and a report:

    python studies/gradient_fidelity.py --preset quick

Everything compared is computed in complex128, so that what differs is truncation.
Interrupted and started again, it goes on with the runs that are missing.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from gradient_fidelity_charts import draw

import tnqrnn as tq
from tnqrnn.checks import check_int
from tnqrnn.diagnostics import cosine_distance, entanglement, infidelity, relative_error
from tnqrnn.study import (
    Column,
    Study,
    publish,
    replaced,
    summary_table,
    usable_cores,
)

STARTS = ("near identity", "scrambling", "trained")
SCRAMBLING = 30.0
"""Factor on the output layer of a controller that starts near the identity."""
SAMPLES_AT_ONCE = 4
"""Images whose gradients are taken together: it bounds the memory."""
ROUNDING = 1e-11
"""How far a readout in complex128 may exceed its bound."""
RUNS = Path(__file__).parents[1] / "runs"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all runs share."""

    epochs: int  # of training, for the trained start
    max_bonds: tuple[int, ...] = (1, 2, 4, 8, 16, 32)  # those that truncate are used
    n_steps: tuple[int, ...] = (2, 4, 8)  # the loss is read after so many
    batch_size: int = 16  # images whose mean loss is differentiated
    n_layers: int = 2
    controller: int = 64  # size of the hidden layer

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, minimum=1)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Gradients of matrix product states against exact gradients."""

    preset: Literal["tiny", "quick", "full"] = "quick"
    """Size of the study; the next three replace parts of it."""
    n_qubits: tuple[int, ...] | None = None
    """Numbers of qubits, at least 4."""
    seeds: int | None = None
    """Number of seeds, counted from 0."""
    epochs: int | None = None
    """Passes over the training images, for the trained start."""
    out: Path | None = None
    """Directory of the results; runs/gradient_fidelity/PRESET by default."""
    workers: int = usable_cores()
    """Runs at a time, each in a process of one thread."""


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": dict(n_qubits=(4,), seeds=2, epochs=1),
    "quick": dict(n_qubits=(6, 8, 10), seeds=2, epochs=10),
    "full": dict(n_qubits=(6, 8, 10, 12), seeds=5, epochs=10),
}

BY_BOND = (
    "cosine",
    "cosine_distance",
    "relative_error",
    "angle_cosine",
    "angle_relative_error",
    "loss_difference",
    "discarded_weight",
    "estimated_infidelity",
    "open_infidelity",
    "closed_infidelity",
    "readout_bound",
    "readout_error",
)
DIMS = {name: ("start", "max_bond", "n_steps") for name in BY_BOND} | {
    name: ("start", "n_steps") for name in ("entropy", "batch_noise")
}


class Trace(NamedTuple):
    """Every step of a roll-out, each array with a leading axis T.

    Attributes:
        readouts (array of shape (T, M)): z_t.
        angles (array of shape (T, P)): theta_t in radians.
        states (array of shape (T, 2**n)): amplitudes.
        truncation: running totals.
    """

    readouts: Any
    angles: Any
    states: Any
    truncation: Any


class Measured(NamedTuple):
    """Gradients of each image's loss, read after each of K numbers of steps.

    Attributes:
        losses (array of shape (B, K)): nats.
        parameters (array of shape (B, K, N)): by all N parameters.
        angles (array of shape (B, K, T, P)): by theta_t.
        trace: of the roll-outs, with a leading axis B.
    """

    losses: Any
    parameters: Any
    angles: Any
    trace: Trace


def make_starts(
    n_qubits: int, seed: int, task: tq.Task, settings: Settings
) -> tuple[list[Any], float]:
    """A model for each of `STARTS`, and the trained one's validation accuracy."""
    keys = jax.random.split(jax.random.key(seed))
    circuit = tq.hardware_efficient(n_qubits, n_layers=settings.n_layers)
    controller = tq.Controller("tanh", (settings.controller,))
    cell = tq.QRNNCell(task.input_size, circuit, controller=controller, key=keys[0])
    model = tq.SequenceClassifier(cell, task.n_classes, key=keys[1])
    output = lambda model: model.cell.network.layers[-1]  # noqa: E731
    larger = jax.tree.map(lambda leaf: SCRAMBLING * leaf, output(model))
    fitted = tq.fit(
        model,
        task,
        epochs=settings.epochs,
        batch_size=32,
        learning_rate=1e-2,
        warmup_epochs=min(2, settings.epochs - 1),
        seed=seed,
        progress=False,
    )
    trained: Any = fitted.model
    accuracy = tq.evaluate(trained, task.valid)["accuracy"]
    return [model, eqx.tree_at(output, model, larger), trained], accuracy


def roll(cell: tq.QRNNCell, xs: jax.Array, offsets: jax.Array) -> Trace:
    """One sequence, (T, F), with offsets, (T, P), added to the angles."""

    def step(carry: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, Trace]:
        x, offset = inputs
        angles = cell.angles(x, carry.readouts) + offset
        state = cell.backend.evolve(cell.ansatz, angles, carry.state)
        carry = carry._replace(state=state, readouts=cell.read(state))
        amplitudes = cell.backend.to_statevector(state)
        lost = cell.truncation(carry)
        return carry, Trace(carry.readouts, angles, amplitudes, lost)

    return jax.lax.scan(step, cell.init(), (xs, offsets))[1]


@eqx.filter_jit
def measure(
    model: Any,
    images: jax.Array,
    targets: jax.Array,
    n_steps: tuple[int, ...],
) -> Measured:
    """Losses and gradients of a batch, (B, T, F), a few images at a time."""
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def one(sample: tuple[jax.Array, jax.Array]) -> Measured:
        image, target = sample

        def losses(params: Any, offsets: jax.Array) -> tuple[jax.Array, Any]:
            model = eqx.combine(params, static)
            trace = roll(model.cell, image, offsets)
            logits = [model.read_out(trace.readouts[:steps]) for steps in n_steps]
            each = -jax.nn.log_softmax(jnp.stack(logits))[:, target]
            return each, (each, trace)

        offsets = jnp.zeros((len(image), model.cell.ansatz.n_params), image.dtype)
        gradients, aux = jax.jacrev(losses, (0, 1), has_aux=True)(params, offsets)
        leaves = [
            leaf.reshape(len(n_steps), -1) for leaf in jax.tree.leaves(gradients[0])
        ]
        return Measured(aux[0], jnp.concatenate(leaves, axis=1), gradients[1], aux[1])

    return jax.lax.map(one, (images, targets), batch_size=SAMPLES_AT_ONCE)


@eqx.filter_jit
def replay(cell: tq.QRNNCell, angles: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Readouts and amplitudes of every step of a cell driven by angles, (B, T, P)."""

    def step(state: Any, angles: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        state = cell.backend.evolve(cell.ansatz, angles, state)
        return state, (cell.read(state), cell.backend.to_statevector(state))

    return jax.vmap(lambda each: jax.lax.scan(step, cell.init().state, each)[1])(angles)


def compare(
    exact: Measured, mps: Measured, cell: tq.QRNNCell, n_steps: Sequence[int]
) -> dict[str, np.ndarray]:
    """Every metric of `BY_BOND`, each of shape (K,); ``cell`` is on exact states.

    Raises:
        RuntimeError: a readout is further from the exact one than its bound.
    """
    exact, mps = jax.tree.map(np.asarray, (exact, mps))
    readouts, states = map(np.asarray, replay(cell, mps.trace.angles))
    errors = np.abs(readouts - mps.trace.readouts).max(axis=-1)
    lost = mps.trace.truncation
    if not (errors <= lost.readout_bound + ROUNDING).all():
        raise RuntimeError(
            "the error of a readout must be at most its bound, got an excess of "
            f"{(errors - lost.readout_bound).max():.1e}."
        )
    gradient, exact_gradient = (np.mean(m.parameters, axis=0) for m in (mps, exact))
    by_angles, exact_by_angles = (
        np.moveaxis(m.angles, 1, 0).reshape(len(n_steps), -1) for m in (mps, exact)
    )
    distance = cosine_distance(gradient, exact_gradient)
    by_step = {
        "discarded_weight": lost.discarded_weight.sum(axis=-1),
        "estimated_infidelity": -np.expm1(lost.log_fidelity),
        "open_infidelity": infidelity(states, mps.trace.states),
        "closed_infidelity": infidelity(exact.trace.states, mps.trace.states),
        "readout_bound": lost.readout_bound,
        "readout_error": errors,
    }
    last = np.array(n_steps) - 1
    return {
        "cosine": 1 - distance,
        "cosine_distance": distance,
        "relative_error": relative_error(gradient, exact_gradient),
        "angle_cosine": 1 - cosine_distance(by_angles, exact_by_angles),
        "angle_relative_error": relative_error(by_angles, exact_by_angles),
        "loss_difference": np.mean(mps.losses - exact.losses, axis=0),
    } | {name: values[:, last].mean(axis=0) for name, values in by_step.items()}


def batch_noise(measured: Measured) -> np.ndarray:
    """Standard error of the batch's mean gradient, relative to that gradient, (K,)."""
    each = np.asarray(measured.parameters)
    variance = each.var(axis=0, ddof=1).sum(axis=-1) / len(each)
    return np.sqrt(variance) / np.linalg.norm(each.mean(axis=0), axis=-1)


def run(point: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Compares the gradients of one seed's three models at every bond dimension."""
    jax.config.update("jax_enable_x64", True)
    n_qubits, seed, n_steps = point["n_qubits"], point["seed"], settings.n_steps
    task = tq.load_task("digits")
    starts, accuracy = make_starts(n_qubits, seed, task, settings)
    draw = np.random.default_rng(seed)
    rows = draw.choice(len(task.valid), settings.batch_size, replace=False)
    images = jnp.asarray(task.valid.inputs[rows, : max(n_steps)], jnp.float64)
    targets = jnp.asarray(task.valid.targets[rows])
    bonds = [chi for chi in settings.max_bonds if chi < 2 ** (n_qubits // 2)]
    by_start: dict[str, list[Any]] = {name: [] for name in DIMS}
    for model in starts:
        on_exact = model.with_backend(tq.Statevector("complex128"))
        exact = measure(on_exact, images, targets, n_steps)
        compared = []
        for chi in bonds:
            on_mps = model.with_backend(tq.MPS(chi, dtype="complex128"))
            mps = measure(on_mps, images, targets, n_steps)
            compared.append(compare(exact, mps, on_exact.cell, n_steps))
        for name in BY_BOND:
            by_start[name].append([one[name] for one in compared])
        entropies = entanglement(on_exact.cell, images)[..., n_qubits // 2 - 1]
        last = np.array(n_steps) - 1
        by_start["entropy"].append(entropies[:, last].mean(axis=0))
        by_start["batch_noise"].append(batch_noise(exact))
    return {"trained_accuracy": accuracy, **by_start}


COLUMNS = (
    Column("cosine", "cosine", format=".4f"),
    Column("relative_error", "relative error", format=".1e", log=True),
    Column("discarded_weight", "discarded weight", format=".1e", log=True),
    Column("estimated_infidelity", "estimated infidelity", format=".1e", log=True),
    Column("open_infidelity", "infidelity, open loop", format=".1e", log=True),
    Column("closed_infidelity", "infidelity, closed loop", format=".1e", log=True),
)


def main(arguments: Arguments) -> int:
    """Runs what is missing, then writes table, figures and report."""
    chosen = replaced(PRESETS[arguments.preset], arguments)
    if min(chosen["n_qubits"]) < 4:
        raise ValueError(f"n_qubits must be at least 4, got {chosen['n_qubits']}.")
    axes = {"seed": range(chosen["seeds"]), "n_qubits": chosen["n_qubits"]}
    settings = Settings(chosen["epochs"])
    study = Study(
        "gradient_fidelity",
        axes,
        run,
        settings,
        arguments.out or RUNS / "gradient_fidelity" / arguments.preset,
        dims=DIMS,
        coords={
            "start": STARTS,
            "max_bond": settings.max_bonds,
            "n_steps": settings.n_steps,
        },
    )
    outcome = study.execute(workers=arguments.workers)
    if not study.records():
        return 1
    dataset = study.dataset()
    longest = max(settings.n_steps)
    table = summary_table(
        dataset.sel(n_steps=longest),
        COLUMNS,
        by=("start", "n_qubits", "max_bond"),
        over="seed",
    )
    caption = (
        f"After {longest} steps. Cosine: mean ± half-width of the 95% Student t "
        "interval over seeds. Others: geometric mean and interval of the logarithm."
    )
    report = publish(
        study,
        title="Gradients of matrix product states against exact gradients",
        summary=__doc__.splitlines()[0],
        table=table,
        table_caption=caption,
        charts=draw(dataset, settings.batch_size),
    )
    print(f"\n{table}\n\n{caption}\nReport: {report}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Arguments)))
