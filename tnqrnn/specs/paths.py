"""Fields of a description by dotted path, the axes of a study.

``model.cell.circuit.n_qubits`` is the field ``n_qubits`` of the circuit of the cell of
the model; ``task.options.delay`` is one of a task's options.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from tnqrnn.checks import check_instance
from tnqrnn.specs.base import (
    AbstractDescription,
    annotations,
    default,
    members,
    rule,
)

Description = TypeVar("Description", bound=AbstractDescription)


class Field(NamedTuple):
    """What is known of a field.

    Attributes:
        rule: what it must be, in words.
        default: ``dataclasses.MISSING`` for a field that must be given.
        value: what the description holds; of a class, the default.
    """

    rule: str
    default: Any
    value: Any


def fields_of(
    description: AbstractDescription | type[AbstractDescription],
) -> dict[str, Field]:
    """Every field by its dotted path, in order.

    Args:
        description: a description, whose parts that are ``None`` are fields of their
            own, or a class of them, where the fields of every part are listed.

    Raises:
        ValueError: neither of the two.

    >>> from tnqrnn import specs
    >>> fields = specs.fields_of(specs.Run)
    >>> fields["model.cell.backend.max_bond"]
    Field(rule='an integer >= 1 or None', default=None, value=None)
    >>> run = specs.Run(specs.Task("digits"), specs.Model("classifier", specs.Cell()))
    >>> specs.fields_of(run)["task.name"].value
    'digits'
    """
    is_class = isinstance(description, type)
    cls = description if isinstance(description, type) else type(description)
    if not issubclass(cls, AbstractDescription):
        raise ValueError(
            f"description must be a description or a class of them, got {cls.__name__}."
        )
    listed: dict[str, Field] = {}
    for field in dataclasses.fields(cls):
        kind = annotations(cls)[field.name]
        value = default(field) if is_class else getattr(description, field.name)
        part: Any = _part(kind) if is_class else value
        if part is not None and _is_description(part):
            inner = fields_of(part).items()
            listed |= {f"{field.name}.{name}": entry for name, entry in inner}
        else:
            listed[field.name] = Field(rule(kind), default(field), value)
    return listed


def replace(description: Description, changes: Mapping[str, Any]) -> Description:
    """The description with other values at some paths.

    Args:
        description: any value of :mod:`tnqrnn.specs`; it is left as it is.
        changes: a value for each dotted path. All of one part are made together, so
            that ``kind`` and ``hidden_size`` can change at once. A part itself may be
            replaced too, by a description, ``None`` or a mapping of its fields.

    Raises:
        ValueError: a path that leads to no field, two paths of which one holds the
            other, or a value that breaks the field's rule.

    >>> from tnqrnn import specs
    >>> cell = specs.Cell(circuit=specs.Circuit(4))
    >>> run = specs.Run(specs.Task("digits"), specs.Model("classifier", cell))
    >>> changed = specs.replace(run, {"model.cell.circuit.n_qubits": 6, "seed": 1})
    >>> changed.model.cell.circuit.n_qubits, changed.seed
    (6, 1)
    """
    check_instance("description", description, AbstractDescription)
    names = [field.name for field in dataclasses.fields(description)]
    whole: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        name, _, deeper = path.partition(".")
        if name not in names:
            raise ValueError(
                f"{path} must be a field of {type(description).__name__}, which has "
                f"{names}."
            )
        if deeper:
            inside.setdefault(name, {})[deeper] = value
        else:
            whole[name] = value
    for name, changes_inside in inside.items():
        if name in whole:
            raise ValueError(
                f"{name} must be replaced as a whole or by its fields, got both, with "
                f"{sorted(changes_inside)}."
            )
        whole[name] = _replaced(name, getattr(description, name), changes_inside)
    return dataclasses.replace(description, **whole)


def _replaced(name: str, part: Any, changes: Mapping[str, Any]) -> Any:
    if isinstance(part, Mapping):
        return {**part, **changes}
    if not isinstance(part, AbstractDescription):
        raise ValueError(
            f"{name}.{min(changes)} must be a field, got {name} = {part!r}, which has "
            "none."
        )
    try:
        return replace(part, changes)
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from error


def _part(kind: Any) -> Any:
    return next((member for member in members(kind) if _is_description(member)), None)


def _is_description(value: Any) -> bool:
    if isinstance(value, type):
        return issubclass(value, AbstractDescription)
    return isinstance(value, AbstractDescription)
