"""Callbacks and loggers: what they are told, and what happens if they misbehave."""

import numpy as np
import optax
import pytest
from small_training import linear, small_task

from tnqrnn.training import (
    LoggerError,
    TensorBoardLogger,
    WandbLogger,
    chunks,
    fit,
)

OPTIONS = {"epochs": 3, "batch_size": 24, "progress": False}  # four steps an epoch


class Recorder:
    """A logger that keeps what it is told."""

    def __init__(self, fails=None):
        self.settings, self.rows, self.finished, self.fails = None, [], 0, fails

    def start(self, settings):
        self.settings = settings
        assert self.fails != "start"

    def log(self, step, values):
        self.rows.append((step, dict(values)))
        assert self.fails != "log" or step < 5

    def finish(self):
        self.finished += 1
        assert self.fails != "finish"


def test_callbacks_see_every_chunk_and_every_epoch(monkeypatch):
    monkeypatch.setattr(chunks, "SECONDS_A_CHUNK", 0.0)
    seen = []
    result = fit(linear(), small_task(), callbacks=[seen.append], **OPTIONS)
    within = [p for p in seen if not p.scores]
    ends = [p for p in seen if p.scores]
    assert [p.step for p in within] == list(range(1, 13))
    assert [(p.epoch, p.step) for p in ends] == [(1, 4), (2, 8), (3, 12)]
    assert {(p.epochs, p.steps) for p in seen} == {(3, 12)}
    losses = np.array([p.loss for p in within]).reshape(3, 4).mean(axis=1)
    np.testing.assert_allclose(losses, result.history["train_loss"], rtol=1e-6)
    norms = np.array([p.gradient_norm for p in within]).reshape(3, 4).max(axis=1)
    np.testing.assert_allclose(norms, result.history["gradient_norm_max"], rtol=1e-6)
    assert [p.scores["accuracy"] for p in ends] == result.history["valid_accuracy"]
    np.testing.assert_array_equal(ends[-1].model.weight, result.last.weight)


def test_a_callback_ends_the_run_at_an_epochs_end():
    low = lambda p: p.epoch == 2 and p.scores.get("loss", np.inf) < np.inf  # noqa: E731
    result = fit(linear(), small_task(), callbacks=[low], **OPTIONS)
    assert len(result.history["train_loss"]) == 2 and result.best_epoch > 0


@pytest.mark.parametrize("step", [2, 4, 6])
def test_a_callback_ends_the_run_at_once_and_it_can_go_on(step, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "SECONDS_A_CHUNK", 0.0)
    seen = []

    def stop(progress):
        seen.append(progress.step)
        return progress.step == step and not progress.scores

    options = OPTIONS | {"directory": tmp_path}
    broken_off = fit(linear(), small_task(), callbacks=[stop], **options)
    assert max(seen) == step
    assert len(broken_off.history.get("train_loss", [])) == step // 4
    resumed = fit(linear(), small_task(), **options)
    straight = fit(linear(), small_task(), **OPTIONS)
    np.testing.assert_array_equal(resumed.last.weight, straight.last.weight)


@pytest.mark.parametrize("answer", [1, "stop", np.bool_(True), 0.0])
def test_a_callback_that_returns_nonsense_is_named(answer):
    callbacks = [lambda p: None, lambda p: answer]
    with pytest.raises(ValueError, match=r"callbacks\[1\] must return None, True to"):
        fit(linear(), small_task(), callbacks=callbacks, **OPTIONS)


def test_a_logger_is_told_settings_steps_and_epochs():
    logger = Recorder()
    result = fit(linear(), small_task(), loggers=[logger], **OPTIONS)
    assert logger.settings["batch_size"] == 24 and logger.finished == 1
    epochs = [(step, row) for step, row in logger.rows if "train_loss" in row]
    assert [step for step, _ in epochs] == [4, 8, 12]
    assert [row["valid_loss"] for _, row in epochs] == result.history["valid_loss"]
    assert all("gradient_norm" in row for step, row in logger.rows if step % 4)


@pytest.mark.parametrize("method", ["start", "log", "finish"])
def test_a_logger_that_raises_is_named_and_nothing_is_lost(method, tmp_path):
    logger, other = Recorder(), Recorder(method)
    message = rf"loggers\[1\] must not raise, got AssertionError.* from its {method}"
    with pytest.raises(LoggerError, match=message) as caught:
        fit(
            linear(),
            small_task(),
            loggers=[logger, other],
            directory=tmp_path,
            **OPTIONS,
        )
    assert logger.finished == 1
    trained = len(caught.value.result.history.get("train_loss", []))
    assert trained == {"start": 0, "log": 1, "finish": 3}[method]
    resumed = fit(linear(), small_task(), directory=tmp_path, **OPTIONS)
    straight = fit(linear(), small_task(), **OPTIONS)
    np.testing.assert_array_equal(resumed.last.weight, straight.last.weight)


def test_tensorboard_is_written_by_the_users_writer():
    class Writer:
        def __init__(self):
            self.text, self.scalars, self.flushed = {}, [], False

        def add_text(self, name, text):
            self.text[name] = text

        def add_scalar(self, name, value, step):
            self.scalars.append((name, value, step))

        def flush(self):
            self.flushed = True

    writer = Writer()
    result = fit(linear(), small_task(), loggers=[TensorBoardLogger(writer)], **OPTIONS)
    last = ("valid_accuracy", result.history["valid_accuracy"][-1], 12)
    assert last in writer.scalars and writer.flushed
    assert '"batch_size":24' in writer.text["settings"]
    with pytest.raises(ValueError, match="writer must be a SummaryWriter"):
        TensorBoardLogger("runs/")


def test_weights_and_biases_is_written_by_the_users_run():
    class Run:
        def __init__(self):
            self.config, self.rows = {}, []

        def log(self, values, step):
            self.rows.append((step, values))

    run = Run()
    result = fit(linear(), small_task(), loggers=[WandbLogger(run)], **OPTIONS)
    assert run.config["seed"] == 0
    assert run.rows[-1][1]["valid_loss"] == result.history["valid_loss"][-1]
    with pytest.raises(ValueError, match="run must be what wandb.init"):
        WandbLogger("project")


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.polyak_sgd(max_learning_rate=0.1),
        optax.chain(optax.adam(0.01), optax.contrib.reduce_on_plateau(patience=2)),
        optax.lbfgs(),
    ],
    ids=["polyak_sgd", "reduce_on_plateau", "lbfgs"],
)
def test_optimizers_that_ask_for_the_loss_get_it(optimizer):
    result = fit(
        linear(),
        small_task(),
        optimizer=optimizer,
        clip_norm=None,
        **OPTIONS | {"epochs": 6},
    )
    losses = result.history["train_loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_training_without_jit_is_the_same_training():
    import jax

    compiled = fit(linear(), small_task(), **OPTIONS | {"epochs": 1})
    with jax.disable_jit():
        plain = fit(linear(), small_task(), **OPTIONS | {"epochs": 1})
    np.testing.assert_allclose(plain.last.weight, compiled.last.weight, rtol=1e-6)
