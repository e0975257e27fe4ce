"""Training: epochs, validation, the choice of the best model, resuming."""

import functools
import math
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from tnqrnn.backends.budget import named_truncation_errors
from tnqrnn.checks import check_choice, check_instance, check_int, check_number
from tnqrnn.tasks import Task
from tnqrnn.training.batches import Batch, Model, shuffled_rows
from tnqrnn.training.checkpoint import Checkpoint, CheckpointFolder, describe
from tnqrnn.training.history import (
    QUANTITIES,
    History,
    best_epoch,
    epochs_without_gain,
    extended,
    refuse_non_finite,
)
from tnqrnn.training.programs import (
    Steps,
    mean_scores,
    promotion_as_usual,
    score,
    score_arguments,
    train_epoch,
)

_LEARNING_RATE, _SCHEDULE = 3e-3, "cosine"
_LEAST_CLIP_NORM = 1e-30  # 0 would stop all learning, silently


@dataclass(frozen=True)
class FitResult:
    """What :func:`fit` returns.

    Attributes:
        model: the model after ``best_epoch``.
        last: the model after the last epoch.
        history: one list a quantity with one float an epoch: ``train_loss`` (mean over
            the epoch's steps, nats), ``valid_loss``, ``valid_accuracy`` (after the
            epoch), ``gradient_norm_mean`` and ``gradient_norm_max`` (global norms over
            the epoch's steps, before clipping), ``seconds`` (the epoch's steps alone,
            without compilation and validation).
        best_epoch: the epoch, counted from 1, with the highest validation accuracy, of
            equal ones the latest.
        seconds_per_step: median over epochs of ``seconds`` per step.
        compile_seconds: what tracing and compiling took in this call; near 0 when an
            earlier call left the programs behind.
    """

    model: Model
    last: Model
    history: History
    best_epoch: int
    seconds_per_step: float
    compile_seconds: float


def fit(
    model: Model,
    task: Task,
    *,
    epochs: int = 40,
    batch_size: int = 64,
    learning_rate: float = _LEARNING_RATE,
    schedule: str = _SCHEDULE,
    warmup_epochs: int = 0,
    clip_norm: float | None = 1.0,
    optimizer: optax.GradientTransformation | None = None,
    seed: int = 0,
    directory: str | os.PathLike | None = None,
    resume: bool = True,
    progress: bool = True,
    patience: int | None = None,
) -> FitResult:
    """Trains a model, and chooses its best epoch by validation alone.

    An epoch's steps are one compiled program; their batches come from ``seed`` and the
    number of the epoch. With a ``directory`` the run is written there after every epoch
    (``last.ckpt``, ``best.ckpt``), and the same call goes on from the last finished
    epoch with the bits of a run that was never stopped. The test split is not used.

    Args:
        model: an equinox module whose inexact array leaves are trained; (B, T, F)
            inputs to (B, C) logits for a task of kind ``classify``, to (B, T, C) for
            ``label``.
        task: the data.
        epochs: passes over the training samples.
        batch_size: B, at most the number of training samples. The remainder that fills
            no batch is left out, other samples in every epoch.
        learning_rate: r_0 of Adam [kingma2015], at the first step after the warm-up.
        schedule: ``"cosine"``, r_k = r_0 (1 + cos(pi k / K)) / 2 at step k of K after
            the warm-up [loshchilov2017], or ``"constant"``.
        warmup_epochs: the rate rises linearly from 0 to r_0 over the steps of these
            epochs. Large rates from the first step on leave some seeds untrained.
        clip_norm: the gradient is shortened to this global norm if it is longer;
            ``None`` for never.
        optimizer: an optax transformation in place of Adam, with its own learning rate
            and schedule; it gets the clipped gradient.
        seed: of the batches. The model brings its own starting parameters.
        directory: where checkpoints go, made if missing; ``None`` for no checkpoints.
        resume: go on from the checkpoints in ``directory``. With ``False`` the run
            starts anew and replaces them.
        progress: show a progress bar on standard error.
        patience: stop after this many epochs without a higher validation accuracy;
            ``None`` for never.

    Raises:
        ValueError: an argument outside its range, or logits that do not fit the
            targets.
        RecordError: a ValueError that names the file: a checkpoint that is corrupt or
            of another configuration. The configuration is the model with its starting
            parameters, the data, and all arguments but ``directory``, ``resume``,
            ``progress``, ``patience`` and, unless the schedule is cosine, ``epochs``.
            Of an own optimizer only the layout of its state is known.
        NonFiniteError: NaN or infinity in a loss or gradient. The checkpoints are those
            of the last good epoch.

        TruncationError: a backend with ``on_truncation="raise"`` lost too much. The
            checkpoints are those of the last finished epoch.

    Warning:
        Ctrl-C takes effect between epochs: a running program is not interrupted.
    """
    check_instance("model", model, eqx.Module)
    check_instance("task", task, Task)
    check_int("epochs", epochs, minimum=1)
    check_int("batch_size", batch_size, minimum=1, maximum=len(task.train))
    check_int("seed", seed, minimum=0)
    if patience is not None:
        check_int("patience", patience, minimum=1)
    own = optimizer is not None
    check_int("warmup_epochs", warmup_epochs, minimum=0, maximum=epochs - 1)
    _check_rule(learning_rate, schedule, warmup_epochs, clip_norm, own)
    n_steps = len(task.train) // batch_size
    name = "own" if own else schedule
    rates = _rates(name, learning_rate, warmup_epochs * n_steps, epochs * n_steps)
    optimizer = _adam() if optimizer is None else optimizer
    state = _start(model, optimizer)
    best = state.model
    folder = None
    if directory is not None:
        settings = {
            "epochs": epochs if schedule == "cosine" and not own else None,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "warmup_epochs": warmup_epochs,
            "clip_norm": clip_norm,
            "optimizer": "own" if own else "adam",
            "seed": seed,
        }
        folder = CheckpointFolder(directory, describe(state, task, settings))
        state, best = folder.load(state) if resume else (state, best)
    if state.epoch > epochs:
        raise ValueError(
            f"epochs must be an integer >= {state.epoch}, the epochs finished in "
            f"{directory}, got {epochs}."
        )
    clip_norm = math.inf if clip_norm is None else clip_norm
    runner = _Runner(task, optimizer, rates, batch_size, clip_norm, seed)
    if not _finished(state, epochs, patience):
        runner.compile(state)
    with tqdm(
        total=epochs,
        initial=state.epoch,
        desc=task.name,
        unit="epoch",
        disable=not progress,
    ) as bar:
        while not _finished(state, epochs, patience):
            state = runner.run(state, _kept(state, folder))
            if best_epoch(state.history) == state.epoch:
                best = state.model
            if folder is not None:
                folder.save(state)
            _show(bar, state.history)
    return FitResult(
        model=best,
        last=state.model,
        history=state.history,
        best_epoch=best_epoch(state.history),
        seconds_per_step=statistics.median(state.history["seconds"]) / n_steps,
        compile_seconds=runner.compile_seconds,
    )


def _check_rule(
    learning_rate: float,
    schedule: str,
    warmup_epochs: int,
    clip_norm: float | None,
    own: bool,
) -> None:
    check_number("learning_rate", learning_rate, minimum=0)
    check_choice("schedule", schedule, ("cosine", "constant"))
    if clip_norm is not None:
        check_number("clip_norm", clip_norm, minimum=_LEAST_CLIP_NORM)
    given = learning_rate, schedule, warmup_epochs
    if own and given != (_LEARNING_RATE, _SCHEDULE, 0):
        raise ValueError(
            "learning_rate, schedule and warmup_epochs must be left out when an "
            f"optimizer is given, got {', '.join(map(repr, given))}."
        )


def _show(bar: tqdm, history: History) -> None:
    bar.set_postfix(
        loss=f"{history['train_loss'][-1]:.4f}",
        valid_accuracy=f"{history['valid_accuracy'][-1]:.4f}",
    )
    bar.update()


class _Runner:
    """The compiled programs of a run, and the data they take."""

    def __init__(
        self,
        task: Task,
        optimizer: optax.GradientTransformation,
        rates: np.ndarray,
        batch_size: int,
        clip_norm: float,
        seed: int,
    ) -> None:
        self.compile_seconds = 0.0
        self._optimizer = optimizer
        self._rates = jnp.asarray(rates.reshape(-1, len(task.train) // batch_size))
        self._clip_norm = jnp.asarray(np.float32(clip_norm))
        self._data = Batch.from_split(task.train)
        self._valid = score_arguments(task.valid, batch_size, task.n_classes)
        self._n_classes = task.n_classes
        self._rows = functools.partial(
            shuffled_rows, len(task.train), batch_size, seed=seed
        )

    def compile(self, state: Checkpoint) -> None:
        """Traces and compiles ahead of time, so that it is timed apart."""
        started = time.perf_counter()
        self._train = _compiled(train_epoch, *self._arguments(state))
        self._score = _compiled(score, state.model, *self._valid)
        self.compile_seconds = time.perf_counter() - started

    def run(self, state: Checkpoint, kept: str) -> Checkpoint:
        """One epoch and its validation; ``kept`` ends the message if it fails."""
        started = time.perf_counter()
        with named_truncation_errors():
            model, opt_state, trace = jax.block_until_ready(
                self._train(*self._arguments(state))
            )
            seconds = time.perf_counter() - started
            scores = mean_scores(self._score(model, *self._valid))
        epoch = state.epoch + 1
        refuse_non_finite(epoch, trace, scores, kept)
        history = extended(state.history, trace, scores, seconds)
        return Checkpoint(model, opt_state, epoch, history)

    def _arguments(self, state: Checkpoint) -> tuple[Any, ...]:
        rows = self._rows(epoch=state.epoch + 1)
        steps = Steps(jnp.asarray(rows), self._rates[state.epoch], self._clip_norm)
        return (
            state.model,
            state.opt_state,
            self._optimizer,
            self._data,
            steps,
            self._n_classes,
        )


def _compiled(program: Any, *arguments: Any) -> Any:
    return program.lower(*arguments).compile()


@functools.cache
def _adam() -> optax.GradientTransformation:
    # One object for all runs: compiled programs are found again by its functions.
    return optax.chain(optax.scale_by_adam(), optax.scale(-1.0))


def _rates(
    schedule: str, learning_rate: float, n_warmup: int, n_steps: int
) -> np.ndarray:
    """What the optimiser's updates are multiplied by, one number a step."""
    if schedule == "own":
        return np.ones(n_steps)
    rising = np.arange(n_warmup) / max(n_warmup, 1)
    after = np.ones(n_steps - n_warmup)
    if schedule == "cosine":
        after = 0.5 * (1 + np.cos(np.pi * np.arange(len(after)) / len(after)))
    return learning_rate * np.concatenate([rising, after])


def _start(model: Model, optimizer: optax.GradientTransformation) -> Checkpoint:
    params = eqx.filter(model, eqx.is_inexact_array)
    if not jax.tree.leaves(params):
        raise ValueError(f"model must have trainable arrays, got {model!r}.")
    model = _without_weak_types(model)
    with promotion_as_usual():
        opt_state = _without_weak_types(optimizer.init(params))
    return Checkpoint(model, opt_state, 0, {name: [] for name in QUANTITIES})


def _without_weak_types(tree: Any) -> Any:
    # A weakly typed leaf comes out of a step strongly typed: scan would refuse it.
    def strong(leaf: Any) -> Any:
        typed = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, np.number)
        return jax.lax.convert_element_type(leaf, leaf.dtype) if typed else leaf

    return jax.tree.map(strong, tree)


def _finished(state: Checkpoint, epochs: int, patience: int | None) -> bool:
    waited = epochs_without_gain(state.history)
    return state.epoch == epochs or (patience is not None and waited >= patience)


def _kept(state: Checkpoint, folder: CheckpointFolder | None) -> str:
    if folder is None or state.epoch == 0:
        return "No checkpoint was kept."
    return f"{folder.last} holds epoch {state.epoch}."
