"""What a study's directory shows: data, pictures and a report of one HTML file."""

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tnqrnn.records import write_atomic
from tnqrnn.report.figures import Chart
from tnqrnn.report.page import page
from tnqrnn.report.tables import Table
from tnqrnn.study.dataset import save_dataset
from tnqrnn.study.points import axis_values
from tnqrnn.study.study import Study


def write_report(
    path: str | Path,
    study: Study,
    *,
    title: str,
    summary: str,
    table: Table,
    table_caption: str,
    charts: Sequence[Chart],
) -> None:
    """Writes a page with a study's table, figures and everything needed to repeat it.

    The file holds its images and loads nothing: it opens without a network, on any
    screen. It names the command of the running program, the configuration, and the
    versions, commit and device that the records themselves carry; where runs were
    made by several of them it says how many by each.

    Args:
        path: of the HTML file, replaced atomically.
        study: read for its records and failures.
        title: the page's heading.
        summary: a paragraph of plain text under it.
        table: results (`summary_table`).
        table_caption: what its numbers and intervals are.
        charts: figures in order.
    """
    records = study.records()
    failed = len(study.failures())
    text = page(
        title=title,
        summary=summary,
        state=f"{len(records)} of {len(study.points())} runs finished",
        failed=f"{failed} failed" if failed else "",
        table=table,
        table_caption=table_caption,
        charts=charts,
        command=command(),
        facts={
            "Configuration": _configuration(study),
            "Made by": _origins([record["provenance"] for record in records]),
        },
    )
    write_atomic(Path(path), text.encode())


def publish(study: Study, *, charts: Sequence[Chart], **words: Any) -> Path:
    """Writes all that a study's directory shows: data, pictures and the report.

    These are ``results.nc``, ``results.csv`` (`save_dataset`), ``figures/*.png`` and
    ``report.html``.

    Args:
        study: with at least one finished run.
        charts: figures in order.
        **words: the other arguments of `write_report`.

    Returns:
        The report's path.
    """
    dataset = study.dataset()
    for suffix in (".nc", ".csv"):
        save_dataset(dataset, study.directory / f"results{suffix}")
    for chart in charts:
        chart.save(study.directory / "figures")
    path = study.directory / "report.html"
    write_report(path, study, charts=charts, **words)
    return path


def command() -> str:
    """The command line of this program, as it can be typed again where it was."""
    script = sys.argv[0]
    relative = os.path.relpath(script) if os.path.isabs(script) else script
    shortest = script if relative.startswith("..") else relative
    return shlex.join(["python", shortest, *sys.argv[1:]])


def _configuration(study: Study) -> dict[str, str]:
    axes = axis_values(study.points())
    facts = {f"axis {name}": ", ".join(map(str, axes[name])) for name in axes}
    settings = study.configuration["settings"]
    return facts | {name: json.dumps(value) for name, value in settings.items()}


def _origins(provenances: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    names = dict.fromkeys(name for origin in provenances for name in origin)
    facts = {}
    for name in names:
        values = Counter(_plain(origin.get(name)) for origin in provenances)
        single = len(values) == 1
        facts[name] = "; ".join(
            value if single else f"{value} ({count} run{'s' * (count > 1)})"
            for value, count in values.most_common()
        )
    return facts


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
