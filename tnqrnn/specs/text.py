"""Descriptions as JSON and back.

The outermost object says what it describes and by which schema; inside, a description
is an object of its fields. Every field is written. A field that a file leaves out has
its default, if it has one.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from tnqrnn.checks import check_choice, check_instance
from tnqrnn.specs import values
from tnqrnn.specs.base import AbstractDescription

SCHEMA = 1
"""The number of this layout of descriptions."""

KINDS: dict[str, type[AbstractDescription]] = {
    "circuit": values.Circuit,
    "backend": values.Backend,
    "controller": values.Controller,
    "cell": values.Cell,
    "model": values.Model,
    "task": values.Task,
    "training": values.Training,
    "run": values.Run,
}


def to_dict(description: AbstractDescription) -> dict[str, Any]:
    """A description as dictionaries, lists and JSON's scalars, all of them new.

    Args:
        description: any value of :mod:`tnqrnn.specs`.

    Raises:
        ValueError: no description.

    >>> from tnqrnn import specs
    >>> specs.to_dict(specs.Task("copying", {"delay": 5}))
    {'schema': 1, 'describes': 'task', 'name': 'copying', 'options': {'delay': 5}}
    """
    check_instance("description", description, AbstractDescription)
    names = {cls: name for name, cls in KINDS.items()}
    kind = names[type(description)]
    return {"schema": SCHEMA, "describes": kind, **_plain(description)}


def from_dict(plain: Mapping[str, Any]) -> AbstractDescription:
    """The description that :func:`to_dict` made a dictionary of.

    Args:
        plain: the outermost object of a description's JSON.

    Raises:
        ValueError: another schema, an unknown key, a key without a default that lacks,
            or a value that breaks its field's rule; the message begins with the path.

    >>> from tnqrnn import specs
    >>> plain = {"schema": 1, "describes": "task", "name": "digits"}
    >>> specs.from_dict(plain)
    Task(name='digits', options=Options({}))
    """
    check_instance("plain", plain, Mapping)
    fields = dict(plain)
    schema = fields.pop("schema", None)
    if schema != SCHEMA or isinstance(schema, bool):
        later = isinstance(schema, int) and schema > SCHEMA
        origin = "; made by a later tnqrnn" if later else ""
        raise ValueError(f"schema must be {SCHEMA}, got {schema!r}{origin}.")
    kind = check_choice("describes", fields.pop("describes", None), KINDS)
    return KINDS[kind].from_mapping(fields)


def to_json(description: AbstractDescription, *, indent: int | None = None) -> str:
    """A description as JSON text; equal descriptions give equal texts.

    Args:
        description: any value of :mod:`tnqrnn.specs`.
        indent: spaces a level, to be read by people; ``None`` for one line.

    Raises:
        ValueError: no description.

    >>> from tnqrnn import specs
    >>> specs.to_json(specs.Task("digits"))
    '{"schema": 1, "describes": "task", "name": "digits", "options": {}}'
    """
    return json.dumps(to_dict(description), allow_nan=False, indent=indent)


def from_json(text: str) -> AbstractDescription:
    """The description that :func:`to_json` wrote.

    Args:
        text: a JSON object. NaN, infinities and keys given twice are refused.

    Raises:
        ValueError: text that is no JSON object, or see :func:`from_dict`.

    >>> from tnqrnn import specs
    >>> run = specs.Run(specs.Task("digits"), specs.Model("classifier", specs.Cell()))
    >>> specs.from_json(specs.to_json(run)) == run
    True
    """
    check_instance("text", text, str)
    try:
        plain = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"text must be JSON, got one that is not: {error}") from error
    if not isinstance(plain, dict):
        raise ValueError(f"text must be a JSON object, got {plain!r}.")
    return from_dict(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, AbstractDescription):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{sorted(twice)} given twice")
    return dict(pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
