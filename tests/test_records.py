"""Records: what is written comes back, and anything else is refused by name."""

import json
import math
import os
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tnqrnn import records
from tnqrnn.records import RecordError, read_json, write_atomic, write_json

_FLOAT_NAMES = ["nan", "inf", "-inf", "\\nan", "\\\\-inf", "\\", "Infinity"]
_TEXT = st.text() | st.sampled_from(_FLOAT_NAMES)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def _same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float):
        return type(b) is float and (math.isnan(a) if math.isnan(b) else a == b)
    return type(a) is type(b) and a == b


@given(_JSON)
def test_every_json_value_and_every_float_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "record.json"
    write_json(path, value)
    assert _same(value, read_json(path))


def test_nan_and_infinities_are_valid_json_on_disk(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"loss": [math.nan, math.inf, -math.inf, 1.5]})
    text = path.read_text()
    payload = json.loads(text, parse_constant=pytest.fail)["payload"]
    assert payload == {"loss": ["nan", "inf", "-inf", 1.5]}


def test_strings_that_read_as_floats_stay_strings(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"max_bond": "inf", "at": math.inf, "text": "\\inf"})
    assert read_json(path) == {"max_bond": "inf", "at": math.inf, "text": "\\inf"}


def test_arrays_and_tuples_become_lists(tmp_path):
    path = tmp_path / "record.json"
    value = {
        "numpy": np.array([[1.0, np.nan]]),
        "jax": jnp.arange(2),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "tuple": (1, "a"),
    }
    write_json(path, value)
    back = read_json(path)
    assert math.isnan(back["numpy"][0].pop())
    assert back == {
        "numpy": [[1.0]],
        "jax": [0, 1],
        "scalar": 0.5,
        "flag": True,
        "tuple": [1, "a"],
    }


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({1: "a"}, TypeError, "must be strings, got 1"),
        ({"a": object()}, TypeError, "must hold JSON values, got <object"),
        ({"a": 1j}, TypeError, "must hold JSON values, got 1j"),
    ],
)
def test_a_value_without_a_json_form_is_refused(tmp_path, value, error, message):
    with pytest.raises(error, match=message):
        write_json(tmp_path / "record.json", value)
    assert list(tmp_path.iterdir()) == []


@given(st.data())
def test_every_cut_and_every_changed_character_is_noticed(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    write_json(path, {"accuracy": [0.5, 0.75], "name": "run"})
    text = path.read_text().rstrip("\n")
    if data.draw(st.booleans(), label="cut"):
        path.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    else:
        i = data.draw(st.sampled_from([i for i, c in enumerate(text) if c.isalnum()]))
        path.write_text(text[:i] + ("1" if text[i] != "1" else "2") + text[i + 1 :])
    with pytest.raises(RecordError, match=r"damaged\.json cannot be used: it"):
        read_json(path)


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', "\xff\xfe", "", "NaN"])
def test_a_foreign_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(RecordError, match=r"other\.json cannot be used") as caught:
        read_json(path)
    assert isinstance(caught.value, ValueError)
    assert caught.value.reason in str(caught.value)


def test_a_missing_record_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(OSError, match="disk full"):
                write_atomic(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_complete_before_it_takes_its_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "file", []
    replace = os.replace

    def spy(source, target):
        seen.append((source.parent, source.read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    write_atomic(path, b"all of it")
    assert seen == [(tmp_path, b"all of it")]


def test_provenance_names_versions_device_and_settings(tmp_path):
    made = records.provenance()
    assert made["x64"] is True
    assert made["jax"] and made["optax"] and made["cpu_count"] >= 1
    assert set(made) == {
        *("python", "jax", "jaxlib", "tnqrnn", "numpy", "optax", "equinox"),
        *("commit", "device", "processor", "platform", "cpu_count", "x64"),
    }
    write_json(tmp_path / "made.json", made)
    assert read_json(tmp_path / "made.json") == made


def test_the_commit_is_that_of_the_checkout_and_says_when_files_differ(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert records._commit(tmp_path) is None
    git("init", "-q")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    assert records._commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("b")
    assert records._commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"
    (tmp_path / "inside").mkdir()
    assert records._commit(tmp_path / "inside") is None
