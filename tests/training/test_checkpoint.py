"""Checkpoints: a run that is stopped and resumed is the run that never stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from small_training import blobs, linear, small_task

import tnqrnn as tq
from tnqrnn.layout import layout
from tnqrnn.model.cells import GRU
from tnqrnn.records import RecordError
from tnqrnn.tasks import Task, load_task
from tnqrnn.tasks.objectives import shuffled_rows
from tnqrnn.training import NonFiniteError, checkpoint, chunks, fit, run

_OPTIONS = {
    "epochs": 6,
    "batch_size": 20,
    "learning_rate": 0.05,
    "update_limit": None,
    "progress": False,
}


def _fit(directory=None, **options):
    model = options.pop("model", None) or linear(dtype="float32")
    task = options.pop("task", None) or small_task()
    return fit(model, task, directory=directory, **_OPTIONS | options)


def _assert_same_run(one, other):
    """Bitwise, in everything but the time it took."""
    for a, b in ((one.model, other.model), (one.last, other.last)):
        leaves = [jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in (a, b)]
        for x, y in zip(*leaves, strict=True):
            assert x.dtype == y.dtype
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
    for name in one.history.keys() - {"seconds"}:
        assert one.history[name] == other.history[name]
    assert one.history.keys() == other.history.keys()
    assert one.best_epoch == other.best_epoch


def _stop_after(monkeypatch, n_writes, error=KeyboardInterrupt):
    """Raises in place of the write that would follow ``n_writes`` of them."""
    written = []
    write = checkpoint.write_atomic

    def counted(path, data):
        if len(written) == n_writes:
            raise error
        write(path, data)
        written.append(Path(path).name)

    monkeypatch.setattr(checkpoint, "write_atomic", counted)
    return written


@pytest.mark.parametrize("n_writes", range(9))
def test_a_run_stopped_at_any_write_resumes_to_the_same_bits(tmp_path, n_writes):
    straight = _fit()
    with pytest.MonkeyPatch.context() as patch:
        written = _stop_after(patch, n_writes)
        with pytest.raises(KeyboardInterrupt):
            _fit(tmp_path)
    n_epochs = written.count("last.ckpt")
    assert (tmp_path / "last.ckpt").exists() == (n_epochs > 0)
    jax.clear_caches()
    _assert_same_run(straight, _fit(tmp_path))


@pytest.mark.parametrize("kind", ["quantum", "classical"])
def test_three_epochs_in_a_killed_process_and_three_here_are_six_straight(
    tmp_path, kind
):
    """The other process dies without a word after its third epoch."""
    program = f"""
import os
from test_checkpoint import run_of_six
from tnqrnn.training import checkpoint

save = checkpoint.CheckpointFolder.save

def save_and_die(self, state):
    save(self, state)
    if state.epoch == 3:
        os._exit(9)

checkpoint.CheckpointFolder.save = save_and_die
run_of_six({kind!r}, {str(tmp_path)!r})
"""
    here = Path(__file__).parent
    environment = os.environ | {
        "JAX_ENABLE_X64": "1",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent), *sys.path]),
    }
    command = [sys.executable, "-c", program]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert killed.returncode == 9, killed.stderr
    resumed = run_of_six(kind, tmp_path)
    _assert_same_run(run_of_six(kind, None), resumed)


def run_of_six(kind, directory):
    """Six epochs of a real model on the first digits."""
    digits = load_task("digits")
    parts = [
        (split.inputs[:64], split.targets[:64]) for split in digits.splits.values()
    ]
    cell = {
        "quantum": lambda key: tq.QRNNCell(8, tq.hardware_efficient(2), key=key),
        "classical": lambda key: GRU(8, 5, key=key),
    }[kind](jax.random.key(0))
    model = tq.SequenceClassifier(cell, 10, key=jax.random.key(1))
    task = Task.from_arrays(*parts, n_classes=10)
    return fit(model, task, directory=directory, **_OPTIONS)


def test_a_finished_run_is_read_back_without_training(tmp_path, monkeypatch):
    first = _fit(tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(files) == {".lock", "best.ckpt", "last.ckpt"}
    monkeypatch.setattr("tnqrnn.training.run.Run._rest_of_epoch", pytest.fail)
    again = _fit(tmp_path)
    _assert_same_run(first, again)
    assert again.history == first.history and again.compile_seconds == 0
    assert files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_without_resume_the_run_starts_anew(tmp_path):
    first = _fit(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"anything")
    _assert_same_run(first, _fit(tmp_path, resume=False))
    _assert_same_run(first, _fit(tmp_path))


def test_a_constant_rate_can_be_trained_on(tmp_path):
    options = {"schedule": "constant"}
    straight = _fit(epochs=6, **options)
    _fit(tmp_path, epochs=3, **options)
    _assert_same_run(straight, _fit(tmp_path, epochs=6, **options))
    message = (
        f"epochs must be an integer >= 6, the epochs finished in {tmp_path}, got 4"
    )
    with pytest.raises(ValueError, match=message):
        _fit(tmp_path, epochs=4, **options)


def test_an_own_optimizer_is_resumed_with_its_state(tmp_path, monkeypatch):
    options = {"optimizer": optax.sgd(0.05, momentum=0.9), "schedule": "cosine"}
    straight = _fit(**options)
    with monkeypatch.context() as patch:
        _stop_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            _fit(tmp_path, **options)
    _assert_same_run(straight, _fit(tmp_path, **options))


def test_an_exhausted_patience_stays_exhausted(tmp_path):
    options = {"learning_rate": 0.0, "patience": 2}
    first = _fit(tmp_path, **options)
    assert len(first.history["seconds"]) == 3
    again = _fit(tmp_path, **options)
    assert again.history == first.history and again.compile_seconds == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 0.04}, r"learning_rate is 0\.05 there and 0\.04 here"),
        ({"epochs": 5}, "epochs is 6 there and 5 here"),
        ({"batch_size": 21}, "batch_size is 20 there and 21 here"),
        ({"clip_norm": None}, r"clip_norm is 1\.0 there and None here"),
        ({"schedule": "constant"}, "schedule is 'cosine' there and 'constant' here"),
        ({"warmup_epochs": 2}, "warmup_epochs is 0 there and 2 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"model": linear(dtype="float64")}, "model.bias.dtype is 'float32' there"),
        ({"update_limit": 0.5}, r"update_limit is None there and 0\.5 here"),
        ({"model": linear(dtype="float32", seed=1)}, "starting parameters is '"),
        ({"task": small_task(95)}, "data is '"),
        ({"optimizer": optax.sgd(0.1)}, r"optimizer is 'adam' there and \["),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(tmp_path, change, named):
    _fit(tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    message = rf"last\.ckpt cannot be used: it belongs to another .*{named}"
    with pytest.raises(ValueError, match=message):
        _fit(tmp_path, **change)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_what_does_not_change_the_run_is_no_configuration(tmp_path):
    first = _fit(tmp_path, patience=50)
    _assert_same_run(first, _fit(tmp_path, patience=None, progress=True))


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-1], "it is cut short or altered"),
        (lambda data: data[: len(data) // 2], "it is cut short or altered"),
        (lambda data: data + b"\0", "it is cut short or altered"),
        (lambda data: data[:-9] + b"\x01" + data[-8:], "it is cut short or altered"),
        (lambda data: data.replace(b'"epoch":', b'"epocH":'), "cut short or altered"),
        (lambda data: b"", "it is no checkpoint of this format"),
        (lambda data: data[:10], "it is no checkpoint of this format"),
        (lambda data: b"PK\3\4" + data, "it is no checkpoint of this format"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, name, damage, reason):
    _run_with_an_early_best(tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        RecordError, match=rf"{name} cannot be used: .*{reason}"
    ) as caught:
        _run_with_an_early_best(tmp_path)
    assert isinstance(caught.value, ValueError)
    assert str(path) in str(caught.value)


def test_a_best_checkpoint_that_is_missing_or_of_another_epoch_is_refused(tmp_path):
    _run_with_an_early_best(tmp_path)
    best = tmp_path / "best.ckpt"
    best.write_bytes((tmp_path / "last.ckpt").read_bytes())
    message = (
        r"best\.ckpt cannot be used: it holds epoch 6, by last\.ckpt the best is 1"
    )
    with pytest.raises(RecordError, match=message):
        _run_with_an_early_best(tmp_path)
    best.unlink()
    with pytest.raises(RecordError, match=r"best\.ckpt .* missing beside last\.ckpt"):
        _run_with_an_early_best(tmp_path)


def _run_with_an_early_best(directory):
    result = _fit(directory, learning_rate=1.0, schedule="constant", seed=1)
    assert result.best_epoch == 1  # a rate so large that accuracy falls later
    return result


def test_the_last_good_epoch_is_kept_when_a_loss_is_not_finite(tmp_path):
    """One of 97 samples overflows, and the first epoch's batches leave it out."""
    points, targets = blobs(97)
    drawn = shuffled_rows(97, 32, seed=0, epoch=1)
    (left_out,) = set(range(97)) - set(drawn.ravel())
    assert left_out in shuffled_rows(97, 32, seed=0, epoch=2)
    points[left_out] = 3e38
    task = Task.from_arrays((points, targets), blobs(30), blobs(30))
    options = {"task": task, "batch_size": 32, "schedule": "constant"}
    message = r"at step [456], in epoch 2\. .*last\.ckpt holds epoch 1\."
    with pytest.raises(NonFiniteError, match=message):
        _fit(tmp_path, **options)
    kept = _fit(tmp_path, epochs=1, **options)
    _assert_same_run(kept, _fit(epochs=1, **options))


def test_an_own_optimizer_is_known_again_by_what_it_does(tmp_path):
    _fit(tmp_path, optimizer=optax.sgd(0.05, momentum=0.9))
    _fit(tmp_path, optimizer=optax.sgd(0.05, momentum=0.9))
    with pytest.raises(RecordError, match=r"optimizer\.\d is .* there and .* here"):
        _fit(tmp_path, optimizer=optax.sgd(0.05, momentum=0.8))


def test_an_optimizer_with_a_key_in_its_state_is_resumed(tmp_path, monkeypatch):
    options = {"optimizer": optax.noisy_sgd(1e-2, key=jax.random.key(3))}
    straight = _fit(**options)
    with monkeypatch.context() as patch:
        _stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            _fit(tmp_path, **options)
    _assert_same_run(straight, _fit(tmp_path, **options))


@pytest.mark.parametrize("n_steps", [1, 3, 4, 5, 9])
def test_a_run_stopped_within_an_epoch_resumes_to_the_same_bits(
    tmp_path, monkeypatch, n_steps
):
    """Four steps an epoch, one a chunk; Ctrl-C after ``n_steps`` of them."""
    monkeypatch.setattr(chunks, "SECONDS_A_CHUNK", 0.0)
    straight = _fit()

    def press(progress):
        if progress.step == n_steps and not progress.scores:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(tq.TrainingInterrupted) as caught:
        _fit(tmp_path, callbacks=[press])
    epochs, steps = divmod(n_steps, 4)
    what = f"holds epoch {epochs}" + (f" and {steps} steps of the" if steps else "")
    assert f"stopped after step {n_steps} of 24" in str(caught.value)
    if steps:
        assert what in str(caught.value)
    assert "The same call goes on from there" in str(caught.value)
    assert caught.value.result.best_epoch <= epochs
    _assert_same_run(straight, _fit(tmp_path))


def test_how_steps_are_grouped_changes_no_bit(monkeypatch):
    together = _fit()
    monkeypatch.setattr(chunks, "SECONDS_A_CHUNK", 0.0)
    _assert_same_run(together, _fit())


def test_ctrl_c_without_a_directory_keeps_the_best_model():
    def press(progress):
        if progress.epoch == 3 and progress.scores:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="best model so far is") as caught:
        _fit(callbacks=[press])
    result = caught.value.result
    assert len(result.history["train_loss"]) >= 3
    best = result.history["valid_accuracy"][result.best_epoch - 1]
    assert tq.evaluate(result.model, small_task().valid)["accuracy"] == best


def test_ctrl_c_before_the_first_step_says_what_is_kept(tmp_path, monkeypatch):
    """Pressed while the run is prepared: nothing breaks into XLA's compiler."""
    trained = run.Run.check_outputs

    def press(self):
        os.kill(os.getpid(), signal.SIGINT)
        trained(self)

    monkeypatch.setattr(run.Run, "check_outputs", press)
    with pytest.raises(tq.TrainingInterrupted, match="stopped after step 0 of 24"):
        _fit(tmp_path)
    monkeypatch.undo()
    _assert_same_run(_fit(), _fit(tmp_path))


def test_outputs_that_do_not_fit_leave_no_directory(tmp_path):
    labels = np.arange(24) % 4
    part = (np.zeros((24, 2, 3), np.float32), labels)
    task = tq.Task.from_arrays(part, part, part)
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match="at least 4 logits"):
        tq.fit(linear(3), task, batch_size=8, progress=False, directory=folder)
    assert not folder.exists()


def test_two_trainers_do_not_share_a_folder(tmp_path):
    def second(progress):
        with pytest.raises(ValueError, match="directory must not be in use by another"):
            _fit(tmp_path, seed=1)

    _assert_same_run(_fit(), _fit(tmp_path, callbacks=[second]))


def test_a_checkpoint_of_an_older_format_is_refused_by_name(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"tnqrnn checkpoint 1\nabc")
    with pytest.raises(RecordError, match="written by tnqrnn 0.1"):
        _fit(tmp_path)


def test_values_describe_a_model_alike_in_every_process():
    """Functions go by name: an address, which changes, must not count."""

    class Holder(eqx.Module):
        function: object

    def first(x):
        return x

    one = layout(Holder(eqx.Partial(first, 1)))
    assert one == layout(Holder(eqx.Partial(first, 1)))
    assert one != layout(Holder(eqx.Partial(jax.nn.relu, 1)))
