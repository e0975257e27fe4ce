"""Training: what it does to a model, what it reports, what it refuses."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_training import Linear, blobs, linear, small_task

import tnqrnn as tq
from tnqrnn.model.cells import GRU
from tnqrnn.tasks import Classify, Regress, Task, load_task
from tnqrnn.tasks.objectives import shuffled_rows
from tnqrnn.training import NonFiniteError, evaluate, fit
from tnqrnn.training.history import best_epoch, epochs_without_gain
from tnqrnn.training.schedules import rates


def _equal(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


def test_one_epoch_is_adam_with_cosine_decay_and_clipping():
    """Against a loop over optax's own pieces, in double precision."""
    task, model = small_task(), linear()
    result = fit(
        model,
        task,
        epochs=2,
        batch_size=16,
        learning_rate=0.1,
        clip_norm=0.55,
        update_limit=None,
        progress=False,
        seed=3,
    )
    schedule = optax.cosine_decay_schedule(0.1, decay_steps=12)
    optimizer = optax.chain(optax.clip_by_global_norm(0.55), optax.adam(schedule))
    params = {"weight": model.weight, "bias": model.bias}
    state = optimizer.init(params)
    xs, ys = jnp.asarray(task.train.inputs, "float64"), jnp.asarray(task.train.targets)

    def loss_of(params, rows):
        logits = xs[rows][:, -1] @ params["weight"] + params["bias"][None]
        shares = jax.nn.log_softmax(logits)
        return -jnp.mean(jnp.take_along_axis(shares, ys[rows][:, None], 1))

    losses, norms = [], []
    with jax.numpy_dtype_promotion("standard"):
        for epoch in (1, 2):
            for rows in shuffled_rows(96, 16, seed=3, epoch=epoch):
                loss, grads = jax.value_and_grad(loss_of)(params, rows)
                updates, state = optimizer.update(grads, state, params)
                params = optax.apply_updates(params, updates)
                losses.append(loss)
                norms.append(np.hypot(*map(np.linalg.norm, grads.values())))
    np.testing.assert_allclose(result.last.weight, params["weight"], rtol=1e-6)
    np.testing.assert_allclose(result.last.bias, params["bias"], rtol=1e-6, atol=1e-8)
    for name, expected in (
        ("train_loss", np.mean(np.reshape(losses, (2, 6)), axis=1)),
        ("gradient_norm_mean", np.mean(np.reshape(norms, (2, 6)), axis=1)),
        ("gradient_norm_max", np.max(np.reshape(norms, (2, 6)), axis=1)),
    ):
        np.testing.assert_allclose(result.history[name], expected, rtol=1e-6)
    assert min(norms) < 0.55 < max(norms)  # both sides of the clipping are seen


def test_only_inexact_arrays_change():
    model = linear()
    result = fit(model, small_task(), epochs=1, progress=False)
    assert result.last.name == "linear"
    np.testing.assert_array_equal(result.last.steps, model.steps)
    assert not np.array_equal(result.last.weight, model.weight)


def test_it_learns_and_the_result_says_what_happened(capsys):
    task = small_task()
    options = {"epochs": 30, "batch_size": 24, "learning_rate": 0.1}
    result = fit(linear(), task, update_limit=None, **options)
    assert evaluate(result.model, task.test)["accuracy"] >= 0.9
    assert {len(values) for values in result.history.values()} == {30}
    best = result.best_epoch - 1
    scores = evaluate(result.model, task.valid)
    assert scores["loss"] == pytest.approx(result.history["valid_loss"][best])
    assert scores["accuracy"] == result.history["valid_accuracy"][best]
    assert scores["accuracy"] == max(result.history["valid_accuracy"])
    last = evaluate(result.last, task.valid)
    assert last["loss"] == pytest.approx(result.history["valid_loss"][-1])
    assert result.seconds_per_step == np.median(result.history["seconds"]) / 4
    assert result.compile_seconds > 0
    shown = capsys.readouterr().err
    assert "compiling" in shown and "120/120" in shown and "epoch 30/30" in shown
    assert "valid_accuracy=" in shown and "loss=" in shown


def test_the_progress_bar_can_be_switched_off(capsys):
    fit(linear(), small_task(), epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("accuracies", "best", "waited"),
    [([], 0, 0), ([0.5, 0.7, 0.6], 2, 1), ([0.7, 0.7, 0.1], 2, 2), ([0.4], 1, 0)],
)
def test_the_best_epoch_is_the_latest_of_the_highest_accuracy(accuracies, best, waited):
    history, objective = {"valid_accuracy": accuracies}, Classify(2)
    assert best_epoch(history, objective) == best
    assert epochs_without_gain(history, objective) == waited
    history = {"valid_mean_squared_error": [1 - value for value in accuracies]}
    assert best_epoch(history, Regress()) == best
    assert epochs_without_gain(history, Regress()) == waited


def test_the_learning_rate_rises_and_falls():
    k = np.arange(16)
    falling = 0.15 * (1 + np.cos(np.pi * k / 16))
    expected = np.concatenate([0.3 * np.arange(4) / 4, falling])
    np.testing.assert_allclose(rates(0.3, "cosine", 4, 20), expected, 1e-5)
    np.testing.assert_allclose(rates(0.3, "cosine", 0, 16), falling, 1e-5)
    constant = rates(0.3, "constant", 2, 5)
    np.testing.assert_allclose(constant, [0, 0.15, 0.3, 0.3, 0.3], 1e-5)
    halving = rates(None, lambda step: 0.5**step, 0, 3)
    np.testing.assert_allclose(halving, [1, 0.5, 0.25])
    with pytest.raises(ValueError, match="schedule's rates must be finite, got 2 NaN"):
        rates(None, lambda step: 1 / (step - 1.0) ** 0.5, 0, 3)


def test_the_seed_decides_the_batches_and_nothing_else():
    runs = [
        fit(linear(), small_task(), epochs=2, batch_size=7, seed=seed, progress=False)
        for seed in (0, 0, 1)
    ]
    assert _equal(runs[0].last, runs[1].last)
    assert runs[0].history["train_loss"] == runs[1].history["train_loss"]
    assert not _equal(runs[0].last, runs[2].last)


def test_the_test_split_is_not_used():
    one, other = small_task(), Task.from_arrays(blobs(96), blobs(30, 1), blobs(9, 5))
    results = [fit(linear(), task, epochs=3, progress=False) for task in (one, other)]
    assert _equal(results[0].model, results[1].model)


def test_another_seed_rate_or_clip_compiles_nothing_new(monkeypatch):
    class Counted(Linear):
        def __call__(self, xs):
            traced.append(xs.shape)
            return super().__call__(xs)

    def counted(seed):
        return Counted(*jax.tree.leaves(linear(seed=seed))[:3])

    traced = []
    task = small_task()
    first = fit(counted(0), task, epochs=2, batch_size=20, progress=False)
    n_traced = len(traced)
    assert n_traced > 0
    again = fit(
        counted(1),
        task,
        epochs=5,
        batch_size=20,
        learning_rate=0.1,
        clip_norm=None,
        schedule="constant",
        seed=7,
        progress=False,
    )
    assert len(traced) == n_traced
    assert again.compile_seconds < first.compile_seconds
    fit(counted(0), task, epochs=1, batch_size=10, progress=False)
    assert len(traced) > n_traced


def test_an_own_optimizer_takes_the_place_of_adam():
    """Plain gradient descent, one step by hand."""
    model, task = linear(), small_task()
    result = fit(
        model,
        task,
        epochs=1,
        batch_size=96,
        optimizer=optax.sgd(0.5),
        clip_norm=None,
        progress=False,
    )
    xs, ys = task.train.inputs[:, -1].astype("float64"), task.train.targets
    logits = xs @ np.asarray(model.weight)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gradient = xs.T @ (shares - np.eye(3)[ys]) / 96
    np.testing.assert_allclose(
        result.last.weight, model.weight - 0.5 * gradient, rtol=1e-10
    )


def test_weakly_typed_leaves_can_be_trained():
    model = eqx.tree_at(lambda m: m.bias, linear(), jnp.asarray([0.0, 0.0, 0.0]))
    scale = jax.tree.map(lambda leaf: leaf, model)
    scale = eqx.tree_at(lambda m: m.bias, scale, jnp.broadcast_to(jnp.asarray(0.0), 3))
    assert scale.bias.weak_type
    result = fit(scale, small_task(), epochs=1, progress=False)
    assert not result.last.bias.weak_type and np.any(result.last.bias)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_is_trained_in_its_own_precision(dtype):
    cell = GRU(8, 4, dtype=dtype, key=jax.random.key(0))
    model = tq.SequenceClassifier(cell, 10, key=jax.random.key(1))
    result = fit(model, load_task("digits"), epochs=1, progress=False)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(result.model)} == {dtype}


def test_labels_at_every_step_are_learned_where_the_mask_counts_them():
    """The targets outside the mask say the opposite of those inside."""
    rng = np.random.default_rng(0)
    xs = rng.choice([-1.0, 1.0], size=(120, 4, 1))
    ys = (xs[..., 0] > 0).astype(int)
    mask = np.array([0, 1, 0, 1.0]) * np.ones((120, 1))
    targets = np.where(mask > 0, ys, 1 - ys)
    parts = [
        (xs[rows], targets[rows], mask[rows])
        for rows in (slice(0, 80), slice(80, 100), slice(100, 120))
    ]
    task = Task.from_arrays(*parts)
    assert task.kind == "label"
    cell = GRU(1, 4, key=jax.random.key(0))
    model = tq.SequenceLabeler(cell, 2, key=jax.random.key(1))
    result = fit(model, task, epochs=30, batch_size=20, learning_rate=0.05)
    assert evaluate(result.model, task.test)["accuracy"] == 1


@pytest.mark.slow
def test_a_quantum_model_learns_digits():
    task = load_task("digits")
    cell = tq.QRNNCell(8, tq.hardware_efficient(2), key=jax.random.key(0))
    model = tq.SequenceClassifier(cell, 10, key=jax.random.key(1))
    result = fit(model, task, epochs=6, learning_rate=0.02, progress=False)
    assert evaluate(result.model, task.test)["accuracy"] > 0.5
    losses = result.history["train_loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_patience_ends_a_run_that_no_longer_improves():
    frozen = fit(
        linear(), small_task(), epochs=9, learning_rate=0.0, patience=2, progress=False
    )
    assert frozen.best_epoch == 3
    assert len(frozen.history["train_loss"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"epochs": 1.5}, "epochs must be an integer >= 1, got 1.5"),
        ({"batch_size": 0}, r"batch_size must be an integer in \[1, 96\], got 0"),
        ({"batch_size": 97}, r"batch_size must be an integer in \[1, 96\], got 97"),
        ({"learning_rate": -1}, "learning_rate must be a finite number in"),
        ({"learning_rate": math.nan}, "learning_rate must be a finite number in"),
        ({"schedule": "step"}, r"schedule must be one of \['constant', 'cosine'\]"),
        ({"clip_norm": 0.0}, "clip_norm must be a finite number in"),
        ({"clip_norm": math.inf}, "clip_norm must be a finite number in"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"seed": 0.5}, "seed must be an integer >= 0, got 0.5"),
        ({"patience": 0}, "patience must be an integer >= 1, got 0"),
        ({"warmup_epochs": 40}, r"warmup_epochs must be an integer in \[0, 39\]"),
        ({"warmup_epochs": -1}, "warmup_epochs must be an integer in"),
        ({"update_limit": 0.0}, "update_limit must be a finite number in"),
        (
            {"schedule": optax.constant_schedule(0.1), "learning_rate": 0.1},
            "learning_rate and warmup_epochs must be left out when schedule is",
        ),
        (
            {"schedule": optax.constant_schedule(0.1), "warmup_epochs": 2},
            "must be left out when schedule is a function of the step, got None and 2",
        ),
        (
            {"callbacks": [3]},
            r"callbacks\[0\] must be a function of one Progress, got 3",
        ),
        ({"callbacks": print}, "callbacks must be a sequence, got <built-in"),
        ({"loggers": [print]}, r"loggers\[0\] must have the methods start, log and"),
    ],
)
def test_an_argument_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit(linear(), small_task(), progress=False, **options)


def test_a_model_that_does_not_fit_the_task_is_refused():
    task = small_task()
    with pytest.raises(ValueError, match="model must give at least 3 logits.* got 2"):
        fit(linear(n_classes=2), task, batch_size=9, progress=False)
    with pytest.raises(ValueError, match="model must give at least 3 logits.* got 2"):
        evaluate(linear(n_classes=2), task.test)
    cell = GRU(2, 3, key=jax.random.key(0))
    labeler = tq.SequenceLabeler(cell, 3, key=jax.random.key(1))
    message = "model must predict one class a sequence.* predicts one class a step"
    with pytest.raises(ValueError, match=message):
        fit(labeler, task, batch_size=9, progress=False)
    with pytest.raises(ValueError, match="model must have trainable arrays"):
        fit(eqx.nn.Identity(), task, progress=False)


@pytest.mark.parametrize("size", [1, 7, 30, 31, 1000])
def test_evaluation_covers_all_samples_whatever_the_batch(size):
    task, model = small_task(), linear()
    xs, ys = task.valid.inputs[:, -1].astype("float64"), task.valid.targets
    logits = xs @ np.asarray(model.weight)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = evaluate(model, task.valid, batch_size=size)
    assert scores["accuracy"] == np.mean(logits.argmax(axis=1) == ys)
    losses = -np.log(shares[np.arange(30), ys])
    assert scores["loss"] == pytest.approx(losses.mean(), rel=1e-12)


def test_evaluation_refuses_an_empty_batch():
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1, got 0"):
        evaluate(linear(), small_task().valid, batch_size=0)


def test_a_loss_that_is_not_finite_stops_with_its_step():
    model = eqx.tree_at(lambda m: m.bias, linear(), jnp.array([0.0, jnp.nan, 0.0]))
    message = "got loss nan and gradient norm nan at step 1, in epoch 1. No checkpoint"
    with pytest.raises(NonFiniteError, match=message) as caught:
        fit(model, small_task(), progress=False)
    assert isinstance(caught.value, FloatingPointError | ValueError)


@pytest.mark.parametrize("sample", [0, 50, 95])
def test_the_first_bad_step_is_named(sample):
    """One sample overflows: its step is known from the order of the batches."""
    points, targets = blobs()
    points[sample] = 3e38
    task = Task.from_arrays((points, targets), blobs(30), blobs(30))
    rows = shuffled_rows(96, 32, seed=5, epoch=1)
    step = 1 + int(np.argmax((rows == sample).any(axis=1)))
    model = linear(dtype="float32")
    model = eqx.tree_at(lambda m: m.weight, model, 100 * model.weight)
    with pytest.raises(NonFiniteError, match=f"at step {step}, in epoch 1"):
        fit(model, task, batch_size=32, seed=5, progress=False)


def test_a_validation_loss_that_is_not_finite_stops_too():
    points, targets = blobs(30, 1)
    task = Task.from_arrays(blobs(), (points * 1e38, targets), blobs())
    message = (
        "validation loss finite, got (nan|inf) after step 3, at the end of epoch 1"
    )
    with pytest.raises(NonFiniteError, match=message):
        fit(linear(dtype="float32"), task, batch_size=32, progress=False)
