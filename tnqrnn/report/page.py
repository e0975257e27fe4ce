"""A page of HTML that needs nothing else: text, a table, figures, facts."""

import base64
import html
from collections.abc import Mapping, Sequence

from tnqrnn.report.figures import Chart
from tnqrnn.report.tables import Table

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


def page(
    *,
    title: str,
    summary: str,
    state: str,
    failed: str = "",
    table: Table,
    table_caption: str,
    charts: Sequence[Chart],
    command: str,
    facts: Mapping[str, Mapping[str, str]],
) -> str:
    """The text of a page, which holds its images and loads nothing.

    It opens without a network, on any screen. All text is escaped.

    Args:
        title: the page's heading.
        summary: a paragraph of plain text under it.
        state: a line on how much of the work is done.
        failed: how much has failed, set off by colour; empty for nothing.
        table: results.
        table_caption: what its numbers and intervals are.
        charts: figures in order.
        command: what repeats the work.
        facts: two columns under a heading each, in order.
    """
    failures = f', <span class="failed">{_text(failed)}</span>' if failed else ""
    sections = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(summary)}</p>",
        f'<p class="state">{_text(state)}{failures}.</p>',
        "<h2>Results</h2>",
        _table_html(table, table_caption),
        *map(_figure_html, charts),
        "<h2>Repeat it</h2>",
        f"<pre>{_text(command)}</pre>",
    ]
    for heading, rows in facts.items():
        sections += [f"<h2>{_text(heading)}</h2>", _facts(rows)]
    return _PAGE.format(title=_text(title), width=620, body="\n".join(sections))


def _text(value: str) -> str:
    return html.escape(value)


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
