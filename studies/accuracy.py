"""Does a QRNN gain from more qubits, and what does an MPS lose against exact states?

Trains classifiers of handwritten digits over number of qubits x model x seed and writes
records, a table, figures and a report:

    python studies/accuracy.py --preset quick

Interrupted and started again, it goes on with the runs that are missing.
"""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import tyro
from representations import as_lines, bonds, has_its_bond

import tnqrnn as tq
from tnqrnn.checks import check_choice, check_int
from tnqrnn.diagnostics import gradient_norms, truncation_gap
from tnqrnn.study import (
    Chart,
    Column,
    Groups,
    Study,
    plot_against_axis,
    plot_against_index,
    publish,
    replaced,
    summary_table,
    usable_cores,
)

RUNS = Path(__file__).parents[1] / "runs"
CHECKPOINTED = "statevector-checkpoint"
"""Exact states with the gradient mode of an MPS that truncates, to show how much the
mode's rounding changes."""
MODELS = ("statevector", CHECKPOINTED, "mps", *tq.cells.KINDS)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all runs share."""

    epochs: int
    by: str = "row"  # 8 steps of 8 pixels; "pixel" is 64 steps of 1
    batch_size: int = 32
    learning_rate: float = 1e-2
    warmup_epochs: int = 3
    n_layers: int = 2
    controller: int = 128  # size of the hidden layer

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, minimum=1)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Accuracy on handwritten digits against qubits, representation and seed."""

    preset: Literal["tiny", "quick", "full"] = "quick"
    """Size of the study; the next five replace parts of it."""
    n_qubits: tuple[int, ...] | None = None
    """Numbers of qubits."""
    models: tuple[str, ...] | None = None
    """statevector, statevector-checkpoint, mps, rnn, gru, lstm; classical ones are as
    large as the QRNN."""
    max_bonds: tuple[int, ...] | None = None
    """Chi of the MPS, one model each."""
    seeds: int | None = None
    """Number of seeds, counted from 0."""
    epochs: int | None = None
    """Passes over the training images."""
    by: Literal["row", "pixel"] = "row"
    """8 time steps of 8 pixels or 64 of one."""
    out: Path | None = None
    """Directory of the results; runs/accuracy/PRESET by default."""
    workers: int = usable_cores()
    """Runs at a time, each in a process of one thread."""


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": dict(
        n_qubits=(2,),
        models=("statevector", "mps", "lstm"),
        max_bonds=(2,),
        seeds=2,
        epochs=1,
    ),
    "quick": dict(
        n_qubits=(2, 4, 6),
        models=("statevector", "mps"),
        max_bonds=(2,),
        seeds=2,
        epochs=10,
    ),
    "full": dict(
        n_qubits=(2, 4, 6, 8),
        models=("statevector", "mps", "lstm", "gru", CHECKPOINTED),
        max_bonds=(16, 2),
        seeds=5,
        epochs=40,
    ),
}

DIMS = {name: ("epoch",) for name in ("train_loss", "valid_loss", "valid_accuracy")} | {
    f"gradient_{of}_{when}": ("time_step",)
    for of in ("inputs", "angles")
    for when in ("before", "after")
}


def build(
    point: Mapping[str, Any], task: Any, settings: Settings
) -> tq.SequenceClassifier:
    """The model of a point; a classical one is as large as the QRNN of n_qubits."""
    name, n_qubits = point["model"], point["n_qubits"]
    keys = jax.random.split(jax.random.key(point["seed"]))
    size = task.input_size
    ansatz = tq.hardware_efficient(n_qubits, n_layers=settings.n_layers)
    controller = tq.Controller(hidden=(settings.controller,))
    cell = tq.QRNNCell(size, ansatz, controller=controller, key=keys[0])
    mode = "checkpoint" if name == CHECKPOINTED else "auto"
    model = tq.SequenceClassifier(cell, task.n_classes, gradient=mode, key=keys[1])
    if name.startswith("statevector"):
        return model
    if name == "mps":
        return model.with_backend(tq.MPS(point["max_bond"]))
    hidden_size = tq.cells.match_parameters(
        name,
        input_size=size,
        n_outputs=task.n_classes,
        n_params=tq.cells.parameter_count(model),
    )
    classical = tq.cells.KINDS[name](size, hidden_size, key=keys[0])
    return tq.SequenceClassifier(classical, task.n_classes, key=keys[1])


def run(point: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Trains and measures one model."""
    task = tq.load_task("digits", by=settings.by)
    model = build(point, task, settings)
    fitted = tq.fit(
        model,
        task,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_epochs=min(settings.warmup_epochs, settings.epochs - 1),
        seed=point["seed"],
        progress=False,
    )
    trained: Any = fitted.model
    scores = tq.evaluate(trained, task.test)
    metrics: dict[str, Any] = {
        "test_accuracy": scores["accuracy"],
        "test_loss": scores["loss"],
        "best_epoch": fitted.best_epoch,
        "n_params": tq.cells.parameter_count(model),
        "seconds_per_step": fitted.seconds_per_step,
        "compile_seconds": fitted.compile_seconds,
    }
    for name in ("train_loss", "valid_loss", "valid_accuracy"):
        metrics[name] = fitted.history[name]
    size = settings.batch_size
    probe = task.valid.inputs[:size], task.valid.targets[:size]
    for when, one in (("before", model), ("after", trained)):
        norms = gradient_norms(one, *probe)
        metrics[f"gradient_inputs_{when}"] = norms.inputs
        metrics[f"gradient_parameters_{when}"] = norms.parameters
        if norms.angles is not None:
            metrics[f"gradient_angles_{when}"] = norms.angles
    if trained.lost_names:
        metrics |= {name: scores[name] for name in trained.lost_names}
        metrics |= truncation_gap(trained, task.test, own=scores)
    return metrics


COLUMNS = (
    Column("test_accuracy", "test accuracy, %", 100, ".1f"),
    Column("double_bond_minus_own_accuracy", "2χ − own, %", 100, ".1f"),
    Column("exact_minus_own_accuracy", "exact − own, %", 100, ".1f"),
    Column("test_loss", "test loss, nats", 1, ".3f"),
    Column("infidelity", "1 − fidelity", 1, ".1g"),
    Column("seconds_per_step", "step, ms", 1e3, ".1f"),
    Column("compile_seconds", "compile, s", 1, ".1f", interval=False),
    Column("n_params", "parameters", 1, ".0f", interval=False),
    Column("peak_memory_bytes", "memory, MiB", 2**-20, ".0f", interval=False),
)


def draw(dataset: Any, batch_size: int) -> list[Chart]:
    """The study's figures, from its dataset alone."""
    # The checkpointed one differs from exact states by rounding alone: it hides them.
    models = [name for name in dataset["model"].values if name != CHECKPOINTED]
    dataset = as_lines(dataset.sel(model=models), "model")
    lines = dataset["line"].values.tolist()
    classical = [name.upper() for name in models if name in tq.cells.KINDS]
    groups = Groups("line", {line: line for line in lines}, references=classical)
    by_qubits = functools.partial(
        plot_against_axis, dataset, x="n_qubits", groups=groups, over="seed"
    )
    by_step = functools.partial(
        plot_against_index,
        dataset,
        panels="n_qubits",
        panel_title="n = {value}",
        groups=groups,
        over="seed",
        log=True,
    )
    charts = [
        by_qubits(
            "test_accuracy",
            title="Test accuracy",
            caption="360 test images, at the epoch that validation chose. Grey: "
            "classical cells with as many parameters as the QRNN.",
            labels=("qubits n", "test accuracy, %"),
            scale=100,
            limits=(0, 100),
        ),
        by_step(
            "valid_loss",
            title="Validation loss",
            caption="180 validation images.",
            dim="epoch",
            labels=("epoch", "cross entropy, nats"),
        ),
    ]
    charts += [
        by_step(
            f"gradient_{of}_{when}",
            title=f"Gradient by the {of}, {when} training",
            caption=f"Norm for each of {batch_size} validation images, mean over them.",
            dim="time_step",
            labels=("time step t", f"mean ‖∂L/∂{symbol}‖"),
        )
        for of, symbol in (("inputs", "xₜ"), ("angles", "θₜ"))
        for when in ("before", "after")
        if f"gradient_{of}_{when}" in dataset
    ]
    if "infidelity" in dataset and (dataset["infidelity"] > 0).any():
        charts.append(
            by_qubits(
                "infidelity",
                title="Truncation",
                caption="1 − exp(Σ ln kept weight), mean over the test images. Runs "
                "that truncate nothing lie at 0 and are not drawn.",
                labels=("qubits n", "1 − fidelity at the last step"),
                log=True,
            )
        )
    charts.append(
        by_qubits(
            "seconds_per_step",
            title="Time of a training step",
            caption="Loss, gradient and update for one batch; median over epochs.",
            labels=("qubits n", "seconds per step"),
            log=True,
        )
    )
    return charts


def left_out(point: Mapping[str, Any]) -> bool:
    """Bonds of what is no MPS."""
    return not has_its_bond(point, "model")


def main(arguments: Arguments) -> int:
    """Runs what is missing, then writes table, figures and report."""
    chosen = replaced(PRESETS[arguments.preset], arguments)
    for model in chosen["models"]:
        check_choice("models", model, MODELS)
    for n_qubits in chosen["n_qubits"]:
        check_int("n_qubits", n_qubits, minimum=1)
    axes = {
        "seed": range(chosen["seeds"]),  # outermost: time left is known after a seed
        "n_qubits": chosen["n_qubits"],
        "model": chosen["models"],
        "max_bond": bonds(chosen["models"], chosen["max_bonds"]),
    }
    settings = Settings(chosen["epochs"], by=arguments.by)
    directory = arguments.out or RUNS / "accuracy" / arguments.preset
    study = Study("accuracy", axes, run, settings, directory, left_out, dims=DIMS)
    outcome = study.execute(workers=arguments.workers)
    if not study.records():
        return 1
    dataset = study.dataset()
    table = summary_table(
        dataset, COLUMNS, by=("model", "max_bond", "n_qubits"), over="seed"
    )
    caption = "Mean ± half-width of the 95% Student t interval over seeds."
    report = publish(
        study,
        title="Accuracy on handwritten digits against the number of qubits",
        summary=__doc__.splitlines()[0],
        table=table,
        table_caption=caption,
        charts=draw(dataset, settings.batch_size),
    )
    print(f"\n{table}\n\n{caption}\nReport: {report}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Arguments)))
