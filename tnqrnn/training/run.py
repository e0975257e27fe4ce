"""One call of :func:`tnqrnn.fit`: its data, its programs, and where it stands."""

import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from tnqrnn.tasks import Task
from tnqrnn.training.callbacks import (
    Callback,
    Logger,
    LoggerError,
    Progress,
    wants_to_stop,
)
from tnqrnn.training.checkpoint import Checkpoint, CheckpointFolder
from tnqrnn.training.chunks import Interrupts, compiled, in_chunks
from tnqrnn.training.evaluation import Scoring, first_carry
from tnqrnn.training.history import (
    best_epoch,
    epochs_without_gain,
    extended,
    refuse_non_finite,
    refuse_non_finite_score,
)
from tnqrnn.training.programs import (
    Model,
    Running,
    Steps,
    batch_sums,
    promotion_as_usual,
    train_steps,
)
from tnqrnn.training.result import FitResult, TrainingInterrupted

_SECONDS_A_CHECKPOINT = 5.0

_traced_once = eqx.filter_jit(batch_sums)  # for each structure of model and data


class Run:
    """One call of :func:`fit`: its data, its compiled programs and where it stands."""

    def __init__(
        self,
        model: Model,
        task: Task,
        optimizer: optax.GradientTransformationExtraArgs,
        *,
        batch_size: int,
        epochs: int,
        seed: int,
        clip_norm: float | None,
        update_limit: float | None,
    ) -> None:
        self.task, self.objective = task, task.objective
        self.optimizer, self.batch_size = optimizer, batch_size
        self.epochs, self.seed = epochs, seed
        self.clip_norm = jnp.asarray(
            np.float32(np.inf if clip_norm is None else clip_norm)
        )
        self.update_limit = None
        if update_limit is not None:
            self.update_limit = jnp.asarray(np.float32(update_limit))
        self.random = bool(getattr(model, "has_chance", False))
        self.rates = np.zeros(0, np.float32)
        self.folder: CheckpointFolder | None = None
        self.compile_seconds = 0.0
        self.params = eqx.filter(model, eqx.is_inexact_array)
        if not jax.tree.leaves(self.params):
            raise ValueError(f"model must have trainable arrays, got {model!r}.")
        arrays = self.objective.arrange(task.train, batch_size)
        self.data = {name: jnp.asarray(array) for name, array in arrays.items()}
        self.carry = first_carry(model, self.objective, batch_size)
        self.steps_an_epoch = len(self._index(1))
        model = _without_weak_types(model)
        with promotion_as_usual():
            self.opt_state = _without_weak_types(optimizer.init(self.params))
        running = Running(model, self.opt_state, self.carry, *self._blank(model))
        self.state = Checkpoint(running, 0, 0, 0.0, {})
        self.best = model

    def check_outputs(self) -> None:
        """Refuses a model whose outputs do not fit the targets.

        The model is traced on a batch of the training split, which the validation
        split resembles; nothing is computed.
        """
        step = self._index(1)[0]
        eqx.filter_eval_shape(
            _traced_once, self.best, self.objective, self.data, step, self.carry
        )

    def load(self, resume: bool, directory: Any, epochs: int) -> None:
        """Takes up the checkpoints in the folder, if there are any and they shall be.

        Raises:
            RecordError: a file is corrupt or of another run.
            ValueError: more epochs have been finished than are asked for.
        """
        if self.folder is None or not resume:
            return
        self.state, self.best = self.folder.load(self.state)
        begun = self.state.epoch + (self.state.step > 0)
        if begun > epochs:
            what = "finished" if self.state.step == 0 else "begun"
            raise ValueError(
                f"epochs must be an integer >= {begun}, the epochs {what} in "
                f"{directory}, got {epochs}."
            )

    @contextmanager
    def watched(
        self,
        progress: bool,
        callbacks: Sequence[Callback],
        loggers: Sequence[Logger],
        settings: Mapping[str, Any],
        interrupts: Interrupts,
    ) -> Iterator[None]:
        """Bar, callbacks and loggers; Ctrl-C becomes :class:`TrainingInterrupted`."""
        self.callbacks, self.loggers = callbacks, loggers
        self.interrupts = interrupts
        self.bar = tqdm(desc=self.task.name, unit="step", disable=not progress)
        started: list[Logger] = []
        try:
            for logger in loggers:
                self._told(logger, "start", settings)
                started.append(logger)
            yield
        except KeyboardInterrupt:
            raise TrainingInterrupted(self._goodbye(), self.result()) from None
        finally:
            self.bar.close()
            if self.folder is not None:
                self.folder.close()
            failed = sys.exc_info()[0] is not None
            for logger in started:
                try:
                    self._told(logger, "finish")
                except LoggerError:
                    if not failed:
                        raise

    def train(self, patience: int | None) -> None:
        """All steps that are left, epoch by epoch."""
        self.interrupts.check()
        if self._finished(patience):
            return
        total = self.epochs * self.steps_an_epoch
        self.bar.reset(total)
        self.bar.update(self._steps_done())
        self._compile()
        stop = False
        while not (stop or self._finished(patience)):
            stop = self._rest_of_epoch()
            if self.state.step == self.steps_an_epoch:
                stop = self._validate() or stop
        if self.state.step:  # a callback broke an epoch off
            self._save()

    def result(self) -> FitResult:
        """The run so far."""
        seconds = self.state.history.get("seconds", [])
        per_step = statistics.median(seconds) / self.steps_an_epoch if seconds else 0.0
        return FitResult(
            model=self.best,
            last=self.state.running.model,
            history=self.state.history,
            best_epoch=best_epoch(self.state.history, self.objective),
            seconds_per_step=per_step,
            compile_seconds=self.compile_seconds,
        )

    def _compile(self) -> None:
        """Traces and compiles ahead of time, so that it is announced and timed."""
        self.bar.set_postfix_str("compiling, once for each shape of model and data")
        begun = time.perf_counter()
        zero = jnp.zeros((), jnp.int32)
        running, steps = self.state.running, self._steps(1)
        self.program = compiled(
            train_steps, *self._arguments(running, steps), zero, zero
        )
        self.scoring = Scoring(running.model, self.task.valid, self.batch_size)
        self.compile_seconds = time.perf_counter() - begun
        self.bar.set_postfix_str("")
        self.interrupts.check()

    def _arguments(self, running: Running, steps: Steps) -> tuple:
        return running, self.optimizer, self.objective, self.data, steps

    def _rest_of_epoch(self) -> bool:
        """The steps up to the end of the epoch; whether a callback ended the run."""
        steps, state = self._steps(self.state.epoch + 1), self.state
        written, stopped, first = time.monotonic(), False, state.step

        def run(start: jax.Array, stop: jax.Array) -> Running:
            begun = time.perf_counter()
            where = first + start, first + stop
            running = self.state.running
            after = jax.block_until_ready(
                self.program(*self._arguments(running, steps), *where)
            )
            self._check(after, int(where[0]), int(where[1]))
            seconds = self.state.seconds + time.perf_counter() - begun
            self.state = replace(
                self.state, running=after, step=int(where[1]), seconds=seconds
            )
            return after

        def between() -> bool:
            nonlocal written, stopped
            self._show({})
            if time.monotonic() - written >= _SECONDS_A_CHECKPOINT:
                self._save()
                written = time.monotonic()
            stopped = self._look({})
            self.interrupts.check()
            return stopped

        if first < self.steps_an_epoch:
            in_chunks(run, self.steps_an_epoch - first, between)
        return stopped

    def _validate(self) -> bool:
        """Scores the epoch that ended, keeps it, and begins the next.

        Returns:
            whether a callback ended the run.
        """
        running = self.state.running
        scores = self.scoring.scores(running.model, self.interrupts.check)
        epoch = self.state.epoch + 1
        scores |= self.objective.whole_split_scores(
            running.model, self.task.valid, self.batch_size
        )
        refuse_non_finite_score(scores, self._steps_done(), epoch, self._kept())
        history = extended(self.state.history, running, scores, self.state.seconds)
        running = Running(*running[:2], self.carry, *self._blank(running.model))
        self.state = Checkpoint(running, epoch, 0, 0.0, history)
        if best_epoch(history, self.objective) == epoch:
            self.best = running.model
        self._save()
        self._show(scores)
        return self._look(scores)

    def _blank(self, model: Model) -> tuple:
        """Loss, gradient norm and what was lost, before an epoch's first step."""
        blank = jnp.zeros(self.steps_an_epoch)
        return blank, blank, {name: blank for name in getattr(model, "lost_names", ())}

    def _index(self, epoch: int) -> np.ndarray:
        return self.objective.training_steps(
            self.task.train, self.batch_size, seed=self.seed, epoch=epoch
        )

    def _steps(self, epoch: int) -> Steps:
        key = None
        if self.random:
            key = jax.random.fold_in(jax.random.key(self.seed), epoch)
        first = (epoch - 1) * self.steps_an_epoch
        return Steps(
            jnp.asarray(self._index(epoch)),
            jnp.asarray(self.rates[first : first + self.steps_an_epoch]),
            self.clip_norm,
            self.update_limit,
            key,
        )

    def _check(self, running: Running, start: int, stop: int) -> None:
        epoch = self.state.epoch + 1
        refuse_non_finite(running, start, stop, epoch, self._kept())
        if running.lost:
            parts = {name: each[start:stop] for name, each in running.lost.items()}
            worst = {name: float(each.max()) for name, each in parts.items()}
            checked: Any = running.model
            checked.check_lost(worst)

    def _save(self) -> None:
        if self.folder is not None:
            self.folder.save(self.state)

    def _kept(self) -> str:
        return self.folder.kept() if self.folder else "No checkpoint has been written."

    def _finished(self, patience: int | None) -> bool:
        waited = epochs_without_gain(self.state.history, self.objective)
        return self.state.epoch == self.epochs or (
            self.state.step == 0 and patience is not None and waited >= patience
        )

    def _steps_done(self) -> int:
        return self.state.epoch * self.steps_an_epoch + self.state.step

    def _last(self) -> tuple[float, float]:
        """Loss and gradient norm of the last step; of an epoch's end, its means."""
        state = self.state
        if state.step == 0:
            history = state.history
            return history["train_loss"][-1], history["gradient_norm_mean"][-1]
        i, running = state.step - 1, state.running
        return float(running.loss[i]), float(running.gradient_norm[i])

    def _show(self, scores: Mapping[str, float]) -> None:
        done = self._steps_done()
        epoch = self.state.epoch + (self.state.step > 0)
        self.bar.set_description(f"{self.task.name}, epoch {epoch}/{self.epochs}")
        loss = {"loss": f"{self._last()[0]:.4f}"}
        judge = self.objective.judge
        if history := self.state.history.get(f"valid_{judge}"):
            loss[f"valid_{judge}"] = f"{history[-1]:.4f}"
        self.bar.set_postfix(loss)
        self.bar.update(done - self.bar.n)

    def _look(self, scores: Mapping[str, float]) -> bool:
        """Tells loggers and callbacks; whether one of the latter ends the run."""
        loss, norm = self._last()
        step = self._steps_done()
        values = {"loss": loss, "gradient_norm": norm}
        if self.state.step == 0:
            values = {name: entry[-1] for name, entry in self.state.history.items()}
        for logger in self.loggers:
            self._told(logger, "log", step, values)
        progress = Progress(
            epoch=self.state.epoch + (self.state.step > 0),
            epochs=self.epochs,
            step=step,
            steps=self.epochs * self.steps_an_epoch,
            loss=loss,
            gradient_norm=norm,
            scores=dict(scores),
            model=self.state.running.model,
        )
        return wants_to_stop(self.callbacks, progress)

    def _told(self, logger: Logger, method: str, *arguments: Any) -> None:
        try:
            getattr(logger, method)(*arguments)
        except Exception as error:
            self._save()
            i = self.loggers.index(logger)
            raise LoggerError(
                f"loggers[{i}] must not raise, got {error!r} from its {method} after "
                f"step {self._steps_done()}. {self._kept()}",
                self.result(),
            ) from error

    def _goodbye(self) -> str:
        """Saves the run, and says what is kept and how to go on."""
        self._save()
        done = self._steps_done()
        total = self.epochs * self.steps_an_epoch
        if self.folder is None:
            how = (
                "No checkpoint was asked for (directory=); the best model so far is "
                "`error.result.model`, in an interactive session "
                "`import sys; sys.last_value.result.model`."
            )
        else:
            how = f"{self._kept()} The same call goes on from there."
        return f"Training was stopped after step {done} of {total}. {how}"


def _without_weak_types(tree: Any) -> Any:
    # A weakly typed leaf comes out of a step strongly typed: the loop would refuse it.
    def strong(leaf: Any) -> Any:
        typed = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, np.number)
        return jax.lax.convert_element_type(leaf, leaf.dtype) if typed else leaf

    return jax.tree.map(strong, tree)
