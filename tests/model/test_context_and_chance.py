"""Context that every step reads, and chance from a key."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import REVERSIBLE_CLOSED

import tnqrnn as tq
from tnqrnn.backends.statevector import backend as statevector

B, T = 3, 5
real = {"complex64": "float32", "complex128": "float64"}
dtypes = pytest.mark.parametrize("dtype", real)


def make_cell(dtype="complex128", *, backend=None, dropout=0.0, context_size=2):
    return tq.QRNNCell(
        2,
        tq.hardware_efficient(4, n_layers=1),
        controller=tq.Controller("tanh", (8,), init_scale=2.0, dropout=dropout),
        backend=backend or tq.Statevector(dtype),
        context_size=context_size,
        key=jax.random.key(0),
    )


def make_arrays(dtype="complex128"):
    keys = jax.random.split(jax.random.key(1))
    xs = jax.random.normal(keys[0], (B, T, 2), real[dtype])
    return xs, jax.random.normal(keys[1], (B, 2), real[dtype])


@eqx.filter_jit
def gradients(cell, xs, context, mode, key=None, lengths=None):
    """By parameters, inputs and context."""

    def loss(everything):
        cell, xs, context = everything
        rollout = tq.unroll(
            cell, xs, context=context, gradient=mode, key=key, lengths=lengths
        )
        return jnp.sum(jnp.sin(rollout.readouts[:, 1:] * 2))

    return eqx.filter_grad(loss)((cell, xs, context))


def relative_errors(actual, expected):
    return [
        float(jnp.linalg.norm((a - e).ravel()) / jnp.linalg.norm(e.ravel()))
        for a, e in zip(*map(jax.tree.leaves, (actual, expected)), strict=True)
    ]


@dtypes
@pytest.mark.parametrize("lengths", [None, (5, 2, 3)])
def test_the_reversible_gradient_by_context_is_the_stored_one(dtype, lengths):
    cell, arrays = make_cell(dtype), make_arrays(dtype)
    lengths = None if lengths is None else jnp.array(lengths)
    expected = gradients(cell, *arrays, "store", lengths=lengths)
    assert min(jnp.abs(leaf).max() for leaf in jax.tree.leaves(expected)) > 0
    for mode in ("checkpoint", "reversible"):
        actual = gradients(cell, *arrays, mode, lengths=lengths)
        assert max(relative_errors(actual, expected)) < REVERSIBLE_CLOSED[dtype]


def test_context_is_an_input_that_stays():
    """A context gives what the same numbers in every x give, weights moved along."""
    cell, (xs, context) = make_cell(), make_arrays()
    joined = tq.QRNNCell(
        4,
        cell.ansatz,
        controller=cell.controller,
        backend=cell.backend,
        key=jax.random.key(0),
    )
    weight = cell.network.layers[0].weight  # columns [x; z; c]
    columns = jnp.concatenate([weight[:, :2], weight[:, -2:], weight[:, 2:-2]], axis=1)
    joined = eqx.tree_at(lambda c: c.network, joined, cell.network)
    joined = eqx.tree_at(lambda c: c.network.layers[0].weight, joined, columns)
    repeated = jnp.broadcast_to(context[:, None], (B, T, 2))
    expected = tq.unroll(joined, jnp.concatenate([xs, repeated], axis=-1)).readouts
    actual = tq.unroll(cell, xs, context=context).readouts
    np.testing.assert_allclose(actual, expected, atol=1e-10)
    alone = tq.unroll(cell, xs[1], context=context[1]).readouts
    np.testing.assert_allclose(alone, expected[1], atol=1e-10)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_classical_cells_read_context_too(kind):
    cell = tq.cells.KINDS[kind](
        2, 3, context_size=2, dtype="float64", key=jax.random.key(0)
    )
    xs, context = make_arrays()
    repeated = jnp.broadcast_to(context[:, None], (B, T, 2))
    joined = tq.cells.KINDS[kind](4, 3, dtype="float64", key=jax.random.key(0))
    expected = tq.unroll(joined, jnp.concatenate([xs, repeated], axis=-1)).readouts
    actual = tq.unroll(cell, xs, context=context).readouts
    np.testing.assert_allclose(actual, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "context", "message"),
    [
        (2, np.full((3, 2), np.nan), "context must be finite, got 6 NaN"),
        (2, None, r"context must be of shape \(3, 2\) .* got None"),
        (2, np.zeros((3, 1)), r"context must be of shape \(3, 2\) .* got \(3, 1\)"),
        (2, np.zeros(2), r"context must be of shape \(3, 2\) .* got \(2,\)"),
        (0, np.zeros((3, 2)), r"context must be None .*context_size=0, got \(3, 2\)"),
    ],
)
def test_a_context_of_another_length_is_refused(size, context, message):
    cell = make_cell(context_size=size)
    with pytest.raises(ValueError, match=message):
        tq.unroll(cell, make_arrays()[0], context=context)


def test_without_a_key_nothing_is_random():
    cell, (xs, context) = make_cell(dropout=0.5), make_arrays()
    plain = make_cell(dropout=0.0)
    for gradient in ("reversible", "store"):
        a, b = (
            tq.unroll(c, xs, context=context, gradient=gradient).readouts
            for c in (cell, plain)
        )
        np.testing.assert_array_equal(a, b)


@dtypes
def test_chance_is_the_same_forward_and_backward(dtype):
    cell, arrays = make_cell(dtype, dropout=0.4), make_arrays(dtype)
    key = jax.random.key(5)
    expected = gradients(cell, *arrays, "store", key)
    for mode in ("checkpoint", "reversible"):
        actual = gradients(cell, *arrays, mode, key)
        assert max(relative_errors(actual, expected)) < REVERSIBLE_CLOSED[dtype]
    other = gradients(cell, *arrays, "store", jax.random.key(6))
    assert max(relative_errors(other, expected)) > 0.01


def test_every_sample_and_step_draws_for_itself():
    """Equal samples differ, and so do the steps of a cell that forgets."""
    cell = make_cell(dropout=0.5, context_size=0)
    xs = jnp.broadcast_to(jnp.ones(2), (B, T, 2))
    zs = tq.unroll(cell, xs, key=jax.random.key(0)).readouts
    assert len({tuple(np.round(z[0], 6)) for z in np.asarray(zs)}) == B


@pytest.mark.parametrize("at_once", [1, 2])
def test_chance_does_not_depend_on_how_a_batch_is_cut(at_once, monkeypatch):
    cell, (xs, context) = make_cell(dropout=0.4), make_arrays()
    key = jax.random.key(5)
    together = tq.unroll(cell, xs, context=context, key=key).readouts
    jax.clear_caches()  # the constants are no arguments of the compiled programs
    monkeypatch.setattr(statevector, "SMALLEST_GROUP", at_once)
    monkeypatch.setattr(statevector, "AMPLITUDES_AT_ONCE", at_once * 2**4)
    apart = tq.unroll(cell, xs, context=context, key=key).readouts
    jax.clear_caches()
    np.testing.assert_allclose(apart, together, atol=1e-12)
    first = tq.unroll(cell, xs[:1], context=context[:1], key=key).readouts
    np.testing.assert_allclose(first[0], together[0], atol=1e-12)


def test_dropout_of_heads_and_embeddings_needs_a_key():
    cell = tq.cells.GRU(4, 50, key=jax.random.key(0))
    model = tq.SequenceClassifier(
        cell, 2, embedding=(7, 4), dropout=0.5, key=jax.random.key(1)
    )
    ids = np.array([[1, 2, 6], [0, 3, 5]])
    logits = model(ids)
    np.testing.assert_array_equal(logits, model(ids))
    dropped = [model(ids, key=jax.random.key(i)) for i in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert np.abs(dropped[0] - dropped[2]).max() > 1e-3
    mean = np.mean([model(ids, key=jax.random.key(i)) for i in range(300)], axis=0)
    assert np.abs(mean - logits).max() < 0.1  # its scale keeps the mean, nearly


def test_an_embedding_is_a_table_of_inputs():
    cell = make_cell(context_size=0)
    model = tq.SequenceLabeler(cell, 3, embedding=(5, 2), key=jax.random.key(1))
    ids = np.array([[4, 0, 2], [1, 1, 3]])
    table = np.asarray(model.embedding.weight)
    features = tq.SequenceLabeler(cell, 3, key=jax.random.key(1))
    features = eqx.tree_at(lambda m: m.head, features, model.head)
    np.testing.assert_allclose(model(ids), features(table[ids]), atol=1e-12)
    padded = model([[4, 99, -5], [1, 1, 3]], lengths=[1, 3])
    np.testing.assert_allclose(padded[0, 0], model(ids)[0, 0], atol=1e-12)
    for bad in ([[5, 0, 0]], [[-1, 0, 0]]):
        with pytest.raises(ValueError, match=r"xs must be token ids in \[0, 5\), got"):
            model(np.array(bad))
    with pytest.raises(ValueError, match="xs must be token ids, integers of shape"):
        model(np.zeros((2, 3, 2)))
    with pytest.raises(ValueError, match="embedding must be of the cell's input_size"):
        tq.SequenceLabeler(cell, 3, embedding=(5, 3), key=jax.random.key(1))
    with pytest.raises(ValueError, match="embedding must be .n_tokens, size. or None"):
        tq.SequenceLabeler(cell, 3, embedding=5, key=jax.random.key(1))


def test_a_tied_head_is_the_embedding():
    cell = make_cell(context_size=0)
    model = tq.LanguageModel(cell, 6, tied=True, key=jax.random.key(1))
    ids = np.array([[4, 0, 2]])
    z = tq.unroll(cell, model.embedding.weight[ids]).readouts
    seen = z @ model.head.weight.T + model.head.bias[None, None]
    np.testing.assert_allclose(model(ids), seen @ model.embedding.weight.T, atol=1e-10)
    assert tq.LanguageModel(cell, 6, key=jax.random.key(1))(ids).shape == (1, 3, 6)


def test_second_derivatives_go_through_stored_modes_or_say_so():
    cell, (xs, context) = make_cell(), make_arrays()

    def loss(scale, mode):
        rollout = tq.unroll(cell, scale * xs, context=context, gradient=mode)
        return jnp.sum(rollout.readouts[:, -1])

    one = jnp.asarray(1.0)
    expected = jax.hessian(lambda s: loss(s, "store"))(one)
    actual = jax.hessian(lambda s: loss(s, "reversible"))(one)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    with pytest.raises(TypeError, match="gradient must be 'store' or 'checkpoint' for"):
        jax.jacfwd(lambda s: loss(s, "reversible"))(one)
