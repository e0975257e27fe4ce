"""Descriptions as values, and their fields by dotted path."""

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tnqrnn import specs
from tnqrnn.specs.text import KINDS

CELL = specs.Cell(circuit=specs.Circuit(4), backend=specs.Backend("mps", max_bond=2))
RUN = specs.Run(specs.Task("copying", {"delay": 5}), specs.Model("labeler", CELL))


def test_a_description_is_a_frozen_value():
    same = specs.Run(
        {"name": "copying", "options": {"delay": 5}},
        {"kind": "labeler", "cell": dataclasses.asdict(CELL)},
    )
    assert same == RUN and hash(same) == hash(RUN) and {same: 1}[RUN] == 1
    assert pickle.loads(pickle.dumps(RUN)) == RUN
    with pytest.raises(dataclasses.FrozenInstanceError):
        RUN.seed = 3
    with pytest.raises(TypeError):
        RUN.task.options["delay"] = 6


def test_options_are_a_frozen_mapping():
    options = specs.Options({"b": [1, [2]], "a": {"c": None}})
    assert options == {"a": {"c": None}, "b": (1, (2,))}
    assert list(options) == ["a", "b"] and len(options) == 2
    assert eval(repr(options), {"Options": specs.Options}) == options
    assert options != specs.Options() and hash(specs.Options()) == hash(specs.Options())


def test_a_circuit_has_layers_or_gates():
    gates = [("h", [0]), ("rx", [1], 0)]
    assert specs.Circuit(2, gates=gates).gates == (("h", (0,)), ("rx", (1,), 0))
    with pytest.raises(ValueError, match="topology must be left alone, 'chain',"):
        specs.Circuit(2, topology="ring", gates=gates)
    for gate in ("h", ("h",), ("h", 0), ("h", [0], 1, 2), ("h", [0], 0.5), ("h", [-1])):
        with pytest.raises(ValueError, match=r"gates\[0\]"):
            specs.Circuit(2, gates=[gate])


def test_a_quantum_cell_has_a_backend_and_a_controller():
    assert CELL.controller == specs.Controller()
    assert specs.Cell(circuit=specs.Circuit(4)).backend == specs.Backend()
    assert specs.Cell("gru", hidden_size=3).backend is None


def test_fields_are_listed_by_their_paths():
    of_class, of_run = specs.fields_of(specs.Run), specs.fields_of(RUN)
    assert list(of_class) == list(of_run)
    assert of_run["model.cell.backend.max_bond"].value == 2
    assert of_class["model.cell.backend.max_bond"].value is None
    assert of_run["task.options"].value == {"delay": 5}
    missing = [name for name, f in of_run.items() if f.default is dataclasses.MISSING]
    assert missing == ["task.name", "model.kind", "model.cell.circuit.n_qubits"]
    classical = specs.replace(RUN, {"model.cell": specs.Cell("gru", hidden_size=3)})
    assert specs.fields_of(classical)["model.cell.circuit"].value is None
    for other in (int, 3, "Run"):
        with pytest.raises(ValueError, match="description must be a description"):
            specs.fields_of(other)


@pytest.mark.parametrize("cls", KINDS.values(), ids=KINDS)
def test_every_field_can_be_replaced_by_its_own_value(cls):
    run = {specs.Run: RUN, specs.Model: RUN.model, specs.Cell: CELL}
    description = run.get(cls)
    if description is None:
        description = {
            specs.Circuit: CELL.circuit,
            specs.Backend: CELL.backend,
            specs.Controller: CELL.controller,
            specs.Task: RUN.task,
            specs.Training: RUN.training,
        }[cls]
    fields = specs.fields_of(description)
    values = {name: field.value for name, field in fields.items()}
    assert specs.replace(description, values) == description


@given(n_qubits=st.integers(1), rate=st.floats(0, 1), delay=st.integers())
def test_values_are_replaced_at_their_paths_alone(n_qubits, rate, delay):
    changes = {
        "model.cell.circuit.n_qubits": n_qubits,
        "training.learning_rate": rate,
        "task.options.delay": delay,
    }
    before = specs.fields_of(RUN)
    after = specs.fields_of(specs.replace(RUN, changes))
    assert after.pop("model.cell.circuit.n_qubits").value == n_qubits
    assert after.pop("training.learning_rate").value == rate
    assert after.pop("task.options").value == {"delay": delay}
    assert after == {name: before[name] for name in after}


def test_fields_that_exclude_each_other_are_replaced_together():
    changes = {
        "model.cell.kind": "gru",
        "model.cell.hidden_size": 8,
        "model.cell.circuit": None,
        "model.cell.backend": None,
        "model.cell.controller": None,
    }
    assert specs.replace(RUN, changes).model.cell == specs.Cell("gru", hidden_size=8)
    whole = specs.replace(RUN, {"model.cell.backend": {"name": "network"}})
    assert whole.model.cell.backend == specs.Backend("network")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sed": 1}, r"sed must be a field of Run, which has \['task', .*'seed'\]"),
        ({"model.cel.kind": 1}, "model.cel.kind must be a field of Model"),
        ({"seed.x": 1}, "seed.x must be a field, got seed = 0, which has none"),
        (
            {"model.cell.circuit.gates.0": 1},
            ".*gates.0 must be a field",
        ),
        (
            {"model.cell.circuit.n_qubits": 0},
            ".*cell.circuit.n_qubits must",
        ),
        (
            {"model.cell": CELL, "model.cell.kind": "x"},
            ".*cell must be replaced",
        ),
        ({"task.options.delay": {2}}, "task.options.delay must be a JSON value"),
    ],
)
def test_what_cannot_be_replaced_is_refused_by_its_path(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        specs.replace(RUN, changes)
