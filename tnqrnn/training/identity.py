"""What the result of a training run depends on, as plain values.

A checkpoint holds them, so that a run is never resumed as another one; differences are
named by dotted paths. Structures enter by value, large arrays by digest.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from tnqrnn.tasks import Stream, Task


def identity(
    model: Any, opt_state: Any, task: Task, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What a run's result depends on, as JSON values.

    Args:
        model: before the first step.
        opt_state: the optimiser's state then.
        task: what it learns; the test split does not enter.
        settings: the run's own arguments.
    """
    data = []
    for split in (task.train, task.valid):
        data += (
            [split.tokens]
            if isinstance(split, Stream)
            else [split.inputs, split.targets, split.mask, split.lengths]
        )
    return dict(settings) | {
        "model": plain(model),
        "starting parameters": array_digest(jax.tree.leaves(model)),
        "optimizer state": [plain(leaf) for leaf in jax.tree.leaves(opt_state)],
        "task": task.name,
        "objective": plain(task.objective),
        "data": array_digest(data),
    }


def plain(value: Any) -> Any:
    """A module, dataclass or value as JSON: types and functions by name.

    Arrays are shape and dtype; what has no value of its own is its type's name.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return f"{value.dtype}{list(value.shape)}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
        return {"type": _name(type(value))} | fields
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    return _name(value if hasattr(value, "__qualname__") else type(value))


def _name(value: Any) -> str:
    """``module.name`` of a class or a function."""
    return f"{getattr(value, '__module__', '')}.{value.__qualname__}"


def differences(there: Any, here: Any, path: str = "") -> list[str]:
    """Where two values of :func:`identity` differ, ``path is A there and B here``."""
    both = isinstance(there, dict) and isinstance(here, dict)
    if both:
        found = []
        for key in sorted(here.keys() | there.keys()):
            inner = f"{path}.{key}" if path else key
            found += differences(there.get(key), here.get(key), inner)
        return found
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        found = []
        for i, (one, other) in enumerate(zip(there, here, strict=True)):
            found += differences(one, other, f"{path}[{i}]")
        return found
    if there == here:
        return []
    return [f"{path} is {_short(there)} there and {_short(here)} here"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def array_digest(leaves: list[Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of arrays, their shapes and dtypes."""
    digest = hashlib.sha256()
    for leaf in filter(eqx.is_array_like, leaves):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
