"""Records, resuming, and what a study refuses."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import study_runs
import xarray as xr
from study_runs import Settings, fail_at_two, power, slow_study

from tnqrnn.records import RecordError, write_json
from tnqrnn.study import Study, grid_points, save_dataset

AXES = {"x": [1, 2, 3], "seed": [0, 1]}


def study(tmp_path, axes=AXES, run=power, settings=None, **options):
    settings = settings or Settings(data_dir=str(tmp_path))
    return Study("toy", axes, run, settings, tmp_path / "study", **options)


def calls(tmp_path):
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_points_of_a_union_of_grids_are_listed_once():
    grids = [{"a": [1, 2], "b": ["u"]}, {"b": ["u", "v"], "a": [2]}]
    found = grid_points(grids)
    assert found == [{"a": 1, "b": "u"}, {"a": 2, "b": "u"}, {"a": 2, "b": "v"}]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "at least one axis, got {}"),
        ([], "at least one axis"),
        ({"x": []}, r"axes\['x'\] must be a sequence of one value or more, got \[\]"),
        ({"x": "abc"}, "must be a sequence of one value or more, got 'abc'"),
        ({"x": [1, 1]}, r"must not repeat a value, got \[1, 1\]"),
        ({"x": [float("nan")]}, "finite numbers or bools, got nan"),
        ({"x": [None]}, "finite numbers or bools, got None"),
        ({"not a name": [1]}, "Python identifiers, got 'not a name'"),
        ([{"x": [1]}, {"y": [1]}], r"same names \['x'\], got \['y'\]"),
    ],
)
def test_axes_that_make_no_grid_are_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        grid_points(axes)


def test_every_point_is_run_once_and_kept(tmp_path):
    outcome = study(tmp_path).execute(progress=False)
    assert outcome.computed == grid_points(AXES)
    assert (outcome.reused, outcome.failed) == ([], [])
    assert len(calls(tmp_path)) == 6
    again = study(tmp_path).execute(progress=False)
    assert again.reused == grid_points(AXES) and again.computed == []
    assert len(calls(tmp_path)) == 6


def test_a_record_carries_point_settings_and_origin(tmp_path):
    study(tmp_path).execute(progress=False)
    record = study(tmp_path).records()[0]
    assert record["point"] == {"x": 1, "seed": 0}
    assert record["settings"] == {"power": 2}
    assert record["metrics"]["value"] == 1
    assert record["wall_seconds"] > 0 and record["peak_memory_bytes"] > 1e6
    assert {"jax", "commit", "device", "x64"} <= record["provenance"].keys()


def test_an_axis_may_grow_and_be_reordered(tmp_path):
    study(tmp_path).execute(progress=False)
    longer = {"seed": [0, 1, 2], "x": [1, 2, 3, 4]}
    outcome = study(tmp_path, longer).execute(progress=False)
    assert len(outcome.reused) == 6 and len(outcome.computed) == 6
    assert len(calls(tmp_path)) == 12


def test_skipped_points_do_not_run(tmp_path):
    some = study(tmp_path, skip=lambda point: point["x"] > 1)
    assert len(some.execute(progress=False).computed) == 2
    assert calls(tmp_path) == ["1 0", "1 1"]
    with pytest.raises(ValueError, match="skip must leave at least one point"):
        study(tmp_path, skip=lambda point: True)


def test_a_directory_of_other_settings_is_refused(tmp_path):
    study(tmp_path).execute(progress=False)
    other = study(tmp_path, settings=Settings(power=3))
    where = re.escape(str(tmp_path / "study" / "study.json"))
    with pytest.raises(ValueError, match=f"{where}.*settings.power must be 3, got 2"):
        other.execute(progress=False)


def test_a_directory_of_other_axes_is_refused(tmp_path):
    study(tmp_path).execute(progress=False)
    wider = AXES | {"depth": [1]}
    with pytest.raises(ValueError, match=r"axes must be \['depth', 'seed', 'x'\], got"):
        study(tmp_path, wider).execute(progress=False)


def test_settings_that_do_not_matter_may_change(tmp_path):
    study(tmp_path).execute(progress=False)
    (tmp_path / "elsewhere").mkdir()
    moved = study(tmp_path, settings=Settings(data_dir=str(tmp_path / "elsewhere")))
    assert len(moved.execute(progress=False).reused) == 6


def test_a_new_setting_is_another_configuration(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class More(Settings):
        rate: float = 0.5

    study(tmp_path).execute(progress=False)
    with pytest.raises(ValueError, match="settings.rate must be 0.5, got 'absent'"):
        study(tmp_path, settings=More()).execute(progress=False)


def test_records_without_their_study_are_refused(tmp_path):
    study(tmp_path).execute(progress=False)
    (tmp_path / "study" / "study.json").unlink()
    with pytest.raises(RecordError, match="missing beside a folder of records"):
        study(tmp_path).execute(progress=False)


@pytest.mark.parametrize("spoil", ["cut", "edit"])
def test_a_corrupt_record_is_an_error_and_not_recomputed(tmp_path, spoil):
    study(tmp_path).execute(progress=False)
    path = next((tmp_path / "study" / "records").glob("*x=2*"))
    text = path.read_text()
    path.write_text(text[:-40] if spoil == "cut" else text.replace('"x": 2', '"x": 3'))
    with pytest.raises(ValueError, match=f"{path.name}.*delete the file to run"):
        study(tmp_path).execute(progress=False)
    assert len(calls(tmp_path)) == 6
    path.unlink()
    assert len(study(tmp_path).execute(progress=False).computed) == 1


def test_a_record_of_another_point_is_refused(tmp_path):
    study(tmp_path).execute(progress=False)
    one, other = sorted((tmp_path / "study" / "records").iterdir())[:2]
    one.write_bytes(other.read_bytes())
    with pytest.raises(RecordError, match="must hold the point"):
        study(tmp_path).records()


def test_a_record_of_another_study_is_refused(tmp_path):
    study(tmp_path).execute(progress=False)
    path = next((tmp_path / "study" / "records").iterdir())
    record = json.loads(path.read_text())["payload"]
    write_json(path, record | {"settings": {"power": 9}})
    with pytest.raises(RecordError, match="settings.power must be 2, got 9"):
        study(tmp_path).records()


def test_leftover_temporary_files_do_no_harm(tmp_path):
    study(tmp_path).execute(progress=False)
    (tmp_path / "study" / "records" / ".x.json.0123.tmp").write_text("{")
    assert len(study(tmp_path).execute(progress=False).reused) == 6


@pytest.mark.parametrize("metrics", [{}, {"value": "text"}, {"value": 1j}, 3])
def test_metrics_must_be_real_numbers(tmp_path, metrics, capsys):
    broken = study(tmp_path, run=lambda point, settings: metrics)
    assert len(broken.execute(progress=False).failed) == 6
    assert "must" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("wall_seconds", "must differ from .*'wall_seconds'.*, got 'wall_seconds'"),
        ("peak_memory_bytes", "must differ from .*, got 'peak_memory_bytes'"),
        ("x", "must differ from .*'x'.*, got 'x'"),
        ("step", "must differ from .*'step'.*, got 'step'"),
        ("epoch", "must differ from .*'epoch'.*, got 'epoch'"),
        ("train/loss", "without '/', got 'train/loss'"),
        ("/", "without '/', got '/'"),
        ("", "not empty .*, got ''"),
        ("other_0", "must differ from .*'other_0'.*, got 'other_0'"),
        (".", "names that files can hold.*, got '.'"),
        (3, r"metrics\[3\] must be"),
    ],
)
def test_metrics_that_no_file_could_keep_fail_at_the_first_run(
    tmp_path, metric, message, capsys
):
    one = study(
        tmp_path,
        {"x": [1], "seed": [0]},
        run=lambda point, settings: {"other": [1.0], metric: 2.0},
        dims={"curve": ("step",)},
        coords={"epoch": (1, 2)},
    )
    assert len(one.execute(progress=False).failed) == 1
    assert re.search(message, capsys.readouterr().err)
    assert one.records() == []


@pytest.mark.parametrize("metric", ["loss-train", "a b", "ψ", "x_y", "..", "[0]"])
def test_other_names_of_metrics_are_kept_by_every_file(tmp_path, metric):
    one = study(tmp_path, run=lambda point, settings: {metric: float(point["x"])})
    assert one.execute(progress=False).failed == []
    save_dataset(one.dataset(), tmp_path / "r.nc")
    save_dataset(one.dataset(), tmp_path / "r.csv")
    with xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as read:
        assert read[metric].values.tolist() == [[1, 1], [2, 2], [3, 3]]


def test_strings_that_read_as_floats_are_values_of_an_axis(tmp_path):
    axes = {"max_bond": ["inf", "4", "nan", "-inf", "\\nan"], "seed": [0]}

    def run(point, settings):
        if point["max_bond"] == "4" and not (tmp_path / "mended").exists():
            raise RuntimeError("inf")
        return {"length": len(point["max_bond"])}

    assert study(tmp_path, axes, run).execute(progress=False).failed == [
        {"max_bond": "4", "seed": 0}
    ]
    assert "inf" in study(tmp_path, axes, run).failures()["max_bond=4, seed=0"]
    (tmp_path / "mended").touch()
    again = study(tmp_path, axes, run).execute(progress=False)
    assert len(again.reused) == 4 and len(again.computed) == 1
    dataset = study(tmp_path, axes, run).dataset()
    assert dataset["max_bond"].values.tolist() == axes["max_bond"]
    save_dataset(dataset, tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as read:
        assert read["max_bond"].values.tolist() == axes["max_bond"]
        assert read["length"].sel(max_bond="nan", seed=0) == 3


def test_settings_may_be_strings_that_read_as_floats(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Limits:
        max_bond: object

    def one(value):
        return study(
            tmp_path, {"x": [1]}, lambda point, settings: {"v": 1}, Limits(value)
        )

    one("inf").execute(progress=False)
    assert len(one("inf").execute(progress=False).reused) == 1
    with pytest.raises(ValueError, match="must be inf, got 'inf'"):
        one(float("inf")).execute(progress=False)


def test_settings_must_be_plain(tmp_path):
    with pytest.raises(TypeError, match="settings must be a dataclass, got 3"):
        study(tmp_path, settings=3)
    with pytest.raises(TypeError, match="settings.power must be made of .* got 1j"):
        study(tmp_path, settings=Settings(power=1j)).execute()


def test_a_failure_is_kept_and_tried_again(tmp_path, capsys):
    axes = {"x": [1, 2, 3], "seed": [0]}
    outcome = study(tmp_path, axes, run=fail_at_two).execute(progress=False)
    assert outcome.failed == [{"x": 2, "seed": 0}] and len(outcome.computed) == 2
    assert "no luck with two" in capsys.readouterr().err
    failures = study(tmp_path, axes).failures()
    assert "RuntimeError: no luck" in failures["x=2, seed=0"]
    assert len(study(tmp_path, axes).records()) == 2
    again = study(tmp_path, axes).execute(progress=False)
    assert again.computed == [{"x": 2, "seed": 0}] and len(again.reused) == 2
    assert study(tmp_path, axes).failures() == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_study_goes_on_where_it_was(tmp_path, workers):
    script = Path(study_runs.__file__)
    root = script.parents[1]
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "slow"), str(workers)],
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    records = tmp_path / "slow" / "records"
    deadline = time.monotonic() + 120
    while len(list(records.glob("*.json"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert len(before) == 2
    outcome = slow_study(tmp_path / "slow", "free").execute(progress=False)
    assert [point["x"] for point in outcome.reused] == [0, 1]
    assert [point["x"] for point in outcome.computed] == [2, 3]
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
