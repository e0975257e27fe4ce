"""Figures of two metrics against each other, a point a value."""

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator

from tnqrnn.report.figures import STYLE, Chart, Groups, canvas, set_labels


def plot_points(
    dataset: xr.Dataset,
    x: str,
    y: str,
    *,
    groups: Groups,
    markers: Groups,
    title: str,
    caption: str,
    labels: tuple[str, str],
    guide: tuple[float, str] | None = None,
    panels: str | None = None,
    panel_title: str = "{value}",
) -> Chart:
    """Draws two metrics against each other on logarithmic axes, each value a point.

    Args:
        dataset: of a study.
        x: the horizontal metric; values of either that are not positive are left out.
        y: the vertical one; both are variables over ``groups.dim``, ``markers.dim`` and
            any others.
        groups: the dimension that colours tell apart.
        markers: the dimension that markers tell apart.
        title: of the chart.
        caption: what is drawn, and what a point is.
        labels: of the horizontal and the vertical axis, with units.
        guide: exponent p and legend text of a line ``y = x**p``.
        panels: a dimension of one of the metrics that makes small multiples; ``None``
            for one panel.
        panel_title: format with ``{value}``.

    Returns:
        A chart named ``<y>_against_<x>``.
    """
    with matplotlib.rc_context(STYLE):
        figure, parts = canvas(dataset, panels, panel_title)
        for axes, part in parts:
            across, up = xr.broadcast(part[x], part[y])
            drawn = (across > 0) & (up > 0)
            _draw_points(axes, across.where(drawn), up.where(drawn), groups, markers)
            axes.set(xscale="log", yscale="log")
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
        if guide is not None:
            for axes, _ in parts:
                _draw_guide(axes, *guide)
        set_labels(figure, parts, labels)
        _legend(figure, parts[0][0], groups, markers)
    return Chart(f"{y}_against_{x}", title, caption, figure)


def _draw_points(
    axes: Axes, x: xr.DataArray, y: xr.DataArray, groups: Groups, markers: Groups
) -> None:
    for group in groups.labels:
        for kind in markers.labels:
            chosen = {groups.dim: group, markers.dim: kind}
            axes.scatter(
                x.sel(chosen),
                y.sel(chosen),
                s=13,
                color=groups.style(group)["color"],
                marker=markers.style(kind)["marker"],
                alpha=0.6,
                linewidths=0,
            )


def _draw_guide(axes: Axes, exponent: float, text: str) -> None:
    """A line ``y = x**exponent`` across the frame, which stays as it is."""
    axes.autoscale(False)
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends**exponent, color="#444444", lw=1, ls=(0, (4, 2)), label=text)


def _legend(figure: Figure, axes: Axes, groups: Groups, markers: Groups) -> None:
    """One column: colours, then markers in grey, then the guide."""
    handles: list[Artist] = [
        Patch(color=groups.style(value)["color"], label=text)
        for value, text in groups.labels.items()
    ]
    dots: dict[str, Any] = {"linestyle": "", "markersize": 5, "color": "#777777"}
    handles += [
        Line2D([], [], marker=markers.style(value)["marker"], label=text, **dots)
        for value, text in markers.labels.items()
    ]
    handles += axes.get_lines()
    figure.legend(handles=handles, loc="outside right upper", handlelength=1.5)
