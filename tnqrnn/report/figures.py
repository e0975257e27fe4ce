"""Figures of a study, drawn from its dataset alone.

Colours are seven of the eight of Okabe and Ito, which colour-blind readers tell apart
(yellow is faint on white), and every group has a marker and a line style as well.
Nothing here touches matplotlib's global state or needs a screen.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tnqrnn.records import write_atomic
from tnqrnn.report.statistics import mean_interval

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX*"
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
_FEW_RUNS = 3
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "tnqrnn",
}


Limits = tuple[float | None, float | None]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A figure with its words.

    Attributes:
        name: file stem.
        title: one line.
        caption: what is drawn, with the kind of interval.
        figure: the picture.
    """

    name: str
    title: str
    caption: str
    figure: Figure

    def image(self, kind: str) -> bytes:
        """The picture as a file's bytes, ``"svg"`` or ``"png"`` (200 dots an inch)."""
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {}
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
        return buffer.getvalue()

    def save(self, directory: str | Path) -> Path:
        """Writes the picture to ``directory/<name>.png`` and returns that path."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        path = Path(directory) / f"{self.name}.png"
        write_atomic(path, self.image("png"))
        return path


@dataclasses.dataclass(frozen=True)
class Groups:
    """The dimension that tells curves apart, and how each of its values looks.

    Attributes:
        dim: the dimension's name.
        labels: legend text for each value, in legend order; values without one are
            not drawn.
        references: values drawn in grey with open markers, as lines to compare with.
    """

    dim: str
    labels: Mapping[Any, str]
    references: Sequence[Any] = ()

    def style(self, value: Any) -> dict[str, Any]:
        """Line properties of one value: the same in every figure."""
        reference = value in self.references
        peers = [v for v in self.labels if (v in self.references) == reference]
        index = peers.index(value)
        colours = ("#444444", "#8c8c8c") if reference else _COLOURS
        return {
            "color": colours[index % len(colours)],
            "linestyle": _DASHES[index % len(_DASHES)],
            "marker": _MARKERS[index % len(_MARKERS)],
            "markerfacecolor": "white" if reference else None,
        }


def plot_against_axis(
    dataset: xr.Dataset,
    metric: str,
    *,
    x: str,
    groups: Groups,
    over: str,
    title: str,
    caption: str,
    labels: tuple[str, str],
    scale: float = 1.0,
    log: bool = False,
    log_x: bool = False,
    limits: Limits = (None, None),
    panels: str | None = None,
    panel_title: str = "{value}",
) -> Chart:
    """Draws a scalar metric against an axis: runs as points, mean and interval.

    Args:
        dataset: of a study.
        metric: a variable over ``x``, ``groups.dim``, ``over`` and ``panels``.
        x: the horizontal axis, numbers.
        groups: the curves.
        over: the dimension of repetition.
        title: of the chart.
        caption: what is drawn; dots or thin lines, mean and interval are added.
        labels: of the horizontal and the vertical axis, with units.
        scale: factor from the variable's unit to the label's.
        log: logarithmic vertical axis, with geometric means; values that are not
            positive are left out.
        log_x: logarithmic horizontal axis, for values above 0.
        limits: bounds that the quantity cannot cross, positive if ``log``; no interval
            is drawn beyond.
        panels: a dimension that makes small multiples; ``None`` for one panel.
        panel_title: format with ``{value}``.

    Returns:
        A chart named after the metric, of 5.6 by 3.9 inches, or of two panels a row
        (three if they are odd in number).
    """
    with matplotlib.rc_context(STYLE):
        figure, parts = canvas(dataset, panels, panel_title)
        shown = _shown(dataset[metric], groups, log)
        ticks = dataset[x].values.astype(float)
        place = np.log2 if log_x else np.asarray
        positions = place(ticks)
        gap = (
            float(np.min(np.diff(np.unique(positions)))) if len(positions) > 1 else 1.0
        )
        step = 0.07 * gap
        for axes, part in parts:
            for index, value in enumerate(shown):
                values = (
                    part[metric].sel({groups.dim: value}).transpose(x, over) * scale
                )
                at = positions + step * (index - (len(shown) - 1) / 2)
                _draw_runs(axes, at, values, over, groups, value, log, limits, step)
            axes.set_xticks(positions, [f"{v:g}" for v in ticks])
        drawn = dataset[metric].sel({groups.dim: shown}) * scale
        _frame(parts[0][0], drawn, log, limits)
        set_labels(figure, parts, labels)
        _legend(figure, groups)
    words = f"{caption} Dots: runs. {interval_words(dataset, over, log=log)}"
    return Chart(metric, title, words, figure)


def plot_against_index(
    dataset: xr.Dataset,
    metric: str,
    *,
    dim: str,
    panels: str | None,
    groups: Groups,
    over: str,
    title: str,
    caption: str,
    labels: tuple[str, str],
    panel_title: str = "{value}",
    log: bool = False,
) -> Chart:
    """Draws an array metric against its own dimension, one panel a value of ``panels``.

    Args:
        dataset: of a study.
        metric: a variable over ``dim``, ``panels``, ``groups.dim`` and ``over``.
        dim: the metric's own dimension, drawn as 1, 2, ...
        panels: the dimension that makes small multiples with common axes; ``None``
            for one panel.
        groups: the curves.
        over: the dimension of repetition.
        title: of the chart.
        caption: what is drawn; dots or thin lines, mean and interval are added.
        labels: of the horizontal and the vertical axis, with units.
        panel_title: format with ``{value}``.
        log: logarithmic vertical axis, with geometric means.

    Returns:
        A chart of two panels a row (three if they are odd in number), named after
        the metric.
    """
    with matplotlib.rc_context(STYLE):
        figure, parts = canvas(dataset, panels, panel_title)
        shown = _shown(dataset[metric], groups, log)
        for axes, part in parts:
            for group in shown:
                values = part[metric].sel({groups.dim: group})
                _draw_band(axes, values, dim, over, groups, group, log)
            axes.xaxis.set_major_locator(
                MaxNLocator(nbins=6, integer=True, min_n_ticks=1)
            )
        _frame(parts[0][0], dataset[metric].sel({groups.dim: shown}), log)
        set_labels(figure, parts, labels)
        _legend(figure, groups)
    words = f"{caption} Thin lines: runs. {interval_words(dataset, over, log=log)}"
    return Chart(metric, title, words, figure)


def interval_words(dataset: xr.Dataset, over: str, *, log: bool = False) -> str:
    """The sentence a caption says about points, means and intervals."""
    count = dataset.sizes[over]
    mean = "geometric mean" if log else "mean"
    if count == 1:
        return f"One {over}: no interval."
    scale = " of the logarithm" if log else ""
    words = f"{mean.capitalize()} of {count} {over}s, 95% Student t interval{scale}."
    if count <= _FEW_RUNS:
        words += f" From {count} runs it is wide, and is cut at the frame."
    return words


def canvas(
    dataset: xr.Dataset, panels: str | None, panel_title: str
) -> tuple[Figure, list[tuple[Axes, xr.Dataset]]]:
    """A figure and what each of its panels shows; all have common axes."""
    if panels is None:
        figure = Figure(figsize=(5.6, 3.9), layout="constrained")
        return figure, [(figure.subplots(), dataset)]
    values = dataset[panels].values
    columns = min(len(values), 3 if len(values) % 2 else 2)
    rows = -(-len(values) // columns)
    size = ((3.1 if columns < 3 else 2.5) * columns + 0.6, 2.3 * rows + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        axes.set_visible(index < len(values))
        axes.tick_params(labelbottom=index + columns >= len(values))
    parts = []
    for axes, value in zip(grid.flat, values, strict=False):
        axes.set_title(panel_title.format(value=value))
        parts.append((axes, dataset.sel({panels: value})))
    return figure, parts


def set_labels(
    figure: Figure, parts: Sequence[tuple[Axes, Any]], labels: tuple[str, str]
) -> None:
    """Names the axes: of the only panel, or of all panels together."""
    if len(parts) == 1:
        parts[0][0].set(xlabel=labels[0], ylabel=labels[1])
        return
    figure.supxlabel(labels[0], fontsize=10)
    figure.supylabel(labels[1], fontsize=10)


def _legend(figure: Figure, groups: Groups) -> None:
    drawn = [axes.get_legend_handles_labels() for axes in figure.axes]
    found = {n: h for hs, ns in drawn for h, n in zip(hs, ns, strict=True)}
    unique = {name: found[name] for name in groups.labels.values() if name in found}
    widest = max((len(text) for text in groups.labels.values()), default=0)
    figure.legend(
        unique.values(),
        unique.keys(),
        loc="outside upper center",
        ncols=min(3 if widest <= 20 else 2, max(1, len(unique))),
    )


def _shown(values: xr.DataArray, groups: Groups, log: bool) -> list[Any]:
    values = values.where(values > 0) if log else values
    present = set(values[groups.dim].values.tolist())
    return [
        value
        for value in groups.labels
        if value in present and values.sel({groups.dim: value}).notnull().any()
    ]


def _draw_runs(
    axes: Axes,
    at: np.ndarray,
    values: xr.DataArray,
    over: str,
    groups: Groups,
    value: Any,
    log: bool,
    limits: Limits,
    step: float,
) -> None:
    style = groups.style(value)
    mean, low, high, _ = mean_interval(values, over, log=log)
    low, high = low.clip(*limits), high.clip(*limits)
    beside = np.repeat(at[:, None] + 0.25 * step, values.sizes[over], axis=1)
    axes.scatter(beside, values, s=8, color=style["color"], alpha=0.6, linewidths=0)
    here = mean.notnull().values
    axes.plot(
        at[here], mean.values[here], ms=5, lw=1.4, label=groups.labels[value], **style
    )
    axes.vlines(at, low, high, color=style["color"], lw=1.4)


def _draw_band(
    axes: Axes,
    values: xr.DataArray,
    dim: str,
    over: str,
    groups: Groups,
    group: Any,
    log: bool,
) -> None:
    """The mean over runs as a line with its interval, each run a thin line."""
    if not values.notnull().any():
        return
    style = groups.style(group)
    mean, low, high, _ = mean_interval(values, over, log=log)
    at = np.arange(1, values.sizes[dim] + 1)
    # markers as long as they can be told apart
    line_style = style if len(at) <= 12 else style | {"marker": ""}
    axes.plot(at, mean, lw=1.4, ms=3.5, label=groups.labels[group], **line_style)
    runs = values.transpose(dim, over)
    axes.plot(at, runs, color=style["color"], lw=0.5, alpha=0.4)
    axes.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _frame(
    axes: Axes,
    values: xr.DataArray,
    log: bool,
    limits: Limits = (None, None),
) -> None:
    """Frames the runs, not the intervals, which may be many times longer."""
    drawn = values.values[np.isfinite(values.values)]
    if log:
        axes.set_yscale("log")
        drawn = np.log10(drawn[drawn > 0])
    if drawn.size == 0:
        return
    low, high = float(drawn.min()), float(drawn.max())
    pad = 0.25 * (high - low) or 0.1 * abs(high) or 1.0
    if log:
        pad = max(pad, (1 - (high - low)) / 2)  # a decade at least
    bottom, top = low - pad, high + pad
    floor, ceiling = (
        np.log10(end) if log and end is not None else end for end in limits
    )
    edge = 0.02 * (top - bottom)  # a point on a limit is drawn whole
    bottom = bottom if floor is None else max(bottom, floor - edge)
    top = top if ceiling is None else min(top, ceiling + edge)
    if log:
        if top - bottom < 2:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        bottom, top = 10**bottom, 10**top
    axes.set_ylim(bottom, top)
