"""Studies: runs over named axes, kept one by one, then tables, figures, a report.

Study(axes, run) ── execute ──> records/*.json ── dataset ──> xarray.Dataset
│
report.html <── write_report <── summary_table, plot_* of tnqrnn.report
"""

from tnqrnn.records import usable_cores
from tnqrnn.report.figures import (
    Chart,
    Groups,
    interval_words,
    plot_against_axis,
    plot_against_index,
)
from tnqrnn.report.scatter import plot_points
from tnqrnn.report.statistics import Interval, log_slope, mean_interval
from tnqrnn.report.tables import Column, Table, summary_table
from tnqrnn.study.dataset import save_dataset, to_dataset
from tnqrnn.study.execution import use_one_thread
from tnqrnn.study.points import grid_points, replaced
from tnqrnn.study.report import publish, write_report
from tnqrnn.study.study import Outcome, Study

__all__ = [
    "Chart",
    "Column",
    "Groups",
    "Interval",
    "Outcome",
    "Study",
    "Table",
    "grid_points",
    "interval_words",
    "log_slope",
    "mean_interval",
    "plot_against_axis",
    "plot_against_index",
    "plot_points",
    "publish",
    "replaced",
    "save_dataset",
    "summary_table",
    "to_dataset",
    "usable_cores",
    "use_one_thread",
    "write_report",
]
