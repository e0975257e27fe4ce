"""Datasets, tables, figures and the report."""

import base64
import re
import sys

import numpy as np
import pytest
import xarray as xr
from study_runs import Settings, power

from tnqrnn.records import read_json, write_json
from tnqrnn.study import (
    Column,
    Curve,
    Groups,
    Mark,
    Study,
    Table,
    interval_words,
    mean_interval,
    plot_against_axis,
    plot_against_index,
    publish,
    save_dataset,
    summary_table,
    to_dataset,
    write_report,
)

GRIDS = [
    {"kind": ["a"], "x": [1, 2, 3], "seed": [0, 1]},
    {"kind": ["b"], "x": [2], "seed": [0]},
]
GROUPS = Groups("kind", {"a": "A", "b": "B"}, references=("b",))


@pytest.fixture
def study(tmp_path):
    settings = Settings(data_dir=str(tmp_path))
    dims = {"curve": ("step",)}
    one = Study("toy", GRIDS, power, settings, tmp_path / "study", dims=dims)
    one.execute(progress=False)
    return one


def test_a_dataset_has_the_axes_and_nan_where_nothing_ran(study):
    dataset = study.dataset()
    assert dataset["value"].dims == ("kind", "x", "seed")
    assert dataset["value"].sel(kind="a", x=3, seed=1) == pytest.approx(3.1**2)
    assert np.isnan(dataset["value"].sel(kind="b", x=3, seed=0))
    assert int(dataset["value"].notnull().sum()) == 7


def test_arrays_are_padded_to_the_longest(study):
    curve = study.dataset()["curve"]
    assert curve.dims == ("kind", "x", "seed", "step") and curve.sizes["step"] == 3
    np.testing.assert_array_equal(curve.sel(kind="a", x=2, seed=0), [0, 4, np.nan])


def record(x, /, **metrics):
    measured = {"wall_seconds": 1.0, "peak_memory_bytes": 5}
    return {"point": {"x": x}, "metrics": metrics, **measured}


def test_whole_numbers_stay_whole():
    points = [{"x": 1}, {"x": 2}]
    whole = to_dataset([record(1, k=3), record(2, k=4)], points)
    assert whole["k"].dtype == np.int64 and whole["k"].values.tolist() == [3, 4]
    assert to_dataset([record(1, k=3)], points)["k"].dtype == np.float64


def test_metrics_that_do_not_fit_together_are_refused():
    points = [{"x": 1}, {"x": 2}]
    with pytest.raises(ValueError, match=r"metrics\['k'\] must have 1 dimensions"):
        to_dataset([record(1, k=3), record(2, k=[4])], points)
    with pytest.raises(ValueError, match=r"must differ from the axes \['x'\], got 'x'"):
        to_dataset([record(1, x=3)], points)


def test_a_saved_dataset_is_read_back(study, tmp_path):
    dataset = study.dataset()
    save_dataset(dataset, tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as read:
        xr.testing.assert_equal(read.load(), dataset)
    save_dataset(dataset, tmp_path / "r.csv")
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0] == "kind,x,seed,value,wall_seconds,peak_memory_bytes"
    assert len(lines) == 8 and lines[1].startswith("a,1,0,1,")
    with pytest.raises(ValueError, match="ending must be one of"):
        save_dataset(dataset, tmp_path / "r.pkl")


def test_the_interval_covers_the_mean_19_times_in_20():
    draws = np.random.default_rng(0).normal(3, 2, size=(4000, 5))
    interval = mean_interval(xr.DataArray(draws, dims=("trial", "seed")), "seed")
    covered = (interval.low < 3) & (interval.high > 3)
    assert abs(float(covered.mean()) - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 4000)


def test_geometric_interval_and_single_values():
    values = xr.DataArray([[1.0, 100.0], [5.0, np.nan]], dims=("x", "seed"))
    mean, low, high, n_runs = mean_interval(values, "seed", log=True)
    np.testing.assert_allclose(mean, [10, 5])
    np.testing.assert_allclose(low * high, [100, np.nan])
    assert n_runs.values.tolist() == [2, 1]


def test_a_table_has_a_row_for_each_group_that_ran(study):
    columns = [Column("value", "value, %", 100, ".1f"), Column("absent", "absent")]
    table = summary_table(study.dataset(), columns, by=("kind", "x"), over="seed")
    assert table.header == ["kind", "x", "value, %", "seeds"]
    assert [row[:2] for row in table.rows] == [
        ["a", "1"],
        ["a", "2"],
        ["a", "3"],
        ["b", "2"],
    ]
    half = 12.7062 * (1.21 - 1) / 2 * 100
    assert table.rows[0][2:] == [f"110.5 ± {half:.1f}", "2"]
    assert table.rows[3][2:] == ["400.0", "1"]
    assert str(table).splitlines()[1].startswith("----  -  ")
    with pytest.raises(ValueError, match="columns must name a metric of the dataset"):
        summary_table(study.dataset(), columns[1:], by=("kind",), over="seed")


def axis_chart(study, **options):
    return plot_against_axis(
        study.dataset(), "value", x="x", groups=GROUPS, over="seed",
        title="Value & more", caption="All.", labels=("x", "value"), **options,
    )  # fmt: skip


def test_an_axis_figure_draws_every_run_and_the_mean(study):
    axes = axis_chart(study, scale=2).figure.axes[0]
    drawn = np.concatenate([c.get_offsets()[:, 1] for c in axes.collections[::2]])
    wanted = 2 * study.dataset()["value"].values.ravel()
    np.testing.assert_allclose(
        sorted(drawn[np.isfinite(drawn)]), sorted(wanted[wanted == wanted])
    )
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [2.21, 8.41, 18.61])
    assert [text.get_text() for text in axes.figure.legends[0].texts] == ["A", "B"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "value")


def test_curves_replace_the_line_of_means_and_marks_are_named(study):
    curves = {"a": Curve([1, 2], [3.0, 5.0])}
    marks = [Mark("b", 2, 4.0, "here")]
    axes = axis_chart(
        study, scale=2, log_x=True, curves=curves, marks=marks
    ).figure.axes[0]
    means, curve, mark = axes.lines[0], *axes.lines[2:]
    assert means.get_linestyle() == "None" and axes.lines[1].get_linestyle() != "None"
    np.testing.assert_allclose(curve.get_xydata(), [[0, 6], [1, 10]])
    np.testing.assert_allclose(mark.get_xydata(), [[1, 8]])
    assert mark.get_color() == GROUPS.style("b")["color"]
    assert [text.get_text() for text in axes.texts] == ["here"]


def test_the_frame_holds_every_run_and_respects_limits(study):
    low, high = axis_chart(study, limits=(0, None)).figure.axes[0].get_ylim()
    assert low > -1 and high > 3.1**2
    low, high = axis_chart(study, log=True).figure.axes[0].get_ylim()
    assert 0 < low < 1 and high > 3.1**2


def test_a_logarithmic_axis_leaves_out_what_is_not_positive(study):
    dataset = study.dataset()
    dataset["value"] = dataset["value"].where(dataset["kind"] == "a", 0.0)
    chart = plot_against_axis(
        dataset, "value", x="x", groups=GROUPS, over="seed", title="Value",
        caption="All.", labels=("x", "value"), log=True,
    )  # fmt: skip
    assert [text.get_text() for text in chart.figure.legends[0].texts] == ["A"]


def test_an_index_figure_has_a_panel_for_each_value(study):
    chart = plot_against_index(
        study.dataset(), "curve", dim="step", panels="x", groups=GROUPS, over="seed",
        title="Curve", caption="All.", labels=("step", "curve"),
        panel_title="x = {value}", log=True,
    )  # fmt: skip
    figure = chart.figure
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in visible] == ["x = 1", "x = 2", "x = 3"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["A", "B"]
    mean = visible[2].lines[0].get_ydata()
    np.testing.assert_allclose(mean[1:], np.arange(1, 3) * 9.3)
    assert "Geometric mean of 2 seeds" in chart.caption


def test_a_group_looks_the_same_in_every_figure():
    groups = Groups("kind", {"a": "A", "r": "R", "b": "B"}, references=("r",))
    looks = [tuple(map(str, groups.style(kind).values())) for kind in "arb"]
    assert len({look[0] for look in looks}) == 3
    assert groups.style("b") == Groups("kind", {"a": "A", "b": "B"}).style("b")


def test_words_name_the_interval(study):
    dataset = study.dataset()
    assert "Mean of 2 seeds, 95% Student t" in axis_chart(study).caption
    assert "Mean of 2 seeds, 95% Student t" in interval_words(dataset, "seed")
    assert "Geometric mean" in interval_words(dataset, "seed", log=True)
    assert "no interval" in interval_words(dataset.isel(seed=[0]), "seed")


def test_a_report_needs_nothing_else(study, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["studies/toy.py", "--name", "a b"])
    dataset = study.dataset()
    table = summary_table(
        dataset, [Column("value", "v")], by=("kind", "x"), over="seed"
    )
    path = tmp_path / "report.html"
    write_report(
        path, study, title="A <study>", summary="What & why.", table=table,
        table_caption="Mean ± interval.", charts=[axis_chart(study)],
    )  # fmt: skip
    page = path.read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 1 and sources[0].startswith("data:image/svg+xml;base64,")
    image = base64.b64decode(sources[0].split(",")[1]).decode()
    assert image.startswith("<?xml") and "<image" not in image
    assert not re.search(r'(?:href|src)="(?!#)', image)
    assert "A &lt;study&gt;" in page and "What &amp; why." in page
    assert "python studies/toy.py --name &#x27;a b&#x27;" in page
    assert "7 of 7 runs finished" in page and "failed" not in page.split("<body>")[1]
    assert "width=device-width" in page
    for fact in ("axis kind", "power", "jaxlib", "commit", "device"):
        assert f"<th>{fact}</th>" in page


def test_a_report_counts_runs_of_different_origin(study, tmp_path):
    path = next((tmp_path / "study" / "records").iterdir())
    record = read_json(path)
    write_json(path, record | {"provenance": record["provenance"] | {"commit": "beef"}})
    table = Table(["kind"], [["a"]])
    write_report(
        tmp_path / "r.html", study, title="t", summary="s", table=table,
        table_caption="c", charts=[],
    )  # fmt: skip
    page = (tmp_path / "r.html").read_text()
    assert "beef (1 run)" in page and "(6 runs)" in page


def test_a_picture_is_the_same_each_time(study):
    assert axis_chart(study).image("svg") == axis_chart(study).image("svg")
    assert axis_chart(study).image("png").startswith(b"\x89PNG")


def test_publish_writes_data_pictures_and_report(study, tmp_path):
    report = publish(
        study, title="t", summary="s", table=Table(["kind"], [["a"]]),
        table_caption="c", charts=[axis_chart(study)],
    )  # fmt: skip
    written = {path.name for path in (tmp_path / "study").glob("*.*")}
    assert written == {"study.json", "results.nc", "results.csv", "report.html"}
    assert (report.parent / "figures" / "value.png").stat().st_size > 1000
