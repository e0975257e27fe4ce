"""Descriptions in JSON: what is written is read, anything else is refused by name."""

import json
import math
from typing import get_args, get_origin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tnqrnn import specs
from tnqrnn.specs.base import Range, annotations, members
from tnqrnn.specs.text import KINDS

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def any_value(kind):
    """A strategy of what an annotation allows, written from the annotation alone."""
    if len(members(kind)) > 1:
        return st.one_of([any_value(member) for member in members(kind)])
    base, bounds = kind, Range()
    if hasattr(kind, "__metadata__"):
        base, bounds = get_args(kind)
    low = None if bounds.minimum == -math.inf else bounds.minimum
    high = None if bounds.maximum == math.inf else bounds.maximum
    if base is int:
        return st.integers(low, high)
    if base is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if base in (str, bool, type(None)):
        return {str: st.text(), bool: st.booleans(), type(None): st.none()}[base]
    if get_origin(base) is tuple:
        return st.tuples(*map(any_value, get_args(base)))
    if get_origin(base) is not None and len(get_args(base)) == 1:
        return st.lists(any_value(get_args(base)[0]), max_size=3)
    if get_origin(base) is not None:
        return st.dictionaries(st.text(), VALUES, max_size=3)
    return descriptions(base)


def descriptions(cls):
    if cls is specs.Circuit:  # gates and layers exclude each other
        hints = dict(annotations(cls))
        gates = any_value(hints.pop("gates"))
        layers = {name: any_value(kind) for name, kind in hints.items()}
        n_qubits = layers["n_qubits"]
        return st.builds(cls, **layers) | st.builds(cls, n_qubits, gates=gates)
    fields = {name: any_value(kind) for name, kind in annotations(cls).items()}
    return st.builds(cls, **fields)


ANY = {cls: descriptions(cls) for cls in KINDS.values()}
RUN = specs.Run(
    specs.Task("copying", {"delay": 5, "sizes": [1, {"a": None}]}),
    specs.Model(
        "labeler",
        specs.Cell(
            circuit=specs.Circuit(2, gates=[("h", [0]), ("crx", (0, 1), 0)]),
            backend=specs.Backend("mps", max_bond=np.int64(4), cutoff=np.float32(0.5)),
            readout=0.25,
        ),
    ),
    seed=7,
)


@pytest.mark.parametrize("cls", KINDS.values(), ids=KINDS)
@given(data=st.data())
def test_what_is_written_is_read(cls, data):
    description = data.draw(ANY[cls])
    text = specs.to_json(description)
    read = specs.from_json(text)
    assert read == description and hash(read) == hash(description)
    assert specs.to_json(read) == text
    assert specs.from_dict(specs.to_dict(description)) == description
    assert specs.from_json(specs.to_json(description, indent=2)) == description


def objects(plain, path=""):
    """Every JSON object that holds a description's fields, with the path to it."""
    yield path, plain
    for name, value in plain.items():
        if isinstance(value, dict) and name != "options":
            yield from objects(value, f"{path}{name}.")


@given(data=st.data())
def test_a_key_that_lacks_has_its_default_or_is_asked_for(data):
    plain = specs.to_dict(RUN)
    path, part = data.draw(st.sampled_from(list(objects(plain))))
    name = data.draw(st.sampled_from(sorted(part)))
    del part[name]
    if not path and name in ("schema", "describes"):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            specs.from_dict(plain)
        return
    if (default := specs.fields_of(specs.Run)).get(path + name):
        default = default[path + name].default
        if isinstance(default, type(specs.base.dataclasses.MISSING)):
            with pytest.raises(ValueError, match=f"^{path}{name} must be given"):
                specs.from_dict(plain)
        else:
            read = specs.fields_of(specs.from_dict(plain))
            assert read[path + name].value == default


@given(data=st.data(), name=st.text())
def test_a_key_that_no_field_has_is_refused_by_its_path(data, name):
    plain = specs.to_dict(RUN)
    path, part = data.draw(st.sampled_from(list(objects(plain))))
    if name in part:
        name += "?"
    if data.draw(st.booleans()):  # renamed rather than added
        part.pop(data.draw(st.sampled_from(sorted(part.keys() - {"schema"}))))
    part[name] = 1
    if "describes" not in plain:
        message = "describes must be one of"
    else:
        message = f"{path}{name} must be left out: "
    with pytest.raises(ValueError) as caught:
        specs.from_dict(plain)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.cell.circuit.n_qubits", "four", "an integer >= 1, got 'four'."),
        ("model.cell.circuit.n_qubits", 4.0, "an integer >= 1, got 4.0."),
        ("model.cell.circuit.n_qubits", True, "an integer >= 1, got True."),
        ("model.cell.circuit.n_qubits", 0, "an integer >= 1, got 0."),
        ("model.cell.circuit.gates", 3, "[(a string, [an integer >= 0, ...]) or .*"),
        ("model.cell.backend.max_bond", 0, "an integer >= 1 or None, got 0."),
        ("model.cell.backend.cutoff", 2, "a finite number in [0, 1], got 2."),
        ("model.cell.backend.cutoff", 10**400, "a finite number in [0, 1], got 1000"),
        ("model.cell.readout", 10**400, "a string or a finite number, got 1000"),
        ("model.cell.circuit.n_qubits", -(10**400), "an integer >= 1, got -1000"),
        ("model.cell.readout", None, "a string or a finite number, got None."),
        ("model.cell.feedback", 1, "True or False, got 1."),
        ("model.cell.observables", {"Z0": 1}, "a string or [a string, ...], got"),
        ("model.cell", [1], "a Cell, got [1]."),
        ("model.cell.controller", "gelu", "a Controller or None, got 'gelu'."),
        ("training.clip_norm", "short", "a finite number >= 0 or None, got 'short'."),
        ("task.name", None, "a string, got None."),
        ("task.options", [], "a mapping from names to JSON values, got []."),
        ("seed", -1, "an integer >= 0, got -1."),
        ("seed", None, "an integer >= 0, got None."),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused_by_its_path(path, value, message):
    plain = part = specs.to_dict(RUN)
    *names, last = path.split(".")
    for name in names:
        part = part[name]
    part[last] = value
    with pytest.raises(ValueError) as caught:
        specs.from_json(json.dumps(plain))
    start, _, end = f"{path} must be {message}".partition(".*")
    assert str(caught.value).startswith(start) and end in str(caught.value)


def test_entries_of_a_sequence_are_named_by_their_number():
    plain = specs.to_dict(RUN)
    plain["model"]["cell"]["circuit"]["gates"][1][1] = [0, "1"]
    message = r"model\.cell\.circuit\.gates\[1\]\[1\]\[1\] must be an integer >= 0"
    with pytest.raises(ValueError, match=message):
        specs.from_dict(plain)
    with pytest.raises(ValueError, match=r"options\.a\.b\[1\] must be a JSON value"):
        specs.Task("digits", {"a": {"b": [1, {2}]}})
    with pytest.raises(ValueError, match=r"options\.1 must be a string to be a name"):
        specs.Task("digits", {1: 2})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (2, "schema must be 1, got 2; made by a later tnqrnn."),
        (0, "schema must be 1, got 0."),
        ("1", "schema must be 1, got '1'."),
        (True, "schema must be 1, got True."),
        (None, "schema must be 1, got None."),
    ],
)
def test_another_schema_is_refused(schema, message):
    plain = specs.to_dict(RUN) | {"schema": schema}
    with pytest.raises(ValueError) as caught:
        specs.from_dict(plain)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text must be JSON"),
        ("[" * 100_000, "text must be JSON"),
        ("[]", r"text must be a JSON object, got \[\]"),
        (
            '{"schema": 1, "describes": "loop"}',
            "describes must be one of .*, got 'loop'",
        ),
        ('{"schema": 1, "schema": 1}', r"\['schema'\] given twice"),
        ('{"schema": NaN}', "NaN is no JSON value"),
        (
            '{"schema": 1, "describes": "training", "clip_norm": 1e999}',
            "clip_norm must be a finite number >= 0 or None, got inf",
        ),
    ],
)
def test_text_that_is_no_description_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        specs.from_json(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1: 2}, 1j])
def test_what_json_does_not_hold_is_no_option(value):
    with pytest.raises(ValueError, match="options.value"):
        specs.Task("digits", {"value": value})


def test_no_description_is_not_written():
    with pytest.raises(ValueError, match="description must be an instance of"):
        specs.to_json({"name": "digits"})
    with pytest.raises(ValueError, match="text must be an instance of str, got bytes"):
        specs.from_json(b"{}")
    with pytest.raises(ValueError, match="plain must be an instance of Mapping"):
        specs.from_dict([])
