"""Training: epochs of steps, validation, the choice of the best model, resuming."""

import os
from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import optax

from tnqrnn.checks import check_bool, check_instance, check_int, check_number
from tnqrnn.tasks import Task
from tnqrnn.training.callbacks import (
    Callback,
    Logger,
    check_callbacks,
    check_loggers,
)
from tnqrnn.training.checkpoint import CheckpointFolder
from tnqrnn.training.chunks import deferred_interrupts
from tnqrnn.training.evaluation import check_fit
from tnqrnn.training.identity import array_digest, identity
from tnqrnn.training.programs import (
    Model,
)
from tnqrnn.training.result import FitResult
from tnqrnn.training.run import Run
from tnqrnn.training.schedules import (
    LEARNING_RATE,
    Schedule,
    adam,
    behaviour,
    check_rates,
    rates,
    with_extra_arguments,
)
from tnqrnn.training.update_limit import UPDATE_LIMIT

_LEAST_NORM = 1e-30  # 0 would stop all learning, silently


def fit(
    model: Model,
    task: Task,
    *,
    epochs: int = 40,
    batch_size: int = 64,
    learning_rate: float | None = None,
    schedule: Schedule = None,
    warmup_epochs: int = 0,
    clip_norm: float | None = 1.0,
    update_limit: float | Literal["auto"] | None = "auto",
    optimizer: optax.GradientTransformation | None = None,
    seed: int = 0,
    directory: str | os.PathLike | None = None,
    resume: bool = True,
    progress: bool = True,
    patience: int | None = None,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> FitResult:
    """Trains a model, and chooses its best epoch by validation alone.

    What a batch, the loss and the scores are, the task's objective says
    (:mod:`tnqrnn.tasks.objectives`). Batches and chance come from ``seed`` and the
    number of the epoch and the step. With a ``directory`` the run is written there
    (``last.ckpt``, ``best.ckpt``) about every five seconds and after every epoch, and
    the same call goes on from there with the bits of a run that was never stopped. The
    test split is not used.

    Args:
        model: one of the library's, or an equinox module that maps (B, T, F) inputs to
            (B, C) logits for a task of kind ``classify``, to (B, T, C) for ``label``,
            to the targets' shape for ``regress``. Its inexact array leaves are trained.
        task: the data.
        epochs: passes over the training samples.
        batch_size: B, at most the number of training samples. The remainder that fills
            no batch is left out, other samples in every epoch. A stream is cut into so
            many rows.
        learning_rate: r_0, at the first step after the warm-up; ``None`` is 3e-3 for
            Adam [kingma2015], and 1 for an own optimizer, whose updates it multiplies.
        schedule: ``"cosine"``, r_k = r_0 (1 + cos(pi k / K)) / 2 at step k of K after
            the warm-up [loshchilov2017], ``"constant"``, or an optax schedule, a
            function of the step. ``None`` is cosine for Adam and constant for an own
            optimizer.
        warmup_epochs: the rate rises linearly from 0 to r_0 over the steps of these
            epochs.
        clip_norm: the gradient is shortened to this global norm if it is longer;
            ``None`` for never.
        update_limit: rho; an update of an array of weights w is shortened to the
            root mean square rho max(rms(w), 0.02) if it is longer. Adam moves every
            weight by about the rate, however small the weight is, which some runs do
            not survive (docs/sharp_bits.md). ``"auto"`` is 0.02 for Adam and ``None``,
            no limit, for an own optimizer.
        optimizer: an optax transformation in place of Adam; it gets the clipped
            gradient, and what it returns is multiplied by the schedule.
        seed: of batches and dropout. The model brings its own starting parameters.
        directory: where checkpoints go, made if missing; ``None`` for no checkpoints.
        resume: go on from the checkpoints in ``directory``. With ``False`` the run
            starts anew and replaces them.
        progress: show a progress bar on standard error, or in a notebook.
        patience: stop after this many epochs without a better validation score;
            ``None`` for never.
        callbacks: functions of one :class:`tnqrnn.training.Progress`, called about once
            a second and after every epoch; one that returns ``True`` ends the run at
            once, and an epoch that it breaks off is not scored.
        loggers: objects with the methods ``start``, ``log`` and ``finish``, see
            :class:`tnqrnn.training.Logger`.

    Raises:
        ValueError: an argument outside its range, or a model that does not fit the
            task.
        RecordError: a ValueError that names the file: a checkpoint that is corrupt or
            of another run. A run is its model with its starting parameters, the data,
            and all arguments but ``directory``, ``resume``, ``progress``, ``patience``,
            ``callbacks``, ``loggers`` and, if the rate is constant, ``epochs``.
        NonFiniteError: NaN or infinity in a loss or gradient. The checkpoints are from
            before it.
        TruncationError: a backend with ``on_truncation="raise"`` lost too much.
        LoggerError: a logger raised; what was trained is in the checkpoints, and in the
            error's ``result``.
        TrainingInterrupted: a KeyboardInterrupt: Ctrl-C, which acts between two chunks
            of steps of about a second; one step and compilation are not interrupted.
            Its ``result`` is the run so far.

    >>> import jax, tnqrnn as tq
    >>> task = tq.load_task("copying", delay=2, n_symbols=1, n_train=64, n_valid=8)
    >>> cell = tq.QRNNCell(10, tq.hardware_efficient(2), key=jax.random.key(0))
    >>> model = tq.SequenceLabeler(cell, 9, key=jax.random.key(1))
    >>> fitted = tq.fit(model, task, epochs=2, batch_size=32, progress=False)
    >>> sorted(fitted.history)[:3], len(fitted.history["train_loss"])
    (['gradient_norm_max', 'gradient_norm_mean', 'seconds'], 2)
    """
    check_instance("model", model, eqx.Module)
    check_instance("task", task, Task)
    check_int("epochs", epochs, minimum=1)
    check_int("batch_size", batch_size, minimum=1, maximum=len(task.train))
    check_int("seed", seed, minimum=0)
    check_bool("progress", progress)
    if patience is not None:
        check_int("patience", patience, minimum=1)
    check_rates(learning_rate, schedule, warmup_epochs, epochs)
    own = optimizer is not None
    limit = update_limit
    if limit == "auto":
        limit = None if own else UPDATE_LIMIT
    for name, norm in (("clip_norm", clip_norm), ("update_limit", limit)):
        if norm is not None:
            check_number(name, norm, minimum=_LEAST_NORM)
    callbacks, loggers = check_callbacks(callbacks), check_loggers(loggers)
    for split in (task.train, task.valid):
        check_fit(model, split)
    if learning_rate is None and not callable(schedule):
        learning_rate = 1.0 if own else LEARNING_RATE
    if schedule is None:
        schedule = "constant" if own else "cosine"
    with deferred_interrupts() as interrupts:
        run = Run(
            model,
            task,
            with_extra_arguments(optimizer if own else adam()),
            batch_size=batch_size,
            epochs=epochs,
            seed=seed,
            clip_norm=clip_norm,
            update_limit=limit,
        )
        n_warmup, n_steps = (n * run.steps_an_epoch for n in (warmup_epochs, epochs))
        run.rates = rates(learning_rate, schedule, n_warmup, n_steps)
        if callable(schedule):
            schedule = array_digest([run.rates])
        # What a checkpoint must agree with. At a constant rate no step depends on the
        # number of epochs, so such a run may be made longer.
        settings = {
            "epochs": None if schedule == "constant" else epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "warmup_epochs": warmup_epochs,
            "clip_norm": clip_norm,
            "update_limit": limit,
            "optimizer": behaviour(optimizer, run.params) if own else "adam",
            "seed": seed,
        }
        settings = identity(run.state.running.model, run.opt_state, task, settings)
        # All is checked before the directory is made.
        run.check_outputs()
        if directory is not None:
            run.folder = CheckpointFolder(directory, settings, task.objective)
        with run.watched(progress, callbacks, loggers, settings, interrupts):
            run.load(resume, directory, epochs)
            run.train(patience)
    return run.result()
