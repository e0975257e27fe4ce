"""The structure of any module as JSON values: all of it but the arrays' entries.

What :func:`tnqrnn.save` writes of a model that no description names, and what
:func:`tnqrnn.load` compares with the model it is given.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np


def layout(value: Any) -> Any:
    """A value's structure and static fields as JSON values.

    Of an array of JAX the shape and dtype count, of one of NumPy, which is no
    parameter, the entries too; functions and objects of foreign classes count by name.

    Args:
        value: a module, or anything a module may hold.

    >>> import equinox as eqx, jax
    >>> layout((eqx.nn.Identity(), 0.5, jax.nn.relu))
    [{'class': 'Identity'}, 0.5, {'function': 'relu'}]
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if eqx.is_array(value):
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
        shape = list(value.shape)
        return {"shape": shape, "dtype": str(value.dtype), "sha256": digest}
    if isinstance(value, Mapping):
        return {str(name): layout(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [layout(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        held = {name: getattr(value, name, None) for name in fields}
        return {"class": type(value).__name__} | layout(held)
    if hasattr(value, "__name__"):
        return {"function": value.__name__}
    return {"class": type(value).__name__}


def difference(left: Any, right: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """Where two layouts first differ: the dotted path, and what either has there.

    >>> difference({"cell": {"size": 8}}, {"cell": {"size": 9}})
    ('cell.size', 8, 9)
    """
    pairs: dict[str, tuple[Any, Any]] = {}
    if isinstance(left, dict) and isinstance(right, dict):
        pairs = {name: (left.get(name), right.get(name)) for name in left | right}
    elif isinstance(left, list) and isinstance(right, list):
        length = max(len(left), len(right))
        padded = [side + [None] * (length - len(side)) for side in (left, right)]
        pairs = {str(i): pair for i, pair in enumerate(zip(*padded, strict=True))}
    elif left != right:
        return path.removeprefix("."), left, right
    parts = (difference(*pair, f"{path}.{name}") for name, pair in pairs.items())
    return next(filter(None, parts), None)
