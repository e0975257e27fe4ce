"""Points of a study: one value for every named axis.

A grid is a mapping from axis names to values; a study is one grid or several with the
same axes, whose union need not fill the rectangle they span:

    {"model": ["exact", "mps-2"], "n_qubits": [2, 4], "seed": [0, 1]}    8 points
    {"model": ["lstm"],           "n_qubits": [2],    "seed": [0, 1]}    2 points
"""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

Scalar = str | int | float | bool
Point = dict[str, Scalar]
Grid = Mapping[str, Sequence[Scalar]]


def grid_points(axes: Grid | Sequence[Grid]) -> list[Point]:
    """Lists the points of one grid or of the union of several, without repetition.

    The last axis runs fastest, as in nested loops in the order of the axes.

    Args:
        axes: values for each axis name; several grids must name the same axes.

    Returns:
        Points in order of first appearance.

    Raises:
        ValueError: no grid, no axis, an axis without values or with a repeated value,
            a value that is no string, finite number or bool, or grids that name
            different axes.

    >>> grid_points({"n_qubits": [2, 4], "seed": [0]})
    [{'n_qubits': 2, 'seed': 0}, {'n_qubits': 4, 'seed': 0}]
    """
    grids = [axes] if isinstance(axes, Mapping) else list(axes)
    if not grids or not all(grids):
        raise ValueError(f"axes must name at least one axis, got {axes!r}.")
    names = list(grids[0])
    points: dict[str, Point] = {}
    for grid in grids:
        if set(grid) != set(names):
            raise ValueError(
                f"axes must be grids over the same names {names}, got {list(grid)}."
            )
        for name in names:
            _check_values(name, grid[name])
        for values in itertools.product(*(grid[name] for name in names)):
            point = dict(zip(names, values, strict=True))
            points.setdefault(point_key(point), point)
    return list(points.values())


def axis_values(points: Sequence[Point]) -> dict[str, list[Scalar]]:
    """The values of each axis, in order of first appearance."""
    return {name: list(dict.fromkeys(p[name] for p in points)) for name in points[0]}


def replaced(preset: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
    """A preset with the entries that ``arguments`` replace: attributes not ``None``.

    >>> from types import SimpleNamespace
    >>> replaced({"seeds": 5, "epochs": 40}, SimpleNamespace(seeds=None, epochs=2))
    {'seeds': 5, 'epochs': 2}
    """
    given = {name: getattr(arguments, name) for name in preset}
    return {**preset} | {name: v for name, v in given.items() if v is not None}


def point_key(point: Point) -> str:
    """The file stem of a point's record: readable, unique, safe on any file system.

    It depends neither on the order of the axes nor on the study's other points, so a
    study may gain values and keep its records.

    >>> point_key({"seed": 0, "n_qubits": 2})
    'n_qubits=2_seed=0-a43095bd'
    """
    canonical = json.dumps(point, sort_keys=True)
    readable = "_".join(f"{name}={point[name]}" for name in sorted(point))
    readable = re.sub(r"[^A-Za-z0-9.=+-]+", "_", readable)[:120]
    return f"{readable}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def describe_point(point: Point) -> str:
    """A point in words, for messages: ``n_qubits=2, seed=0``."""
    return ", ".join(f"{name}={value}" for name, value in point.items())


def _check_values(name: Any, values: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"axes must be named by Python identifiers, got {name!r}.")
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    if not listed or len(values) == 0:
        raise ValueError(
            f"axes[{name!r}] must be a sequence of one value or more, got {values!r}."
        )
    for value in values:
        finite = not isinstance(value, float) or math.isfinite(value)
        if not isinstance(value, Scalar) or not finite:
            raise ValueError(
                f"axes[{name!r}] must hold strings, finite numbers or bools, "
                f"got {value!r}."
            )
    if len(set(values)) != len(values):
        raise ValueError(f"axes[{name!r}] must not repeat a value, got {list(values)}.")
