"""Classical cells: their equations in NumPy, and sizes that match a budget."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tnqrnn as tq
from tnqrnn.model import cells
from tnqrnn.model.cells import KINDS, match_parameters, parameter_count

KIND = pytest.mark.parametrize("kind", sorted(KINDS))
DTYPE = pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)]
)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _rnn(cell, carry, x):
    pre = cell.from_input.weight @ x + cell.from_input.bias
    h = np.tanh(pre + cell.from_hidden.weight @ carry)
    return h, h


def _gru(cell, carry, x):
    """The reset gate acts after the matrix, as in cuDNN and equinox."""
    reset, update, new = np.split(cell.step.weight_ih @ x + cell.step.bias, 3)
    from_h = np.split(cell.step.weight_hh @ carry, 3)
    reset, update = _sigmoid(reset + from_h[0]), _sigmoid(update + from_h[1])
    new = np.tanh(new + reset * (from_h[2] + cell.step.bias_n))
    h = new + update * (carry - new)
    return h, h


def _lstm(cell, carry, x):
    pre = cell.step.weight_ih @ x + cell.step.weight_hh @ carry[0] + cell.step.bias
    take, forget, new, give = np.split(pre, 4)
    c = _sigmoid(forget) * carry[1] + _sigmoid(take) * np.tanh(new)
    h = _sigmoid(give) * np.tanh(c)
    return (h, c), h


EQUATIONS = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}


@KIND
@DTYPE
def test_a_roll_out_follows_the_equations(kind, dtype, tolerance, rng):
    cell = KINDS[kind](3, 4, dtype=dtype, key=jax.random.key(1))
    xs = rng.normal(size=(5, 3))
    plain = jax.tree.map(np.asarray, cell)
    carry, expected = jax.tree.map(np.asarray, cell.init()), []
    for x in xs.astype(dtype):
        carry, z = EQUATIONS[kind](plain, carry, x)
        expected.append(z)
    rollout = tq.unroll(cell, jnp.asarray(xs, dtype))
    assert rollout.readouts.dtype == dtype and rollout.truncation is None
    np.testing.assert_allclose(rollout.readouts, expected, atol=tolerance)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance),
        rollout.carry,
        carry,
    )
    halves = tq.unroll(cell, jnp.asarray(xs[:2], dtype))
    halves = tq.unroll(cell, jnp.asarray(xs[2:], dtype), carry=halves.carry)
    np.testing.assert_allclose(halves.readouts, expected[2:], atol=tolerance)
    with pytest.raises(ValueError, match=r"carry must be like the cell's init\(\)"):
        tq.unroll(cell, jnp.asarray(xs, dtype), carry="carry")


@KIND
def test_gradient_modes_agree_and_match_central_differences(kind, rng):
    cell = KINDS[kind](2, 3, dtype="float64", key=jax.random.key(2))
    xs = jnp.asarray(rng.normal(size=(2, 6, 2)))

    def loss(cell, gradient="auto"):
        return jnp.sum(tq.unroll(cell, xs, gradient=gradient).readouts ** 2)

    stored = eqx.filter_grad(loss)(cell)
    again = eqx.filter_grad(lambda cell: loss(cell, "checkpoint"))(cell)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), stored, again
    )
    step = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), cell)
    moved = [
        loss(jax.tree.map(lambda a, b, s=sign: a + s * 1e-5 * b, cell, step))
        for sign in (1, -1)
    ]
    along = sum(
        jnp.sum(a * b)
        for a, b in zip(jax.tree.leaves(stored), jax.tree.leaves(step), strict=True)
    )
    np.testing.assert_allclose((moved[0] - moved[1]) / 2e-5, along, rtol=1e-7)


@KIND
def test_the_heads_see_the_hidden_vector(kind):
    cell = KINDS[kind](2, 3, key=jax.random.key(0))
    z = jnp.arange(3.0)
    assert cell.features(z) is z
    assert (cell.input_size, cell.output_size) == (2, 3)
    model = tq.SequenceLabeler(cell, 5, key=jax.random.key(1))
    assert model(jnp.ones((4, 6, 2), "float32")).shape == (4, 6, 5)


@KIND
def test_what_a_classical_cell_cannot_do_is_said(kind):
    cell = KINDS[kind](2, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match=f"{type(cell).__name__}, a classical cell"):
        cell.with_backend(tq.Statevector())
    with pytest.raises(ValueError, match=r"one of \['auto', 'store', 'checkpoint'\]"):
        tq.unroll(cell, jnp.ones((1, 2), "float32"), gradient="reversible")


@KIND
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 0}, "input_size must be an integer >= 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be an integer >= 1, got 0"),
        ({"hidden_size": 2.5}, "hidden_size must be an integer >= 1, got 2.5"),
        ({"dtype": "float16"}, r"dtype must be one of \['float32', 'float64'\]"),
    ],
)
def test_a_size_or_type_out_of_range_is_refused(kind, arguments, message):
    good = {"input_size": 2, "hidden_size": 3, "key": jax.random.key(0)}
    with pytest.raises(ValueError, match=message):
        KINDS[kind](**good | arguments)


# Units at which a model of 1 input and 10 classes comes nearest to so many parameters,
# as published comparisons have them (LSTM, RNN; a GRU with one vector of biases more).
@pytest.mark.parametrize(
    ("kind", "n_params", "hidden_size"),
    [
        ("lstm", 5_000, 33),
        ("lstm", 16_000, 61),
        ("lstm", 70_000, 130),
        ("lstm", 137_000, 183),
        ("gru", 5_000, 38),
        ("gru", 16_000, 70),
        ("gru", 70_000, 150),
        ("gru", 137_000, 211),
        ("rnn", 5_000, 65),
        ("rnn", 16_000, 121),
        ("rnn", 70_000, 259),
        ("rnn", 137_000, 364),
    ],
)
def test_sizes_of_published_comparisons(kind, n_params, hidden_size):
    matched = match_parameters(kind, input_size=1, n_outputs=10, n_params=n_params)
    assert matched == hidden_size


def count_of(kind, input_size, hidden_size, n_outputs):
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[kind]
    cell = gates * hidden_size * (input_size + hidden_size + 1)
    cell += hidden_size if kind == "gru" else 0
    return cell + (n_outputs * (hidden_size + 1) if n_outputs else 0)


@KIND
@pytest.mark.parametrize("n_outputs", [None, 10])
def test_a_model_matches_itself(kind, n_outputs):
    for hidden_size in (1, 2, 17):
        cell = KINDS[kind](8, hidden_size, key=jax.random.key(0))
        model = cell
        if n_outputs:
            model = tq.SequenceClassifier(cell, n_outputs, key=jax.random.key(1))
        n_params = parameter_count(model)
        assert n_params == count_of(kind, 8, hidden_size, n_outputs)
        sizes = {"input_size": 8, "n_outputs": n_outputs, "n_params": n_params}
        assert match_parameters(kind, **sizes) == hidden_size


@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(1, 50),
    st.none() | st.integers(1, 50),
    st.integers(1, 10**4),
)
def test_no_other_hidden_size_comes_nearer(kind, input_size, n_outputs, n_params):
    sizes = {"input_size": input_size, "n_outputs": n_outputs, "n_params": n_params}
    hidden = match_parameters(kind, **sizes)

    def distance(size):
        return abs(count_of(kind, input_size, size, n_outputs) - n_params)

    assert hidden >= 1
    for other in (hidden - 1, hidden + 1):
        assert other < 1 or distance(hidden) <= distance(other)


def test_any_class_with_a_hidden_size_is_matched():
    class Own(cells.AbstractClassicalCell):
        """2 F h parameters, or F h."""

        input_size: int
        hidden_size: int
        context_size: int
        weights: jax.Array

        def __init__(self, input_size, hidden_size, *, context_size=0, n_rows=2, key):
            self.input_size, self.hidden_size = input_size, hidden_size
            self.context_size = context_size
            shape = (n_rows, input_size, hidden_size)
            self.weights = jax.random.normal(key, shape, "float32")

        def init(self):
            return jnp.zeros(self.hidden_size, "float32")

        def __call__(self, carry, x, *, context=None, key=None):
            return carry, carry

    sizes = {"input_size": 3, "n_params": 597}
    assert match_parameters(Own, **sizes) == 99  # 594, and 600 is as near
    assert match_parameters(Own, **sizes, n_rows=1) == 199
    assert match_parameters(Own, **sizes, n_outputs=4) == 59  # 6 h + 4 (h + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "qrnn"}, r"kind must be one of \['gru', 'lstm', 'rnn'\], got 'qrnn'"),
        ({"kind": tq.QRNNCell}, "kind must be a class .* hidden_size, got QRNNCell"),
        ({"n_params": 0}, "n_params must be an integer >= 1, got 0"),
        ({"input_size": 0}, "input_size must be an integer >= 1, got 0"),
        ({"n_outputs": 0}, "n_outputs must be an integer >= 1, got 0"),
        ({"context_size": -1}, "context_size must be an integer >= 0, got -1"),
    ],
)
def test_matching_refuses_numbers_without_meaning(change, message):
    good = {"kind": "rnn", "input_size": 1, "n_outputs": 2, "n_params": 9}
    with pytest.raises(ValueError, match=message):
        match_parameters(**good | change)


def test_the_count_is_of_trainable_values_alone():
    assert parameter_count({"a": jnp.ones((2, 3)), "b": jnp.arange(4), "c": "x"}) == 6
    assert parameter_count(cells.RNN(2, 3, key=jax.random.key(0))) == 6 + 9 + 3
