"""What every description is: a frozen dataclass whose annotations are its checks.

An annotation says what a field may hold, and there is one reader of annotations,
:func:`checked`. The constructor, JSON and :func:`tnqrnn.specs.replace` all go through
it, so what one refuses the others refuse. A message begins with the field's name; a
description that holds the field puts its own name before it, which gives the whole
path: ``model.cell.circuit.n_qubits must be an integer >= 1, got 'four'``.
"""

import dataclasses
import math
import numbers
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Self, Union, get_args, get_origin
from typing import get_type_hints as type_hints

import numpy as np


class Range(NamedTuple):
    """Bounds of a number, both allowed, as the second half of ``Annotated``."""

    minimum: float = -math.inf
    maximum: float = math.inf

    def __contains__(self, value: Any) -> bool:
        return bool(self.minimum <= value <= self.maximum)

    @property
    def rule(self) -> str:
        """The bounds in words, with a space in front unless there are none."""
        if self == Range():
            return ""
        if self.maximum == math.inf:
            return f" >= {self.minimum:g}"
        return f" in [{self.minimum:g}, {self.maximum:g}]"


Count = Annotated[int, Range(1)]
"""An integer >= 1."""

Whole = Annotated[int, Range(0)]
"""An integer >= 0."""

NonNegative = Annotated[float, Range(0)]
"""A finite number >= 0."""

Share = Annotated[float, Range(0, 1)]
"""A number in [0, 1]."""


class Options(Mapping[str, Any]):
    """A frozen mapping of JSON values by name, equal to a dictionary of the same.

    Lists in it become tuples and mappings become ``Options``, so that it can be hashed.

    >>> Options({"delay": 5, "sizes": [1, 2]})
    Options({'delay': 5, 'sizes': (1, 2)})
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] = types.MappingProxyType({})) -> None:
        self._items = {name: _frozen(name, items[name]) for name in sorted(items)}

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return f"Options({self._items})"


@dataclasses.dataclass(frozen=True)
class AbstractDescription:
    """A description: subclasses are frozen dataclasses, their annotations the rules."""

    def __post_init__(self) -> None:
        for name, kind in annotations(type(self)).items():
            value = checked(name, kind, getattr(self, name))
            object.__setattr__(self, name, value)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The description with these fields, no others, and defaults for what lacks.

        Raises:
            ValueError: a key that is no field, a field without a default that lacks, or
                a value that breaks the field's rule.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                raise ValueError(
                    f"{name} must be left out: {cls.__name__} has the fields "
                    f"{list(fields)}."
                )
        for name, field in fields.items():
            if name not in values and default(field) is dataclasses.MISSING:
                kind = annotations(cls)[name]
                raise ValueError(f"{name} must be given: {rule(kind)}.")
        return cls(**values)


def default(field: dataclasses.Field) -> Any:
    """A field's default, ``dataclasses.MISSING`` for one that must be given."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def annotations(cls: type[AbstractDescription]) -> dict[str, Any]:
    """The annotation of every field, in order."""
    if cls not in _ANNOTATIONS:
        hints = type_hints(cls, include_extras=True)
        names = [field.name for field in dataclasses.fields(cls)]
        _ANNOTATIONS[cls] = {name: hints[name] for name in names}
    return _ANNOTATIONS[cls]


_ANNOTATIONS: dict[type, dict[str, Any]] = {}


def checked(name: str, kind: Any, value: Any) -> Any:
    """``value`` in the form that an annotation stands for.

    Args:
        name: what messages call it.
        kind: ``int float str bool``, ``None``, a description, ``Annotated`` with a
            :class:`Range`, ``Sequence[kind]``, ``tuple`` of several kinds,
            ``Mapping[str, Any]`` (JSON values), or a union of such.
        value: a mapping for a description is read as its fields; sequences become
            tuples, numbers Python's own.

    Raises:
        ValueError: it breaks the annotation; the message begins with the path.
    """
    fitting = [member for member in members(kind) if _is_like(member, value)]
    if not fitting:
        raise ValueError(f"{name} must be {rule(kind)}, got {value!r}.")
    return _converted(name, fitting[0], value)


def members(kind: Any) -> tuple[Any, ...]:
    """The kinds that a union is made of, or the kind alone."""
    is_union = get_origin(kind) in (Union, types.UnionType)
    return get_args(kind) if is_union else (kind,)


def rule(kind: Any) -> str:
    """An annotation in words: ``an integer >= 1 or None``."""
    if len(members(kind)) > 1:
        return " or ".join(dict.fromkeys(rule(member) for member in members(kind)))
    base, bounds = _bounded(kind)
    origin, arguments = get_origin(base), get_args(base)
    if origin is tuple:
        return f"({', '.join(map(rule, arguments))})"
    if origin is Sequence:
        return f"[{rule(arguments[0])}, ...]"
    if origin is Mapping:
        return "a mapping from names to JSON values"
    words = {
        int: "an integer",
        float: "a finite number",
        str: "a string",
        bool: "True or False",
        type(None): "None",
    }
    return words.get(base, f"a {base.__name__}") + bounds.rule


def _bounded(kind: Any) -> tuple[Any, Range]:
    if get_origin(kind) is Annotated:
        return get_args(kind)[0], get_args(kind)[1]
    return kind, Range()


def _is_like(kind: Any, value: Any) -> bool:
    """Whether a value may be meant for a kind; entries are looked at afterwards."""
    base, bounds = _bounded(kind)
    origin = get_origin(base)
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if base is bool:
        return isinstance(value, bool | np.bool_)
    if base in (int, float):
        number = numbers.Integral if base is int else numbers.Real
        is_number = isinstance(value, number) and not isinstance(value, bool)
        return is_number and _is_finite(base, value) and value in bounds
    if origin is tuple:
        return listed and len(value) == len(get_args(base))
    if origin is Sequence:
        return listed
    if origin is Mapping:
        return isinstance(value, Mapping)
    if issubclass(base, AbstractDescription):
        return isinstance(value, base | Mapping)
    return isinstance(value, base)


def _is_finite(base: type, value: Any) -> bool:
    try:
        return base is int or math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def _converted(name: str, kind: Any, value: Any) -> Any:
    base, _ = _bounded(kind)
    origin = get_origin(base)
    if origin is tuple:
        pairs = zip(get_args(base), value, strict=True)
        return tuple(checked(f"{name}[{i}]", *pair) for i, pair in enumerate(pairs))
    if origin is Sequence:
        (entry,) = get_args(base)
        return tuple(checked(f"{name}[{i}]", entry, v) for i, v in enumerate(value))
    if base in (int, float, str, bool):
        return base(value)
    try:
        if origin is Mapping:
            return Options(value)
        if isinstance(value, Mapping):
            return base.from_mapping(value)
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from error
    return value


def _frozen(name: Any, value: Any) -> Any:
    if not isinstance(name, str):
        raise ValueError(f"{name} must be a string to be a name, got {name!r}.")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return tuple(_frozen(f"{name}[{i}]", entry) for i, entry in enumerate(value))
    if isinstance(value, Mapping):
        return checked(name, Mapping[str, Any], value)
    raise ValueError(
        f"{name} must be a JSON value (None, a bool, a finite number, a string, a list "
        f"or a mapping of such), got {value!r}."
    )
