"""Tables of a study: one row a group, mean and interval over the repetitions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from tnqrnn.study.statistics import mean_interval


class Column(NamedTuple):
    """A metric in a table.

    Attributes:
        metric: the variable's name.
        label: the column's heading, with the unit.
        scale: factor from the variable's unit to the heading's.
        format: of the number, as in an f-string.
        interval: whether the interval is given.
    """

    metric: str
    label: str
    scale: float = 1.0
    format: str = ".2f"
    interval: bool = True


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
    means: list[np.ndarray] = []
    halves: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    for column in columns:
        mean, _, high, count = mean_interval(dataset[column.metric], over)
        for flat, values in ((means, mean), (halves, high - mean), (counts, count)):
            flat.append(values.transpose(*by).values.reshape(-1))
    runs = np.max(counts, axis=0)
    labels = [dataset[name].values for name in by]
    groups = np.stack(np.meshgrid(*labels, indexing="ij"), -1).reshape(-1, len(by))
    rows = []
    for g in np.flatnonzero(runs):
        cells = [
            _cell(c, mean[g] * c.scale, half[g] * c.scale)
            for c, mean, half in zip(columns, means, halves, strict=True)
        ]
        rows.append([*map(str, groups[g]), *cells, str(runs[g])])
    return Table([*by, *(c.label for c in columns), f"{over}s"], rows)


def _cell(column: Column, mean: float, half: float) -> str:
    if np.isnan(mean):
        return "–"
    text = f"{mean:{column.format}}"
    if column.interval and not np.isnan(half):
        text += f" ± {half:{column.format}}"
    return text
