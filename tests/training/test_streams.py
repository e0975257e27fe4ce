"""Streams that are trained and scored window by window, and numbers to predict."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tnqrnn as tq
from tnqrnn.tasks import Batch, LanguageModelling, Stream
from tnqrnn.training import chunks
from tnqrnn.training.programs import predict

N_TOKENS = 5
OPTIONS = {"batch_size": 4, "progress": False, "update_limit": None}


def make_model(kind="gru", **options):
    keys = jax.random.split(jax.random.key(0))
    if kind == "qrnn":
        cell = tq.QRNNCell(
            3,
            tq.hardware_efficient(2, n_layers=1),
            controller=tq.Controller(hidden=(4,)),
            backend=tq.Statevector("complex128"),
            key=keys[0],
        )
    else:
        cell = tq.cells.KINDS[kind](3, 6, dtype="float64", key=keys[0])
    return tq.LanguageModel(cell, N_TOKENS, key=keys[1], **options)


def cycle(n, seed=0):
    """Each token is two more than the last, but for some noise."""
    rng = np.random.default_rng(seed)
    tokens = np.arange(n) * 2 % N_TOKENS
    return np.where(rng.uniform(size=n) < 0.05, rng.integers(N_TOKENS, size=n), tokens)


def make_task(window=7, n=230, **options):
    return tq.Task.from_stream(
        cycle(n),
        cycle(60, 1),
        cycle(61, 2),
        n_tokens=N_TOKENS,
        window=window,
        **options,
    )


@given(st.integers(2, 90), st.integers(1, 9), st.integers(1, 12), st.booleans())
def test_every_pair_of_neighbours_counts_once(n, window, batch_size, carry):
    objective = LanguageModelling(200, window, carry=carry)
    tokens = np.arange(n)
    if n - 1 < window:
        with pytest.raises(ValueError, match="tokens must be at least"):
            Stream(tokens, objective)
        return
    split = Stream(tokens, objective)
    data = objective.arrange(split, batch_size)
    counted = []
    for step in objective.scoring_steps(split, batch_size):
        batch = objective.batch(jax.tree.map(jnp.asarray, data), jnp.asarray(step))
        real = np.asarray(batch.weights) > 0
        assert batch.inputs.shape == (batch_size, window)
        np.testing.assert_array_equal(
            np.asarray(batch.targets)[real], np.asarray(batch.inputs)[real] + 1
        )
        counted += list(np.asarray(batch.inputs)[real])
    assert sorted(counted) == list(range(n - 1))


@pytest.mark.parametrize("kind", ["qrnn", "gru", "lstm"])
def test_window_by_window_is_the_whole(kind):
    model, tokens = make_model(kind), cycle(25)[None]
    whole = model(tokens)
    carry, parts = model.start(1), []
    for start in range(0, 25, 5):
        window = Batch(jnp.asarray(tokens[:, start : start + 5]), None, None, None)
        given = predict(model, window, carry=carry)
        carry = given.carry
        parts.append(given.outputs)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12)


@pytest.mark.parametrize("kind", ["qrnn", "gru"])
@pytest.mark.parametrize("window", [3, 10, 59])
def test_one_row_is_scored_with_all_of_its_context(kind, window):
    model, task = make_model(kind), make_task(window)
    tokens = task.valid.tokens
    logs = jax.nn.log_softmax(model(tokens[None, :-1]))[0]
    nats = -float(logs[np.arange(59), tokens[1:]].mean())
    scores = tq.evaluate(model, task.valid, batch_size=1)
    assert scores["loss"] == pytest.approx(nats, rel=1e-10)
    assert scores["perplexity"] == pytest.approx(math.exp(nats), rel=1e-10)
    assert scores["bits_per_character"] == pytest.approx(nats / math.log(2), rel=1e-10)
    word = LanguageModelling(N_TOKENS, window, "word")
    words = tq.evaluate(model, Stream(tokens, word), batch_size=1)
    assert "bits_per_character" not in words
    assert words["loss"] == scores["loss"]


def test_a_stream_shorter_than_the_batch_is_scored():
    model, task = make_model("gru"), make_task()
    short = Stream(task.valid.tokens[:20], task.valid.objective)
    scores = [tq.evaluate(model, short, batch_size=size) for size in (19, 20, 64)]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("kind", ["qrnn", "gru"])
def test_without_a_carry_a_window_knows_its_own_tokens_alone(kind):
    model, task = make_model(kind), make_task(window=10, carry=False)
    tokens = task.valid.tokens  # 59 pairs: five windows and one of nine steps
    parts = [tokens[start : start + 11] for start in range(0, 60, 10)]
    logs = [jax.nn.log_softmax(model(part[None, :-1]))[0] for part in parts]
    nats = [
        -float(log[row, token])
        for log, part in zip(logs, parts, strict=True)
        for row, token in enumerate(part[1:])
    ]
    scores = tq.evaluate(model, task.valid, batch_size=1)
    assert len(nats) == 59
    assert scores["loss"] == pytest.approx(np.mean(nats), rel=1e-10)


def test_windows_without_a_carry_are_drawn_in_another_order_every_epoch():
    split = make_task(carry=False).train
    objective, steps = split.objective, {}
    for seed, epoch in ((0, 1), (0, 2), (1, 1)):
        order = objective.training_steps(split, 4, seed=seed, epoch=epoch)
        again = objective.training_steps(split, 4, seed=seed, epoch=epoch)
        np.testing.assert_array_equal(order, again)
        assert sorted(order) == list(objective.scoring_steps(split, 4))
        steps[seed, epoch] = tuple(order)
    assert len(set(steps.values())) == 3
    carried = make_task().train
    kept = carried.objective.training_steps(carried, 4, seed=0, epoch=2)
    np.testing.assert_array_equal(kept, carried.objective.scoring_steps(carried, 4))


def test_the_gradient_stops_at_a_window_and_the_state_does_not():
    """The first steps of training, by hand, with plain gradient descent."""
    optax = pytest.importorskip("optax")
    model, task = make_model("gru"), make_task(window=7, n=30)
    fitted = tq.fit(
        model,
        task,
        epochs=1,
        optimizer=optax.sgd(0.1),
        clip_norm=None,
        **OPTIONS | {"batch_size": 1},
    )
    import equinox as eqx

    params, static = eqx.partition(model, eqx.is_inexact_array)
    tokens, carry = task.train.tokens, model.start(1)
    for start in range(0, 29, 7):
        inputs = tokens[None, start : min(start + 7, 29)]
        targets = tokens[start + 1 : start + 1 + inputs.shape[1]]

        def loss(params, carry=carry, inputs=inputs, targets=targets):
            logits, rollout = eqx.combine(params, static).rollout(inputs, carry=carry)
            logs = jax.nn.log_softmax(logits)[0]
            rows = jnp.arange(len(targets))
            return -logs[rows, jnp.asarray(targets)].mean(), rollout.carry

        grads, carry = jax.grad(loss, has_aux=True)(params)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
    for a, b in zip(*map(jax.tree.leaves, (fitted.last, params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_language_model_learns_and_is_judged_by_perplexity():
    task = make_task()
    fitted = tq.fit(make_model(), task, epochs=12, learning_rate=0.03, **OPTIONS)
    history = fitted.history["valid_perplexity"]
    assert fitted.best_epoch == 1 + int(np.argmin(history))
    scores = tq.evaluate(fitted.model, task.test, batch_size=4)
    assert scores["perplexity"] < 0.5 * N_TOKENS
    assert history[fitted.best_epoch - 1] == pytest.approx(
        tq.evaluate(fitted.model, task.valid, batch_size=4)["perplexity"]
    )


@pytest.mark.parametrize(("kind", "carry"), [("qrnn", True), ("gru", False)])
def test_a_stream_stopped_between_windows_resumes_to_the_same_bits(
    kind, carry, tmp_path, monkeypatch
):
    monkeypatch.setattr(chunks, "SECONDS_A_CHUNK", 0.0)
    task, model = make_task(carry=carry), make_model(kind, dropout=0.2)
    options = OPTIONS | {"epochs": 2}

    def stop(progress):
        return progress.step == 5

    whole = tq.fit(model, task, **options)
    first = tq.fit(model, task, directory=tmp_path, callbacks=[stop], **options)
    assert not first.history
    second = tq.fit(model, task, directory=tmp_path, **options)
    for a, b in zip(*map(jax.tree.leaves, (whole.last, second.last)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.history["train_loss"] == second.history["train_loss"]


@pytest.mark.parametrize("per_step", [False, True])
def test_a_time_series_is_predicted(per_step):
    rng = np.random.default_rng(0)
    xs = rng.uniform(-1, 1, size=(120, 5, 1))
    delayed = np.concatenate([np.zeros((120, 1, 1)), xs[:, :-1]], axis=1)
    targets = 0.7 * delayed if per_step else 0.7 * delayed[:, -1]
    parts = [(xs[rows], targets[rows]) for rows in (slice(90), slice(90, 105))]
    task = tq.Task.from_arrays(*parts, (xs[105:], targets[105:]))
    assert (task.kind, task.n_outputs, task.n_classes) == ("regress", 1, None)
    cell = tq.cells.GRU(1, 8, key=jax.random.key(0))
    pool = None if per_step else "last"
    model = tq.SequenceRegressor(cell, 1, pool=pool, key=jax.random.key(1))
    before = tq.evaluate(model, task.test)
    fitted = tq.fit(
        model, task, epochs=40, batch_size=30, learning_rate=0.03, progress=False
    )
    after = tq.evaluate(fitted.model, task.test)
    outputs = np.asarray(fitted.model(task.test.inputs))
    error = np.mean((outputs - task.test.targets) ** 2)
    assert after["mean_squared_error"] == pytest.approx(error, rel=1e-5)
    assert after["loss"] == after["mean_squared_error"] < 0.2 * before["loss"]
    assert fitted.history["valid_mean_squared_error"][fitted.best_epoch - 1] == min(
        fitted.history["valid_mean_squared_error"]
    )


def test_what_does_not_fit_together_is_refused_before_training():
    task = make_task()
    gru = tq.cells.GRU(3, 4, key=jax.random.key(0))
    classifier = tq.SequenceClassifier(gru, 5, key=jax.random.key(1))
    with pytest.raises(ValueError, match="model must predict the next token, as the"):
        tq.fit(classifier, task, **OPTIONS)
    floats = (np.zeros((9, 2, 3)), np.zeros(9))
    regression = tq.Task.from_arrays(floats, floats, floats)
    with pytest.raises(ValueError, match="model must predict numbers, as the targets"):
        tq.fit(classifier, regression, **OPTIONS)
    with pytest.raises(ValueError, match="model must predict numbers, as the targets"):
        tq.evaluate(classifier, regression.test)
    small = tq.LanguageModel(gru, 4, key=jax.random.key(1))
    with pytest.raises(ValueError, match=r"xs must be token ids in \[0, 4\), got"):
        tq.fit(small, task, **OPTIONS)
    with pytest.raises(ValueError, match="carry must be True or False, got 1"):
        make_task(carry=1)
    with pytest.raises(ValueError, match="train: tokens must be at least 8, one more"):
        tq.Task.from_stream(cycle(7), cycle(60), cycle(60), window=7)
    with pytest.raises(ValueError, match="valid: tokens must be < n_tokens = 3, got 4"):
        tq.Task.from_stream([0, 1, 2] * 9, cycle(60), cycle(60), n_tokens=3, window=7)
    network = tq.QRNNCell(
        3, tq.hardware_efficient(2), backend=tq.Network(), key=jax.random.key(0)
    )
    grows = tq.LanguageModel(network, N_TOKENS, key=jax.random.key(1))
    with pytest.raises(ValueError, match="must have a carry of fixed size"):
        tq.fit(grows, task, **OPTIONS)
    with pytest.raises(ValueError, match="model must be one of the library's sequence"):
        sentences = {"inputs": np.zeros((9, 2, 3)), "targets": [0, 1, 2] * 3}
        sentences |= {"lengths": [1, 2, 1] * 3}
        plain = tq.Task.from_arrays(sentences, sentences, sentences)
        from small_training import linear

        tq.fit(linear(3), plain, **OPTIONS)


def test_sentences_of_token_ids_are_classified():
    """The class is whether token 3 occurs; padding holds ids out of range."""
    rng = np.random.default_rng(0)
    ids = rng.choice([0, 1, 2, 4], size=(200, 6))
    lengths = rng.integers(2, 7, size=200)
    targets = rng.integers(2, size=200)
    places = (rng.uniform(size=200) * lengths).astype(int)
    ids[np.arange(200), places] = np.where(targets, 3, 0)
    ids[np.arange(6)[None, :] >= lengths[:, None]] = -7
    parts = [
        {"inputs": ids[rows], "targets": targets[rows], "lengths": lengths[rows]}
        for rows in (slice(140), slice(140, 170), slice(170, 200))
    ]
    task = tq.Task.from_arrays(*parts)
    assert (task.kind, task.n_tokens, task.input_size) == ("classify", 5, None)
    cell = tq.cells.GRU(4, 8, key=jax.random.key(0))
    model = tq.SequenceClassifier(
        cell, 2, embedding=(5, 4), pool="max", key=jax.random.key(1)
    )
    fitted = tq.fit(
        model, task, epochs=25, batch_size=20, learning_rate=0.03, progress=False
    )
    assert tq.evaluate(fitted.model, task.test)["accuracy"] > 0.95
