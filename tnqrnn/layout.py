"""The structure of any module as JSON values: all of it but the arrays' entries.

What :func:`tnqrnn.save` writes of a model that no description names, and what
:func:`tnqrnn.load` compares with the model it is given.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np


def layout(value: Any) -> Any:
    """A value's structure and static fields as JSON values.

    Of an array the shape and dtype count; functions and objects of foreign classes
    count by name.

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
    >>> difference([0.5, None], [0.5])
    ('1', None, 'nothing')
    """
    there, here = _parts(left), _parts(right)
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return None if left == right else (path.removeprefix("."), left, right)
    for name in there | here:
        pair = there.get(name, "nothing"), here.get(name, "nothing")
        if differing := difference(*pair, path=f"{path}.{name}"):
            return differing
    return None


def _parts(value: Any) -> Any:
    """A list as a mapping from the numbers of its entries, anything else as it is."""
    is_list = isinstance(value, list)
    return {str(i): entry for i, entry in enumerate(value)} if is_list else value
