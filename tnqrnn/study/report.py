"""A study's report: one HTML file that needs nothing else."""

import base64
import html
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
from tnqrnn.report.tables import Table
from tnqrnn.study.dataset import save_dataset
from tnqrnn.study.points import axis_values
from tnqrnn.study.study import Study

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.55 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 .5rem; }}
p, figcaption {{ overflow-wrap: anywhere; }}
.state {{ color: #555; }}
.failed {{ color: #a33; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .88rem;
  font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #e4e4e4; white-space: nowrap; }}
th {{ border-bottom-color: #888; font-weight: 600; white-space: normal;
  vertical-align: bottom; }}
.facts td {{ white-space: normal; overflow-wrap: anywhere; }}
figure {{ margin: 0; }}
img {{ width: 100%; max-width: {width}px; height: auto; display: block; }}
figcaption, .note {{ color: #555; font-size: .9rem; margin: .6rem 0 0; }}
pre {{ background: #f5f5f5; padding: .7rem .9rem; overflow-x: auto;
  font-size: .88rem; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


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
    sections = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(summary)}</p>",
        _state(study, len(records)),
        "<h2>Results</h2>",
        _table_html(table, table_caption),
        *map(_figure_html, charts),
        "<h2>Repeat it</h2>",
        f"<pre>{_text(command())}</pre>",
        "<h2>Configuration</h2>",
        _facts(_configuration(study)),
        "<h2>Made by</h2>",
        _facts(_origins([record["provenance"] for record in records])),
    ]
    page = _PAGE.format(title=_text(title), width=620, body="\n".join(sections))
    write_atomic(Path(path), page.encode())


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


def _text(value: Any) -> str:
    return html.escape(str(value))


def _state(study: Study, finished: int) -> str:
    points = len(study.points())
    failed = len(study.failures())
    text = f'<p class="state">{finished} of {points} runs finished'
    if failed:
        text += f', <span class="failed">{failed} failed</span>'
    return text + ".</p>"


def _table_html(table: Table, caption: str) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in table.header)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>\n"
        f'<p class="note">{_text(caption)}</p>'
    )


def _figure_html(chart: Chart) -> str:
    image = base64.b64encode(chart.image("svg")).decode()
    return (
        f"<h2>{_text(chart.title)}</h2>\n<figure>"
        f'<img alt="{_text(chart.title)}" src="data:image/svg+xml;base64,{image}">'
        f"<figcaption>{_text(chart.caption)}</figcaption></figure>"
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "\n".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f'<div class="scroll"><table class="facts">{rows}</table></div>'


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
