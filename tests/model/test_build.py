"""From descriptions to objects and back."""

import dataclasses
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tnqrnn as tq
from tnqrnn import specs
from tnqrnn.circuits.ansatz import ENTANGLERS, ROTATIONS, TOPOLOGIES
from tnqrnn.layout import layout
from tnqrnn.model.kinds import (
    BACKENDS,
    CELLS,
    MODELS,
    argument_for,
    arguments_of,
)
from tnqrnn.training.schedules import LEARNING_RATE
from tnqrnn.training.update_limit import UPDATE_LIMIT

KEY = jax.random.key(0)

CELL_VALUES = {
    "qrnn": specs.Cell(input_size=4, circuit=specs.Circuit(3)),
    "options": specs.Cell(
        input_size=4,
        circuit=specs.Circuit(
            3, gates=[("h", [0]), ("rxx", [2, 0], 1), ("ry", [1], 0)]
        ),
        observables=["X0 Z2", "I"],
        controller=specs.Controller("glu", [6, 5], embedding_size=2, init_scale=0.5),
        readout="learned",
        feedback=False,
        backend=specs.Backend("mps", "complex128", max_bond=3, cutoff=1e-4),
    ),
    "network": specs.Cell(
        input_size=4,
        circuit=specs.Circuit(4, 1, ["rx"], "cz", "brickwork"),
        observables="xyz+zz",
        readout=0.25,
        backend=specs.Backend("network", memory_limit=10**6),
    ),
    "context": specs.Cell(
        input_size=4,
        context_size=2,
        circuit=specs.Circuit(2, gates=[("ry", [1], 0)]),
        controller=specs.Controller(dropout=0.5),
    ),
    "rnn": specs.Cell("rnn", 4, context_size=3, hidden_size=6),
    "gru": specs.Cell("gru", 4, hidden_size=6, dtype="float64"),
    "lstm": specs.Cell("lstm", 4, hidden_size=6),
}


MODEL_VALUES = {
    "classifier": {},
    "labeler": {"gradient": "store", "dropout": 0.25},
    "regressor": {"embedding": 7, "pool": None},
    "language_model": {"tied": True},
}


@pytest.mark.parametrize("cell", CELL_VALUES.values(), ids=CELL_VALUES)
@pytest.mark.parametrize("kind", MODEL_VALUES)
def test_what_is_built_is_described_by_what_it_was_built_from(kind, cell):
    description = specs.Model(kind, cell, 5, **MODEL_VALUES[kind])
    model = tq.build(description, KEY)
    assert tq.describe(model) == description
    again = tq.build(tq.describe(model), jax.random.key(1))
    assert layout(again) == layout(model)
    assert jax.tree.structure(again) == jax.tree.structure(model)
    assert eqx.tree_equal(tq.build(description, KEY), model)
    assert tq.describe(tq.build(cell, KEY)) == cell


def test_a_description_builds_what_is_written_by_hand():
    keys = jax.random.split(KEY)
    ansatz = tq.hardware_efficient(3, topology="ring")
    backend, controller = tq.MPS(2, cutoff=1e-6), tq.Controller("tanh", (5,))
    options = {"backend": backend, "controller": controller, "observables": "z"}
    cell = tq.QRNNCell(4, ansatz, **options, key=keys[0])
    by_hand = tq.SequenceClassifier(cell, 5, key=keys[1])
    described = specs.Cell(
        input_size=4,
        circuit=specs.Circuit(3, topology="ring"),
        backend=specs.Backend("mps", max_bond=2, cutoff=1e-6),
        controller=specs.Controller("tanh", [5]),
        observables="z",
    )
    model = tq.build(specs.Model("classifier", described, 5), KEY)
    assert eqx.tree_equal(model, by_hand)


@pytest.mark.parametrize(
    "cls", [*BACKENDS.values(), *CELLS.values(), *MODELS.values(), tq.Controller]
)
def test_defaults_of_descriptions_are_those_of_the_classes(cls):
    kinds = {
        tq.AbstractBackend: specs.Backend,
        tq.AbstractCell: specs.Cell,
        tq.Controller: specs.Controller,
    }
    kind = next((k for base, k in kinds.items() if issubclass(cls, base)), specs.Model)
    compared = 0
    for field in dataclasses.fields(kind):
        argument = argument_for(field.name, cls)
        if argument is None or field.name == "controller":  # a name there, a value here
            continue
        default = arguments_of(cls)[argument].default
        if default is not inspect.Parameter.empty:
            assert field.default == default, field.name
            compared += 1
    assert compared


def test_the_arguments_of_the_layered_circuit_are_its_fields():
    fields = {f.name: f.default for f in dataclasses.fields(specs.Circuit)}
    del fields["gates"], fields["n_qubits"]
    parameters = dict(inspect.signature(tq.hardware_efficient).parameters)
    del parameters["n_qubits"]
    assert fields == {name: p.default for name, p in parameters.items()}


@given(
    n_qubits=st.integers(1, 5),
    n_layers=st.integers(1, 3),
    rotations=st.lists(st.sampled_from(ROTATIONS), max_size=3),
    entangler=st.sampled_from(ENTANGLERS),
    topology=st.sampled_from(TOPOLOGIES),
)
def test_a_layered_circuit_is_described_by_its_layers(n_qubits, **arguments):
    ansatz = tq.hardware_efficient(n_qubits, **arguments)
    described = tq.describe(ansatz)
    assert tq.build(described) == ansatz
    assert described.gates is None or not ansatz.gates
    if n_qubits > 2 and arguments["topology"] == "ring":
        assert described == specs.Circuit(n_qubits, **arguments)


@given(ansatz=tq.testing.ansaetze())
def test_any_other_circuit_is_described_by_its_gates(ansatz):
    assert tq.build(tq.describe(ansatz)) == ansatz
    assert tq.build(specs.from_json(specs.to_json(tq.describe(ansatz)))) == ansatz


@pytest.mark.parametrize(
    "backend",
    [
        tq.Statevector(),
        tq.Statevector("complex128"),
        tq.MPS(5, 1e-3, "complex128", on_truncation="warn", budget=0.5),
        tq.Network(memory_limit=7),
    ],
    ids=str,
)
def test_backends_and_controllers_are_described(backend):
    assert tq.build(tq.describe(backend)) == backend
    controller = tq.Controller("glu", (3, 4), embedding_size=2, init_scale=1.0)
    assert tq.build(tq.describe(controller)) == controller


def test_sizes_come_from_the_task_unless_they_are_given():
    description = specs.Task("copying", {"delay": 3, "n_symbols": 3, "n_train": 8})
    task = tq.build(description)
    model = specs.Model("labeler", specs.Cell("gru", hidden_size=2))
    built = tq.build(model, KEY, task=task)
    assert (built.cell.input_size, built.n_classes) == (task.input_size, task.n_classes)
    given_sizes = specs.replace(model, {"cell.input_size": 7, "n_outputs": 9})
    built = tq.build(given_sizes, KEY, task=task)
    assert (built.cell.input_size, built.n_classes) == (7, 9)
    assert tq.build(model.cell, KEY, task=task).input_size == task.input_size


def a_task(**arrays):
    split = {"inputs": np.ones((4, 5, 3)), **arrays}
    return tq.Task.from_arrays(split, split, split)


IDS = np.arange(20).reshape(4, 5)


@pytest.mark.parametrize(
    ("task", "built", "sizes"),
    [
        (a_task(targets=[0, 1, 2, 1]), tq.SequenceClassifier, (3, None)),
        (a_task(targets=IDS % 7), tq.SequenceLabeler, (7, None)),
        (a_task(targets=np.ones((4, 2))), tq.SequenceRegressor, (2, None)),
        (a_task(targets=[0, 1, 1, 0], inputs=IDS), tq.SequenceClassifier, (2, 20)),
        (
            tq.Task.from_stream(*[np.arange(200) % 20] * 3, window=4),
            tq.LanguageModel,
            (20, 20),
        ),
    ],
    ids=["classes", "labels", "numbers", "ids", "stream"],
)
def test_a_kind_that_is_none_is_what_the_task_asks_for(task, built, sizes):
    described = specs.Model(None, specs.Cell("gru", input_size=3, hidden_size=2))
    model = tq.build(described, KEY, task=task)
    n_tokens = model.embedding and model.embedding.num_embeddings
    assert (type(model), tq.describe(model).n_outputs, n_tokens) == (built, *sizes)
    scores = tq.evaluate(model, task.test)
    assert np.isfinite(scores["loss"])


def test_a_task_is_described_by_what_it_was_loaded_with():
    task = tq.load_task("copying", delay=3, n_symbols=3, n_train=8)
    again = tq.build(tq.describe(task))
    assert again.options == task.options
    np.testing.assert_array_equal(again.train.inputs, task.train.inputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "seq2seq"},
            "kind must be one of .*, or registered .*'seq2seq'",
        ),
        ({"cell.kind": "qlstm"}, "cell.kind must be one of .*got 'qlstm'"),
        (
            {"cell.backend.name": "peps"},
            "cell.backend.name must be one .*got 'peps'",
        ),
        ({"kind": None}, "kind must be one of .*, or registered .*None"),
        ({"kind": "labeler", "pool": "mean"}, "pool must be left alone, 'last', for"),
        ({"kind": "language_model", "embedding": 3}, "embedding must be left alone"),
        ({"tied": True}, "tied must be left alone, False, for SequenceClassifier"),
        ({"pool": None}, "pool must be given to|pool must be one of"),
        ({"dropout": 1}, "dropout must be"),
        ({"cell.controller.dropout": 1}, "cell.controller.dropout must be"),
        ({"n_outputs": None}, "n_outputs must be given to build a SequenceCl"),
        ({"n_outputs": 1}, "n_classes must be an integer >= 2, got 1"),
        (
            {"cell.input_size": None},
            "cell.input_size must be given to build a QRNN",
        ),
        ({"cell.circuit": None}, "cell.circuit must be given to build a QRNNCell"),
        (
            {"cell.hidden_size": 8},
            "cell.hidden_size must be left alone, None, for",
        ),
        (
            {"cell.kind": "gru", "cell.hidden_size": 8},
            "cell.circuit must be left",
        ),
        (
            {"cell.backend.max_bond": 8},
            "cell.backend.max_bond must be left alone",
        ),
        ({"cell.backend.name": "mps"}, "cell.backend.max_bond must be given to build"),
        ({"cell.backend.dtype": "int"}, "cell.backend.dtype must be one of"),
        ({"cell.circuit.topology": "x"}, "cell.circuit.topology must be one of .*'x'"),
        ({"cell.circuit.entangler": "x"}, "cell.circuit.entangler must be one of"),
        ({"cell.controller.activation": "x"}, "cell.controller.activation must be one"),
        ({"cell.observables": "x"}, "cell.observables must be one of .*got 'x'"),
        ({"cell.readout": "x"}, "cell.readout must be one of .*got 'x'"),
        ({"gradient": "adjoint"}, "gradient must be one of .*got 'adjoint'"),
        ({"options": {"depth": 2}}, r"options.depth must be an argument .*one of \[\]"),
        ({"cell.options": {"readout": 2}}, "cell.options.readout must be an argument"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_path(changes, message):
    cell = specs.Cell(input_size=4, circuit=specs.Circuit(3))
    description = specs.replace(specs.Model("classifier", cell, 5), changes)
    with pytest.raises(ValueError, match=f"^{message}"):
        tq.build(description, KEY)


def test_other_arguments_are_checked():
    cell = CELL_VALUES["gru"]
    with pytest.raises(ValueError, match="key must be given to build a Cell, got None"):
        tq.build(cell)
    with pytest.raises(ValueError, match="task must be an instance of Task, got str"):
        tq.build(cell, KEY, task="digits")
    with pytest.raises(ValueError, match="backend must be left alone for GRU"):
        tq.build(cell, KEY, backend=tq.MPS(2))
    with pytest.raises(ValueError, match="backend must be an instance of"):
        tq.build(CELL_VALUES["qrnn"], KEY, backend="mps")
    for other in (specs.Training(), "digits", tq.MPS(2)):
        with pytest.raises(ValueError, match="description must be a Circuit, Backend"):
            tq.build(other)
    for other in (3, specs.Circuit(2), eqx.nn.Identity()):
        with pytest.raises(ValueError, match="thing must be an Ansatz, a backend"):
            tq.describe(other)


def test_another_backend_than_the_described_one():
    model = tq.build(
        specs.Model("classifier", CELL_VALUES["options"], 5), KEY, backend=tq.MPS(2)
    )
    assert model.cell.backend == tq.MPS(2)
    assert {
        leaf.dtype for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))
    } == {jnp.dtype("float32")}


class Leaky(tq.cells.AbstractClassicalCell):
    """A user's own cell, with an argument that no description has a field for."""

    input_size: int
    hidden_size: int
    rates: tuple
    weight: jax.Array

    def __init__(self, input_size, hidden_size, rates=(0.5,), *, key):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.rates = tuple(rates)
        self.weight = jax.random.normal(key, (hidden_size, input_size), "float32")

    def init(self):
        return jnp.zeros(self.hidden_size, "float32")

    def __call__(self, carry, x):
        carry = carry + self.rates[0] * (self.weight @ x - carry)
        return carry, carry


class Forgetful(tq.cells.AbstractClassicalCell):
    """A cell that does not keep an argument."""

    input_size: int
    hidden_size: int

    def __init__(self, input_size, hidden_size, rate, *, key):
        self.input_size, self.hidden_size = input_size, hidden_size

    def init(self):
        return jnp.zeros(self.hidden_size, "float32")

    def __call__(self, carry, x):
        return carry, carry


def test_a_registered_class_is_built_and_described():
    cell = specs.Cell("leaky", 3, hidden_size=2, options={"rates": [0.25, 0.5]})
    with pytest.raises(ValueError, match="kind must be one of .*got 'leaky'"):
        tq.build(cell, KEY)
    with pytest.raises(ValueError, match="registered classes .*got Leaky"):
        tq.describe(Leaky(3, 2, key=KEY))
    for _ in range(2):
        tq.register("leaky", Leaky)
    built = tq.build(cell, KEY)
    assert built.rates == (0.25, 0.5) and tq.describe(built) == cell
    model = tq.build(specs.Model("classifier", cell, 4), KEY)
    assert model(np.ones((2, 5, 3), np.float32)).shape == (2, 4)
    with pytest.raises(ValueError, match=r"options.depth must be .*one of \['rates'\]"):
        tq.build(specs.Cell("leaky", 3, hidden_size=2, options={"depth": 1}), KEY)


def test_a_class_must_keep_its_arguments_to_be_described():
    tq.register("forgetful", Forgetful)
    with pytest.raises(ValueError, match="keep its argument 'rate' .*got Forgetful"):
        tq.describe(Forgetful(3, 2, 0.5, key=KEY))


@pytest.mark.parametrize(
    ("name", "cls", "message"),
    [
        ("gru", Leaky, "name must be one that no other class has, got 'gru', which is"),
        (3, Leaky, "name must be an instance of str, got int"),
        ("mine", int, r"cls must be derived from one of \['AbstractB.*, got int"),
        ("mine", 3, "cls must be an instance of type, got int"),
    ],
)
def test_what_cannot_be_registered_is_refused(name, cls, message):
    with pytest.raises(ValueError, match=message):
        tq.register(name, cls)


def test_defaults_of_training_are_those_of_fit():
    parameters = inspect.signature(tq.fit).parameters
    resolved = {
        "learning_rate": LEARNING_RATE,
        "schedule": "cosine",
        "update_limit": UPDATE_LIMIT,
    }
    fields = {f.name: f.default for f in dataclasses.fields(specs.Training)}
    assert fields == {
        name: resolved.get(name, parameters[name].default) for name in fields
    }
    aside = {"model", "task", "optimizer", "seed", "directory", "resume", "progress"}
    assert parameters.keys() - fields == aside | {"callbacks", "loggers"}


def test_what_fit_resolves_is_what_the_description_says():
    options = {"delay": 1, "n_symbols": 1, "n_train": 8, "n_valid": 4}
    training = specs.Training(epochs=1, batch_size=4)
    described = specs.Model(None, specs.Cell("rnn", hidden_size=2))
    run = specs.Run(specs.Task("copying", options), described, training, seed=3)
    losses = []
    unsaid = {"learning_rate": None, "schedule": None, "update_limit": "auto"}
    for changes in ({}, unsaid):
        same = specs.replace(run.training, changes)
        model, task, arguments = tq.build(dataclasses.replace(run, training=same))
        assert arguments == dataclasses.asdict(same) | {"seed": 3}
        fitted = tq.fit(model, task, progress=False, **arguments)
        losses.append(fitted.history["train_loss"])
    other = {"epochs": 1, "batch_size": 4, "seed": 3, "progress": False}
    model = tq.build(described, jax.random.key(3), task=task)
    losses.append(tq.fit(model, task, **other).history["train_loss"])
    assert losses[0] == losses[1] == losses[2]


def test_a_run_is_built_whole():
    cell = specs.Cell(circuit=specs.Circuit(2))
    run = specs.Run(specs.Task("digits", {"by": "pixel"}), specs.Model(None, cell))
    model, task, _ = tq.build(run)
    assert (model.cell.input_size, model.n_classes) == (1, 10)
    assert task.train.inputs.shape[1] == 64
    rows = tq.load_task("digits")
    other, same, _ = tq.build(run, task=rows, backend=tq.MPS(2))
    assert same is rows and other.cell.input_size == 8
    assert other.cell.backend == tq.MPS(2)
    for changes, message in (
        ({"task.name": "digit"}, "task.name must be one of"),
        ({"model.cell.circuit": None}, "model.cell.circuit must be given to build"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            tq.build(specs.replace(run, changes))
    with pytest.raises(ValueError, match="key must be left out for a Run"):
        tq.build(run, KEY)
