"""Model files: other people's classes, other backends, earlier versions, damage."""

import dataclasses
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT

import tnqrnn as tq

FILES = Path(__file__).parent / "files_0.1.0"
KEYS = jax.random.split(jax.random.key(0))
XS = np.linspace(-1, 1, 2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)


@dataclasses.dataclass(frozen=True)
class OwnBackend(tq.AbstractBackend):
    """A user's own backend, with fields that JSON holds and one that it does not."""

    dtype: str = "complex64"
    max_bond: int = 3
    depth: float = 0.5
    rule: object = np.linalg.norm

    @property
    def inner(self):
        return tq.Statevector(self.dtype)

    def init(self, n_qubits):
        return self.inner.init(n_qubits)

    def evolve(self, ansatz, angles, state):
        return self.inner.evolve(ansatz, angles, state)

    def expectation(self, observables, state):
        return self.inner.expectation(observables, state)

    def to_statevector(self, state):
        return self.inner.to_statevector(state)


class OwnCell(tq.cells.AbstractClassicalCell):
    """A user's own cell: a parameter, integers, a constant, a function, options."""

    input_size: int
    hidden_size: int
    weight: jax.Array
    order: jax.Array
    constant: np.ndarray
    function: object = eqx.field(static=True)
    options: tuple = eqx.field(static=True)

    def __init__(self, hidden_size=4, *, options=(0.5, None), dtype="float32", seed=0):
        keys = jax.random.split(jax.random.key(seed))
        self.input_size, self.hidden_size = 3, hidden_size
        self.weight = jax.random.normal(keys[0], (hidden_size, 3), dtype)
        self.order = jax.random.permutation(keys[1], 3)
        self.constant = np.arange(hidden_size, dtype=dtype)
        self.function = jnp.tanh
        self.options = options

    def init(self):
        return jnp.zeros_like(self.weight[:, 0])

    def __call__(self, carry, x):
        x = x.astype(self.weight.dtype)
        z = self.function(self.weight @ x[self.order] + carry + self.constant)
        return z, z


class Numeric(tq.cells.AbstractClassicalCell):
    """A registered cell whose constructor needs the entries of its arrays."""

    input_size: int
    hidden_size: int
    weight: jax.Array

    def __init__(self, input_size, hidden_size, *, key):
        self.input_size, self.hidden_size = input_size, hidden_size
        weight = np.asarray(jax.random.normal(key, (hidden_size, input_size)))
        self.weight = jnp.asarray(weight / np.abs(weight).max())

    def init(self):
        return jnp.zeros(self.hidden_size)

    def __call__(self, carry, x):
        z = carry + self.weight @ x
        return z, z


def own_model(**options):
    return tq.SequenceClassifier(OwnCell(**options), 5, key=KEYS[1])


def quantum_model(backend):
    cell = tq.QRNNCell(3, tq.hardware_efficient(3), backend=backend, key=KEYS[0])
    return tq.SequenceClassifier(cell, 5, key=KEYS[1])


@pytest.mark.parametrize("name", ["qrnn_mps", "lstm"])
def test_files_of_0_1_0_are_read(name):
    model = tq.load(FILES / f"{name}.npz")
    with np.load(FILES / "logits.npz") as logits:
        np.testing.assert_allclose(model(XS), logits[name], atol=EXACT["complex64"])


def test_what_a_file_of_0_1_0_says_is_kept(tmp_path):
    model = tq.load(FILES / "qrnn_mps.npz")
    cell = model.cell
    assert cell.backend == tq.MPS(2, cutoff=1e-6) and model.gradient == "store"
    assert cell.ansatz == tq.hardware_efficient(4, 1, topology="ring")
    assert cell.controller == tq.Controller(
        "glu", (5,), embedding_size=2, init_scale=0.5
    )
    assert cell.readout == "learned" and cell.feedback
    assert cell.observables == tq.parse_observables(["Z0", "X1 Y3", "I"], 4)
    assert eqx.tree_equal(tq.load(tq.save(model, tmp_path / "new.npz")), model)
    on_network = tq.load(FILES / "qrnn_mps.npz", backend=tq.Network())
    assert eqx.tree_equal(on_network, model.with_backend(tq.Network()))


def test_a_model_is_loaded_onto_another_backend(tmp_path):
    model = quantum_model(tq.MPS(2))
    path = tq.save(model, tmp_path / "model.npz")
    for backend in (tq.Statevector(), tq.MPS(4), tq.Statevector("complex128")):
        loaded = tq.load(path, backend=backend)
        assert eqx.tree_equal(loaded, model.with_backend(backend))
    double = tq.save(model.with_backend(tq.MPS(2, dtype="complex128")), path)
    assert eqx.tree_equal(tq.load(double, backend=tq.MPS(2)), model)


def test_a_classical_model_has_no_backend(tmp_path):
    with pytest.raises(ValueError, match="backend must be left alone for LSTM"):
        tq.load(FILES / "lstm.npz", backend=tq.MPS(2))
    with pytest.raises(ValueError, match="backend must be an instance of .*, got str"):
        tq.load(FILES / "lstm.npz", backend="mps")


def test_a_model_on_a_backend_of_one_s_own(tmp_path):
    model = quantum_model(OwnBackend(depth=0.25))
    path = tq.save(model, tmp_path / "model.npz")
    described = tq.describe(model.cell.backend)
    assert (described.name, described.max_bond) == ("OwnBackend", 3)
    assert described.options == {"depth": 0.25, "rule": {"function": "norm"}}
    with pytest.raises(ValueError, match="backend must be given .*'OwnBackend'"):
        tq.load(path)
    for backend in (OwnBackend(depth=0.25), OwnBackend(depth=1.0), tq.MPS(2)):
        loaded = tq.load(path, backend=backend)
        assert eqx.tree_equal(loaded, model.with_backend(backend))
    on_own, exact = tq.load(path, backend=OwnBackend()), quantum_model(None)
    np.testing.assert_allclose(on_own(XS), exact(XS), atol=EXACT["complex64"])


def test_a_model_of_a_class_of_one_s_own(tmp_path):
    model = own_model()
    path = tq.save(model, tmp_path / "model.npz")
    loaded = tq.load(path, like=own_model(seed=1))
    assert eqx.tree_equal(loaded, model)
    np.testing.assert_array_equal(loaded(XS), model(XS))
    with pytest.raises(ValueError, match="like must be given to load .*a model"):
        tq.load(path)
    with pytest.raises(ValueError, match="like must be an instance of Module, got int"):
        tq.load(path, like=3)
    with pytest.raises(ValueError, match="backend must be left alone for OwnCell"):
        tq.load(path, like=model, backend=tq.MPS(2))
    alone = tq.save(model.cell, tmp_path / "cell.npz")
    assert eqx.tree_equal(tq.load(alone, like=OwnCell(seed=1)), model.cell)


def test_a_model_of_registered_classes_needs_nothing_else(tmp_path):
    tq.register("numeric", Numeric)
    model = tq.SequenceClassifier(Numeric(3, 2, key=KEYS[0]), 5, key=KEYS[1])
    assert eqx.tree_equal(tq.load(tq.save(model, tmp_path / "model.npz")), model)


def other_function(model):
    cell = OwnCell()
    object.__setattr__(cell, "function", jnp.sin)
    return tq.SequenceClassifier(cell, 5, key=KEYS[1])


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (lambda m: own_model(hidden_size=5), "cell.hidden_size = 4, got 5"),
        (lambda m: own_model(options=(0.5, 1)), "cell.options.1 = None, got 1"),
        (lambda m: own_model(options=(0.5,)), "cell.options.1 = None, got 'nothing'"),
        (lambda m: own_model(dtype="float64"), "cell.weight.dtype = 'float32', got"),
        (other_function, "cell.function.function = 'tanh', got 'sin'"),
        (lambda m: m.cell, "class = 'SequenceClassifier', got 'OwnCell'"),
        (lambda m: tq.load(FILES / "lstm.npz"), "class = 'SequenceClassifier'"),
        (
            lambda m: tq.SequenceClassifier(m.cell, 5, gradient="store", key=KEYS[1]),
            "gradient = 'auto', got 'store'",
        ),
    ],
)
def test_a_model_of_another_structure_is_refused(like, message, tmp_path):
    path = tq.save(own_model(), tmp_path / "model.npz")
    with pytest.raises(ValueError, match=f"like must be of the structure .*{message}"):
        tq.load(path, like=like(own_model()))


def test_like_may_be_given_where_it_is_not_needed(tmp_path):
    model = quantum_model(tq.MPS(2))
    path = tq.save(model, tmp_path / "model.npz")
    assert eqx.tree_equal(tq.load(path, like=model), model)
    for other, message in [
        (quantum_model(tq.MPS(3)), "cell.backend.max_bond = 2, got 3"),
        (model.cell, "describes = 'model', got 'cell'"),
        (own_model(), "registered classes, .* got SequenceClassifier"),
    ]:
        with pytest.raises(ValueError, match=f"like must be of .*{message}"):
            tq.load(path, like=other)


@pytest.mark.parametrize("backend", [tq.Statevector(), tq.MPS(2)], ids=str)
def test_a_cell_is_saved_alone(backend, tmp_path):
    cell = quantum_model(backend).cell
    assert eqx.tree_equal(tq.load(tq.save(cell, tmp_path / "cell.npz")), cell)


def test_arrays_that_are_no_numbers_are_refused(tmp_path):
    for value in (jax.random.key(0), jnp.zeros(3, jnp.bfloat16)):
        model = eqx.tree_at(lambda m: m.cell.weight, own_model(), value)
        with pytest.raises(ValueError, match="model must hold .* model.cell.weight of"):
            tq.save(model, tmp_path / "model.npz")


def test_a_file_is_read_by_numpy_and_json_alone(tmp_path):
    model = quantum_model(tq.MPS(2))
    with np.load(tq.save(model, tmp_path / "model.npz")) as archive:
        arrays = dict(archive)
    header = json.loads(arrays.pop("header").tobytes())
    assert header["format"] == "tnqrnn model 2"
    assert header["description"]["cell"]["backend"]["max_bond"] == 2
    assert tq.specs.from_dict(header["description"]) == tq.describe(model)
    np.testing.assert_array_equal(arrays["model.head.weight"], model.head.weight)
    assert sum(array.size for array in arrays.values()) == tq.cells.parameter_count(
        model
    )


def rewritten(path, change):
    """The file with its header and arrays changed in place by ``change``."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays.pop("header").tobytes())
    change(header, arrays)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda h, a: a.pop("model.head.bias"),
            "model.head.bias of .* with None",
        ),
        (lambda h, a: a.update({"model.x": np.zeros(2)}), "model.x of .* None, got"),
        (
            lambda h, a: a.update({"model.head.bias": np.zeros(4, np.float32)}),
            r"model.head.bias of shape and dtype \(\(5,\), 'float32'\), got .*\(\(4,\)",
        ),
        (
            lambda h, a: a.update({"model.head.bias": np.zeros(5)}),
            r"'float32'\), got .*'float64'\)",
        ),
        (
            lambda h, a: h["description"].update(schema=2),
            "schema must be 1, got 2; made by a later tnqrnn",
        ),
        (
            lambda h, a: h["description"]["cell"].update(qubits=2),
            "cell.qubits must be left out",
        ),
        (
            lambda h, a: h["description"]["cell"]["circuit"].update(n_qubits="two"),
            "cell.circuit.n_qubits must be an integer >= 1, got 'two'",
        ),
        (
            lambda h, a: h.update(description=tq.specs.to_dict(tq.specs.Task("x"))),
            "lacks or misplaces a model, with a Task",
        ),
        (lambda h, a: h.update(layout=3), "like must be given to load"),
        (lambda h, a: h.update(description=3), "plain must be an instance of Mapping"),
        (lambda h, a: h.update(format="tnqrnn model 3"), "format 'tnqrnn model 3'"),
        (
            lambda h, a: h["description"]["cell"]["circuit"].update(n_qubits=4),
            "model.cell.network",
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(change, message, tmp_path):
    path = rewritten(tq.save(quantum_model(tq.MPS(2)), tmp_path / "model.npz"), change)
    with pytest.raises(ValueError, match=message):
        tq.load(path)


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_does_no_harm(at, bit, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "model.npz"
    data = bytearray((FILES / "lstm.npz").read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    whole = tq.load(FILES / "lstm.npz")
    try:
        model = tq.load(path)
    except ValueError as error:
        assert "path must" in str(error)
    else:
        assert eqx.tree_equal(model, whole)


@pytest.mark.parametrize(
    "change", [{"cell": "peps"}, {"n_classes": "3"}, {"fields": 3}]
)
def test_a_file_of_0_1_0_with_a_damaged_header_is_refused(change, tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes((FILES / "lstm.npz").read_bytes())
    rewritten(path, lambda header, arrays: header.update(change))
    with pytest.raises(ValueError, match="must be"):
        tq.load(path)
