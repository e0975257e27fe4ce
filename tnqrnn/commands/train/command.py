"""``tnqrnn train``: trains a model on a task and keeps all that came of it."""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax

from tnqrnn import specs
from tnqrnn.checks import check_int
from tnqrnn.commands.train.options import described, typed_options
from tnqrnn.model import AbstractCell, build, cells, save
from tnqrnn.pricing import refusal
from tnqrnn.records import provenance, read_json, write_atomic, write_json
from tnqrnn.tasks import Task, load_task
from tnqrnn.training import evaluate, fit

if TYPE_CHECKING:
    Options = Mapping[str, Mapping[str, str]]
else:
    Options = typed_options()

TOKEN_SIZE = 32
"""Length of a token's vector, unless ``--input-size`` says another."""

RUN, MODEL, SCORES = "run.json", "model.npz", "scores.json"


def train(
    task: str = "",
    /,
    *,
    run: Options,
    match_parameters: bool = False,
    seeds: int | None = None,
    directory: Path | None = None,
    config: Path | None = None,
    data_dir: Path | None = None,
    progress: bool = True,
) -> int:
    """Trains a model on a task; the same command again goes on where it stopped.

    Into the directory go run.json, the description of the run; model.npz, the model of
    the best epoch, for tnqrnn.load; scores.json, its scores on the test split; pictures
    of the loss and the score against the epoch; and the checkpoints. Several values of
    one option are written with commas, 128,64.

    Args:
        task: what is learned: copying, digits, mnist, mr, pmnist, ptb-char, ptb-word,
            sst2 or tinyshakespeare-char.
        run: the fields of the description.
        match_parameters: give a classical cell as many parameters, nearly, as the cell
            of the QRNN has that the other options describe.
        seeds: train with so many seeds, 0, 1, 2, ..., each in a folder of its own.
        directory: where all goes; runs/TASK-CELL-SIZE unless given, or seed-0 in it for
            seed 0 alone.
        config: a run.json to begin with, in place of the defaults.
        data_dir: the first place to look for a task's files.
        progress: show a progress bar.

    Returns:
        0, or 130 if Ctrl-C ended it.

    Raises:
        ValueError: an option that cannot be; nothing is written then.
    """
    given = {name: words for part in run.values() for name, words in part.items()}
    if seeds is not None and "seed" in given:
        raise ValueError("seed must be left out with seeds, got both.")
    if seeds is not None:
        check_int("seeds", seeds, minimum=1)
    whole = described(task, given, None if config is None else _read(config))
    if {"float64", "complex128"} & _dtypes(whole):
        jax.config.update("jax_enable_x64", True)
    data = load_task(whole.task.name, data_dir, **whole.task.options)
    whole = completed(whole, data, match=match_parameters)
    root = directory or Path("runs") / _name(whole)
    if seeds is None:
        directory = directory or root / f"seed-{whole.seed}"
        runs = {directory: whole}
    else:
        directory = root
        each = [dataclasses.replace(whole, seed=seed) for seed in range(seeds)]
        runs = {root / f"seed-{one.seed}": one for one in each}
        _check_folder(root, None)
    for folder, one in runs.items():
        _check_folder(folder, one)
    try:
        results = [_run(one, data, folder, progress) for folder, one in runs.items()]
    except KeyboardInterrupt as stopped:
        said = str(stopped) or "Stopped. The same call goes on from what is written."
        print(f"tnqrnn: {said}", file=sys.stderr)
        return 130
    # Loaded for this alone: they bring matplotlib and xarray.
    from tnqrnn.commands.train.report import draw_history, scores_table

    if seeds is not None:
        write_json(directory / SCORES, {"runs": results})
    draw_history(results, directory, judge=data.objective.judge)
    print(f"{scores_table(results)}\n\nModel, scores and figures: {directory}")
    return 0


def completed(run: specs.Run, task: Task, *, match: bool = False) -> specs.Run:
    """The run with the sizes that neither options nor task say.

    Args:
        run: its description.
        task: its task.
        match: whether a classical cell gets as many parameters as the QRNN described.

    Raises:
        ValueError: a QRNN without a number of qubits, or a cell that has no hidden
            size to be matched or has one already.
    """
    cell = run.model.cell
    if cell.input_size is None and task.input_size is None:
        cell = dataclasses.replace(cell, input_size=TOKEN_SIZE)
    if cell.circuit is None and (match or cell.kind == "qrnn"):
        raise ValueError("n_qubits must be given for a QRNN, got none.")
    if match:
        if cell.kind == "qrnn":
            raise ValueError("cell must be classical for match_parameters, got 'qrnn'.")
        if cell.hidden_size is not None:
            raise ValueError(
                "hidden_size must be left out with match_parameters, "
                f"got {cell.hidden_size}."
            )
        quantum = dataclasses.replace(cell, kind="qrnn", dtype=specs.Cell().dtype)
        make = functools.partial(build, quantum, task=task)
        shapes = eqx.filter_eval_shape(make, jax.random.key(0))
        hidden_size = cells.match_parameters(
            cell.kind,
            input_size=shapes.input_size,
            n_params=cells.parameter_count(shapes),
        )
        cell = specs.Cell(
            cell.kind, cell.input_size, hidden_size=hidden_size, dtype=cell.dtype
        )
    model = dataclasses.replace(run.model, cell=cell)
    return dataclasses.replace(run, model=model)


@dataclasses.dataclass(frozen=True)
class _Description:
    """Writes a run's description once ``fit`` has accepted every argument."""

    run: specs.Run
    path: Path

    def start(self, settings: Mapping[str, Any]) -> None:
        write_atomic(self.path, f"{specs.to_json(self.run, indent=1)}\n".encode())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing: the history is in the scores."""

    def finish(self) -> None:
        """Nothing."""


def _run(run: specs.Run, task: Task, folder: Path, progress: bool) -> dict[str, Any]:
    """Trains and scores one model, or reads what an earlier call has written."""
    if (folder / SCORES).is_file():
        return read_json(folder / SCORES)
    model, task, arguments = build(run, task=task)
    too_large = refusal(model, batch_size=run.training.batch_size)
    if too_large is not None:
        raise ValueError(too_large)
    cell: AbstractCell = model.cell
    counts = {
        "cell_parameters": cells.parameter_count(cell),
        "parameters": cells.parameter_count(model),
    }
    print(
        f"{task.name}, {run.model.cell.kind}, seed {run.seed}: "
        f"{counts['cell_parameters']:,} parameters in the cell, "
        f"{counts['parameters']:,} in all",
        flush=True,
    )
    fitted = fit(
        model,
        task,
        **arguments,
        directory=folder,
        progress=progress,
        loggers=[_Description(run, folder / RUN)],
    )
    scores = evaluate(fitted.model, task.test, batch_size=run.training.batch_size)
    result = {
        "run": specs.to_dict(run),
        "seed": run.seed,
        "test": scores,
        **counts,
        "epochs": len(fitted.history["train_loss"]),
        "best_epoch": fitted.best_epoch,
        "seconds_per_step": fitted.seconds_per_step,
        "compile_seconds": fitted.compile_seconds,
        "history": fitted.history,
        "made_with": provenance(),
    }
    save(fitted.model, folder / MODEL)
    write_json(folder / SCORES, result)  # last: with it the run is finished
    return read_json(folder / SCORES)  # what a later call shows, in the same order


def _check_folder(folder: Path, run: specs.Run | None) -> None:
    """Refuses a folder that holds something else than a run, or than several."""
    there = _read(folder / RUN) if (folder / RUN).is_file() else None
    held = "one run" if there else "several runs"
    if (there or (folder / SCORES).is_file()) and (there is None) != (run is None):
        raise ValueError(
            f"directory must be of this command or new, got {folder}, which holds "
            f"{held}."
        )
    if there is None or run is None:
        return
    old, new = specs.fields_of(there), specs.fields_of(run)
    for path in old | new:
        values = [repr(of[path].value) if path in of else "none" for of in (old, new)]
        if values[0] != values[1]:
            raise ValueError(
                f"directory must be of this run or new, got {folder}, whose run has "
                f"{path} = {values[0]}, where {values[1]} is asked for; "
                "--directory names another."
            )


def _read(path: Path) -> specs.Run:
    try:
        run = specs.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"config must be a file that can be read: {error}.") from error
    except ValueError as error:
        raise ValueError(f"{path} must describe a run: {error}") from error
    if not isinstance(run, specs.Run):
        raise ValueError(f"{path} must describe a run, got a {type(run).__name__}.")
    return run


def _dtypes(run: specs.Run) -> set[str]:
    cell = run.model.cell
    return {cell.dtype, *([cell.backend.dtype] if cell.backend else [])}


def _name(run: specs.Run) -> str:
    cell = run.model.cell
    size = cell.circuit.n_qubits if cell.circuit else cell.hidden_size
    return f"{run.task.name}-{cell.kind}-{size}"
