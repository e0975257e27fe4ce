"""What is drawn over a figure's measurements: fitted curves and marked points."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from tnqrnn.study.figures import Groups


class Curve(NamedTuple):
    """A line that belongs to a group, such as a fit: positions and heights."""

    x: ArrayLike
    y: ArrayLike


class Mark(NamedTuple):
    """A star in a group's colour."""

    value: Any
    x: float
    y: float


def draw_overlays(
    axes: Axes,
    curves: Mapping[Any, Curve],
    marks: Sequence[Mark],
    groups: "Groups",
    place: Callable[[Any], Any],
    scale: float,
) -> None:
    """Draws curves by group, then marks.

    Args:
        axes: what to draw on.
        curves: by the group's value.
        marks: above the curves.
        groups: colours and line styles.
        place: positions on the horizontal axis.
        scale: factor on heights.
    """
    for value, curve in curves.items():
        style = groups.style(value) | {"marker": ""}
        axes.plot(place(curve.x), np.multiply(curve.y, scale), lw=1.2, **style)
    for mark in marks:
        style = {"color": groups.style(mark.value)["color"], "mec": "black"}
        at = float(place(mark.x)), mark.y * scale
        axes.plot(*at, "*", ms=13, mew=0.8, zorder=5, **style)
