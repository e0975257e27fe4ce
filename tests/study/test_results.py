"""Datasets, tables, figures and the report."""

import base64
import dataclasses
import re
import sys

import numpy as np
import pytest
import xarray as xr
from study_runs import Settings, power

from tnqrnn.records import read_json, write_json
from tnqrnn.study import (
    Column,
    Groups,
    Study,
    Table,
    interval_words,
    log_slope,
    mean_interval,
    plot_against_axis,
    plot_against_index,
    plot_points,
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


def test_values_along_an_arrays_own_axis(study):
    named = dataclasses.replace(study, coords={"step": ("a", "b", "c", "d")})
    curve = named.dataset()["curve"].sel(kind="a", x=3, seed=0)
    assert float(curve.sel(step="b")) == 9 and np.isnan(curve.sel(step="d"))
    short = dataclasses.replace(study, coords={"step": ("a", "b")})
    with pytest.raises(
        ValueError, match=r"coords\['step'\] must have a value for each"
    ):
        short.dataset()


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
    clash = record(1) | {"metrics": {"wall_seconds": 3}}
    with pytest.raises(ValueError, match="must differ from .*, got 'wall_seconds'"):
        to_dataset([clash], points)


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


def test_the_slope_is_that_of_each_repetition():
    x = xr.DataArray([[1.0, 10.0, 100.0]] * 3, dims=("seed", "point"))
    power = xr.DataArray([0.4, 0.5, 0.6], dims="seed")
    y = xr.DataArray([1.0, 7.0, 50.0], dims="seed") * x**power
    mean, low, high, n_runs = log_slope(x, y.where(y != y[0, 0], 0.0), "seed")
    np.testing.assert_allclose(mean, 0.5)
    np.testing.assert_allclose(
        [low, high], 0.5 + 4.3027 * 0.1 / 3**0.5 * np.array([-1, 1]), rtol=1e-4
    )
    assert int(n_runs) == 3
    assert int(log_slope(x, y.where(x < 10), "seed").n_runs) == 0


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


def test_a_column_of_logarithms_gives_the_ends_of_its_interval(study):
    columns = [Column("value", "value", format=".2f", log=True)]
    table = summary_table(study.dataset(), columns, by=("kind", "x"), over="seed")
    middle, spread = 1.1, 1.1 ** (2 * 12.7062 / 2)
    low, high = middle / spread, middle * spread
    assert table.rows[0] == ["a", "1", f"{middle:.2f} [{low:.2f}, {high:.2f}]", "2"]
    assert table.rows[3] == ["b", "2", "4.00", "1"]


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


def test_the_frame_holds_every_run_and_respects_limits(study):
    low, high = axis_chart(study, limits=(0, None)).figure.axes[0].get_ylim()
    assert low > -1 and high > 3.1**2
    low, high = axis_chart(study, log=True).figure.axes[0].get_ylim()
    assert 0 < low < 1 and high > 3.1**2
    bounded = axis_chart(study, log=True, limits=(None, 10.0)).figure.axes[0]
    assert 10 < bounded.get_ylim()[1] < 12


def test_a_logarithmic_axis_leaves_out_what_is_not_positive(study):
    dataset = study.dataset()
    dataset["value"] = dataset["value"].where(dataset["kind"] == "a", 0.0)
    chart = plot_against_axis(
        dataset, "value", x="x", groups=GROUPS, over="seed", title="Value",
        caption="All.", labels=("x", "value"), log=True,
    )  # fmt: skip
    assert [text.get_text() for text in chart.figure.legends[0].texts] == ["A"]


def test_an_axis_figure_has_a_panel_for_each_value(study):
    dataset = study.dataset()
    twice = dataset.expand_dims(part=["p", "q"]) * xr.DataArray([1, 2], dims="part")
    chart = plot_against_axis(
        twice, "value", x="x", groups=GROUPS, over="seed", title="Value", caption="All",
        labels=("x", "value"), panels="part", panel_title="part {value}",
    )  # fmt: skip
    first, second = chart.figure.axes
    assert [first.get_title(), second.get_title()] == ["part p", "part q"]
    np.testing.assert_allclose(
        2 * first.lines[0].get_ydata(), second.lines[0].get_ydata()
    )
    assert first.get_ylim() == second.get_ylim()
    assert [text.get_text() for text in chart.figure.legends[0].texts] == ["A", "B"]


def test_a_figure_of_points_draws_each_positive_pair(study):
    dataset = study.dataset()
    dataset["square"] = dataset["value"] ** 2
    dataset["other"] = dataset["value"].where(dataset["x"] > 1, 0.0)
    chart = plot_points(
        dataset, "square", "other", groups=GROUPS,
        markers=Groups("x", {2: "x = 2", 3: "x = 3"}), title="Points", caption="All.",
        labels=("square", "value"), guide=(0.5, "root"),
    )  # fmt: skip
    assert chart.name == "other_against_square"
    (axes,) = chart.figure.axes
    points = np.concatenate([drawn.get_offsets() for drawn in axes.collections])
    points = points[np.isfinite(np.ma.filled(points, np.nan)).all(axis=1)]
    wanted = [2.0**2, 2.1**2, 3.0**2, 3.1**2, 2.0**2]
    np.testing.assert_allclose(sorted(points[:, 1]), sorted(wanted))
    np.testing.assert_allclose(points[:, 0], points[:, 1] ** 2)
    across, up = axes.lines[0].get_data()
    np.testing.assert_allclose(up, across**0.5)
    texts = [text.get_text() for text in chart.figure.legends[0].texts]
    assert texts == ["A", "B", "x = 2", "x = 3", "root"]


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
