"""Text drawn from a language model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tnqrnn as tq

N_TOKENS = 5


def make_model(backend=None, kind="qrnn"):
    keys = jax.random.split(jax.random.key(3))
    if kind == "gru":
        cell = tq.cells.GRU(3, 4, dtype="float64", key=keys[0])
    else:
        cell = tq.QRNNCell(
            3,
            tq.hardware_efficient(3),
            controller=tq.Controller("tanh", (8,), init_scale=3.0),
            backend=backend or tq.Statevector("complex128"),
            key=keys[0],
        )
    return tq.LanguageModel(cell, N_TOKENS, key=keys[1])


@pytest.mark.parametrize("kind", ["qrnn", "gru"])
def test_at_temperature_zero_each_token_is_the_most_probable(kind):
    model, text = make_model(kind=kind), [[1, 4, 2], [0, 0, 3]]
    actual = tq.generate(model, text, 6, temperature=0)
    expected = np.array(text)
    for _ in range(6):  # the whole text anew for every token
        logits = model(expected)[:, -1]
        expected = np.concatenate([expected, logits.argmax(-1)[:, None]], axis=1)
    np.testing.assert_array_equal(actual, expected[:, 3:])
    assert actual.dtype == np.int32
    alone = tq.generate(model, text[0], 6, temperature=0)
    np.testing.assert_array_equal(alone, actual[0])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_tokens_are_as_frequent_as_they_are_probable(temperature):
    model, n = make_model(), 4000
    prompt = np.tile([[2, 0]], (n, 1))
    tokens = tq.generate(
        model, prompt, 2, temperature=temperature, key=jax.random.key(0)
    )
    logits = model(jnp.asarray([[2, 0]]))[0, -1] / temperature
    expected = np.asarray(jax.nn.softmax(logits))
    counts = np.bincount(tokens[:, 0], minlength=N_TOKENS)
    sigma = np.sqrt(n * expected * (1 - expected))
    assert (np.abs(counts - n * expected) < 5 * sigma).all()
    # the second token, given the first
    for first in range(N_TOKENS):
        rows = tokens[tokens[:, 0] == first, 1]
        given = model(jnp.asarray([[2, 0, first]]))[0, -1] / temperature
        expected = np.asarray(jax.nn.softmax(given))
        sigma = np.sqrt(len(rows) * expected * (1 - expected))
        counts = np.bincount(rows, minlength=N_TOKENS)
        assert (np.abs(counts - len(rows) * expected) <= 5 * sigma + 1e-9).all()


def test_a_sample_draws_from_key_number_and_step_alone():
    model, key = make_model(tq.MPS(2, dtype="complex128")), jax.random.key(7)
    prompt = np.array([[1, 2], [3, 0], [1, 2]])
    whole = tq.generate(model, prompt, 9, key=key)
    np.testing.assert_array_equal(tq.generate(model, prompt, 9, key=key), whole)
    np.testing.assert_array_equal(tq.generate(model, prompt, 4, key=key), whole[:, :4])
    np.testing.assert_array_equal(tq.generate(model, prompt[:2], 9, key=key), whole[:2])
    assert (whole[0] != whole[2]).any()  # the same prompt, another number
    other = tq.generate(model, prompt, 9, key=jax.random.key(8))
    assert (other != whole).any()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0], 0), {}, "n_steps must be an integer >= 1, got 0"),
        (
            ([0], 2),
            {"temperature": -1.0},
            r"temperature .* in \[0.001, inf\], got -1",
        ),
        (([0], 2), {"key": None}, "key must be given for temperature=1.0, got None"),
        (([5], 2), {}, r"xs must be token ids in \[0, 5\), got values from 5 to 5"),
        (([], 2), {}, r"prompt must be token ids, .* of shape \(0,\)"),
        (([0.5], 2), {}, "prompt must be token ids, .* got float64 values"),
        (([[[0]]], 2), {}, r"prompt must be .* shape \(1, 1, 1\)"),
    ],
)
def test_bad_arguments_are_refused(arguments, options, message):
    options = {"key": jax.random.key(0)} | options
    with pytest.raises(ValueError, match=message):
        tq.generate(make_model(), *arguments, **options)


def test_other_models_are_refused():
    gru = tq.cells.GRU(3, 4, key=jax.random.key(0))
    classifier = tq.SequenceClassifier(gru, 2, key=jax.random.key(1))
    with pytest.raises(ValueError, match="model must be an instance of LanguageModel"):
        tq.generate(classifier, [0], 2, temperature=0)
    with pytest.raises(ValueError, match="model must have a carry of fixed size"):
        tq.generate(make_model(tq.Network("complex128")), [0], 2, temperature=0)
