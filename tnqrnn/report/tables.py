"""Tables of a study: one row a group, mean and interval over the repetitions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from tnqrnn.report.statistics import mean_interval


class Column(NamedTuple):
    """A metric in a table.

    Attributes:
        metric: the variable's name.
        label: the column's heading, with the unit.
        scale: factor from the variable's unit to the heading's.
        format: of the number, as in an f-string.
        interval: whether the interval is given.
        log: geometric mean and interval of the logarithms, for positive quantities
            that span decades.
    """

    metric: str
    label: str
    scale: float = 1.0
    format: str = ".2f"
    interval: bool = True
    log: bool = False


class Table(NamedTuple):
    """Headings and rows of text."""

    header: list[str]
    rows: list[list[str]]

    def __str__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))
            for line in lines
        ]
        text.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(line.rstrip() for line in text)


def summary_table(
    dataset: xr.Dataset, columns: Sequence[Column], *, by: Sequence[str], over: str
) -> Table:
    """Tabulates ``mean ± half-width of the 95% Student t interval`` (`mean_interval`).

    A column of logarithms reads ``mean [low, high]``: its interval is not symmetric.

    Args:
        dataset: of a study, with the dimensions ``by`` and ``over``.
        columns: scalar metrics; one that no run has is left out.
        by: dimensions that make the rows, the first running slowest.
        over: the dimension of repetition; its count is the last column.

    Returns:
        Rows for the groups with at least one run.

    Raises:
        ValueError: no column is a metric of the dataset.
    """
    columns = [column for column in columns if column.metric in dataset]
    if not columns:
        raise ValueError("columns must name a metric of the dataset, got none.")
    intervals = []
    for column in columns:
        interval = mean_interval(dataset[column.metric], over, log=column.log)
        intervals.append([part.transpose(*by).values.reshape(-1) for part in interval])
    runs = np.max([n_runs for *_, n_runs in intervals], axis=0)
    labels = [dataset[name].values for name in by]
    groups = np.stack(np.meshgrid(*labels, indexing="ij"), -1).reshape(-1, len(by))
    rows = []
    for g in np.flatnonzero(runs):
        cells = [
            _cell(column, *(part[g] * column.scale for part in parts))
            for column, (*parts, _) in zip(columns, intervals, strict=True)
        ]
        rows.append([*map(str, groups[g]), *cells, str(runs[g])])
    return Table([*by, *(c.label for c in columns), f"{over}s"], rows)


def _cell(column: Column, mean: float, low: float, high: float) -> str:
    if np.isnan(mean):
        return "–"
    text = f"{mean:{column.format}}"
    if not column.interval or np.isnan(high):
        return text
    if column.log:
        return f"{text} [{low:{column.format}}, {high:{column.format}}]"
    return f"{text} ± {high - mean:{column.format}}"
