"""What ``tnqrnn train`` shows of finished runs: a table of scores, and two figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tnqrnn.report.figures import Groups, plot_against_index
from tnqrnn.report.statistics import mean_interval
from tnqrnn.report.tables import Table


def scores_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """A row a seed, and below several the mean with the half-width of its interval.

    The interval is Student's of 95% (:func:`tnqrnn.study.mean_interval`).

    Args:
        results: of runs that differ in their seeds alone.
    """
    columns: dict[str, list[float]] = {
        f"test {name.replace('_', ' ')}": [run["test"][name] for run in results]
        for name in results[0]["test"]
        if any(run["test"][name] for run in results)  # exact states lose nothing
    }
    for name, label in (
        ("cell_parameters", "parameters of the cell"),
        ("parameters", "of all"),
        ("best_epoch", "best epoch"),
    ):
        columns[label] = [run[name] for run in results]
    columns["step, ms"] = [1e3 * run["seconds_per_step"] for run in results]
    rows = [
        [str(run["seed"]), *(f"{values[i]:.5g}" for values in columns.values())]
        for i, run in enumerate(results)
    ]
    if len(results) > 1:
        rows.append(["mean", *map(_mean, columns.values())])
    return Table(["seed", *columns], rows)


def _mean(values: Sequence[float]) -> str:
    interval = mean_interval(xr.DataArray(values, dims="seed"), "seed")
    mean, half = float(interval.mean), float(interval.high - interval.mean)
    return f"{mean:.5g} ± {half:.2g}" if half > 0 else f"{mean:.5g}"


def draw_history(
    results: Sequence[Mapping[str, Any]], directory: Path, *, judge: str
) -> list[Path]:
    """Draws loss, and the score that chooses the epoch, against the epoch.

    Characters have bits a character in place of the perplexity, which says the same.

    Args:
        results: as for :func:`scores_table`.
        directory: where the pictures go, as ``loss.png`` and ``valid_<score>.png``.
        judge: the score; the loss alone is drawn where that is it.

    Returns:
        the paths.
    """
    metrics: dict[str, tuple[str, ...]] = {"loss": ("train_loss", "valid_loss")}
    if "valid_bits_per_character" in results[0]["history"]:
        judge = "bits_per_character"
    if judge != "loss":
        metrics[f"valid_{judge}"] = (f"valid_{judge}",)
    labels = {"train": "training", "valid": "validation"}
    seeds = [run["seed"] for run in results]
    paths = []
    for metric, names in metrics.items():
        curves = [[run["history"][name] for run in results] for name in names]
        # Patience may end seeds at different epochs.
        length = max(len(curve) for part in curves for curve in part)
        filled = np.full((len(names), len(seeds), length), np.nan)
        for i, part in enumerate(curves):
            for j, curve in enumerate(part):
                filled[i, j, : len(curve)] = curve
        splits = [name.partition("_")[0] for name in names]
        dataset = xr.Dataset(
            {metric: (("split", "seed", "epoch"), filled)},
            coords={"split": splits, "seed": seeds},
        )
        words = metric.removeprefix("valid_").replace("_", " ")
        chart = plot_against_index(
            dataset,
            metric,
            dim="epoch",
            panels=None,
            groups=Groups("split", labels),
            over="seed",
            title=f"{words.capitalize()} against epoch",
            caption="",
            labels=("epoch", words),
        )
        if len(seeds) > 1:  # a picture alone has no caption that says so
            axes = chart.figure.axes[0]
            axes.set_title("thin: seeds; band: 95% interval of their mean")
        paths.append(chart.save(directory))
    return paths
