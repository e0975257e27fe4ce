"""Each study script, end to end at its smallest size."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from tolerances import EXACT, GRADIENT

import tnqrnn as tq
from tnqrnn.tasks.objectives import cross_entropy_sums

AXES = ("backend", "max_bond", "n_qubits")  # of representation_cost.py
ROOT = Path(__file__).parents[1]


def run_script(name, *arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "studies" / name), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_ENABLE_X64": "0"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def times_of_records(directory):
    files = (directory / "records").glob("*.json")
    return {path.name: path.stat().st_mtime_ns for path in files}


@pytest.mark.slow
def test_accuracy(tmp_path):
    tiny = ("accuracy.py", "--preset", "tiny", "--workers", 1, "--out", tmp_path)
    done = run_script(*tiny)
    assert done.returncode == 0, done.stderr
    assert f"Report: {tmp_path / 'report.html'}" in done.stdout
    pattern = r"^(statevector|mps|lstm) +(\d) +2 .* 2$"
    rows = re.findall(pattern, done.stdout, re.MULTILINE)
    assert rows == [("statevector", "0"), ("mps", "2"), ("lstm", "0")]

    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as read:
        dataset = read.load()
    assert dict(dataset.sizes) == {
        "seed": 2, "n_qubits": 1, "model": 3, "max_bond": 2, "time_step": 8, "epoch": 1
    }  # fmt: skip
    assert dataset["max_bond"].dtype.kind == "i"
    exact = dataset.sel(model="statevector", max_bond=0)
    mps, lstm = (
        dataset.sel(model="mps", max_bond=2),
        dataset.sel(model="lstm", max_bond=0),
    )
    for line in (exact, mps, lstm):
        assert line["test_accuracy"].notnull().all()
        assert (line["gradient_inputs_before"] > 0).all()
    for line in (exact, mps):
        assert (line["gradient_angles_after"] > 0).all()
    np.testing.assert_allclose(mps["test_loss"], exact["test_loss"], rtol=1e-3)
    assert (mps["infidelity"] == 0).all()
    assert (abs(lstm["n_params"] / exact["n_params"] - 1) < 0.1).all()
    names = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert {"test_accuracy.png", "valid_loss.png", "seconds_per_step.png"} <= names
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == len(names)
    assert "6 of 6 runs finished" in page and "--preset tiny" in page

    before = times_of_records(tmp_path)
    again = run_script(*tiny)
    assert again.returncode == 0 and times_of_records(tmp_path) == before
    other = run_script(*tiny, "--epochs", 2)
    assert other.returncode != 0 and "settings.epochs must be 2, got 1" in other.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("accuracy.py", ("--epochs", 0), "epochs must be an integer >= 1, got 0"),
        ("accuracy.py", ("--n-qubits", 0), "n_qubits must be an integer >= 1, got 0"),
        ("accuracy.py", ("--seeds", 0), r"axes\['seed'\] must be a sequence of one"),
        ("sensitivity.py", ("--n-steps", 0), "n_steps must be an integer >= 1, got 0"),
        ("gradient_fidelity.py", ("--n-qubits", 2), "n_qubits must be at least 4"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(
    script, arguments, message, tmp_path
):
    out = tmp_path / "study"
    refused = run_script(script, *arguments, "--out", out)
    assert refused.returncode != 0 and re.search(message, refused.stderr)
    assert not out.exists()


@pytest.mark.parametrize(
    ("wrong_by", "noise", "off", "unresolved"),
    [
        (0, 0, False, False),
        (0, 1e-9, False, False),
        (0, 1e-4, True, True),
        (1e-3, 0, True, False),
        (1e-3, 1e-9, True, False),
        (1e-3, 1e-4, True, True),
    ],
)
def test_a_wrong_gradient_is_told_from_differences_that_fail(
    wrong_by, noise, off, unresolved, rng, monkeypatch
):
    """Noise of a loss is that of a difference times its step."""
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    study = importlib.import_module("true_gradient")
    steps = study.Settings().steps
    angles = rng.normal(size=(4, 5))
    directions = rng.normal(size=(3, 4, 5)) / np.sqrt(20)
    gradient = np.cos(angles) * (1 + wrong_by)

    def loss(moved):
        return np.sin(moved).sum() + noise * rng.normal()

    error, uncertainty = study.error_along(gradient, loss, angles, directions, steps)
    assert (error > study.TOLERANCE) == off
    assert (off and error <= study.UNRESOLVED * uncertainty) == unresolved


@pytest.mark.slow
def test_true_gradient(tmp_path):
    done = run_script(
        "true_gradient.py", "--preset", "tiny", "--workers", 1, "--out", tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as read:
        dataset = read.load()
    assert dataset["error"].sizes["start"] == 3 and dataset["error"].notnull().all()
    enough = dataset.sel(max_bond=8)
    assert (enough["exact_error"] < 1e-8).all() and (enough["error"] < 1e-5).all()
    truncated = dataset.sel(max_bond=2)
    missed = truncated[["closing_gap", "raised_rank"]].to_array().max("variable") > 1e-4
    assert (truncated["error"].where(~missed) < 1e-5).sum() >= 20
    assert (truncated["error"].where(missed) > 1e-5).sum() >= 3
    assert (truncated["infidelity"] > 0.1).any()
    rows = re.findall(r"^(chain|ring) +(2|8) +15 .* 0$", done.stdout, re.MULTILINE)
    assert len(rows) == 4


@pytest.mark.slow
def test_representation_cost(tmp_path):
    tiny = ("representation_cost.py", "--preset", "tiny", "--out", tmp_path)
    done = run_script(*tiny)
    assert done.returncode == 0, done.stderr
    assert f"Report: {tmp_path / 'report.html'}" in done.stdout
    pattern = r"^(statevector +0|mps +2) +(\d) .* 2$"
    found = re.findall(pattern, done.stdout, re.MULTILINE)
    rows = [(line.split()[0], n) for line, n in found]
    assert rows == [("statevector", "2"), ("statevector", "4"), ("mps", "4")]

    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as read:
        dataset = read.load()
    assert dict(dataset.sizes) == {
        "n_qubits": 2,
        "backend": 2,
        "max_bond": 2,
        "seed": 2,
    }
    largest = dataset.sel(n_qubits=4)
    exact = largest.sel(backend="statevector", max_bond=0)
    mps = largest.sel(backend="mps", max_bond=2)
    for one in (exact, mps):
        assert (one["seconds"] > 0).all() and (one["temp_bytes"] > 0).all()
        assert (one["temp_bytes_64_32"] > one["temp_bytes"]).all()
        assert (one["gradient_error_near_identity"] < GRADIENT["complex64"]).all()
    share = dataset["cpu_share"].values
    assert 0 < np.nanmin(share) and np.nanmax(share) < 1.5  # one thread
    assert (exact["infidelity_scrambling"] < EXACT["complex64"]).all()
    assert (mps["infidelity_scrambling"] > exact["infidelity_scrambling"]).all()
    assert (mps["estimated_infidelity_scrambling"] > 0).all()
    assert (exact["estimated_infidelity_scrambling"] == 0).all()

    figures = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert {"seconds.png", "temp_bytes.png", "gradient_error_scrambling.png"} <= figures

    before = times_of_records(tmp_path)
    again = run_script(*tiny)
    assert again.returncode == 0 and times_of_records(tmp_path) == before
    alone = run_script("representation_cost.py", "--backends", "mps")
    assert "backends must name both of" in alone.stderr


def test_from_where_on_an_mps_is_faster(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    study = importlib.import_module("representation_cost")
    seconds = xr.DataArray(
        [[[1, 1], [2, 2]], [[3, 3], [2, 3]], [[9, 9], [3, 3]], [[np.nan] * 2, [4, 4]]],
        dims=("n_qubits", "line", "seed"),
        coords={"n_qubits": [4, 6, 8, 24]},
    )
    exact, mps = seconds.isel(line=0), seconds.isel(line=1)
    missing = xr.full_like(exact, np.nan)
    by_bond = [
        xr.concat(pair, "max_bond") for pair in ((exact, missing), (missing, mps))
    ]
    dataset = xr.Dataset({"seconds": xr.concat(by_bond, "backend")})
    dataset = dataset.assign_coords(backend=["statevector", "mps"], max_bond=[0, 2])
    assert study.faster_from(dataset) == {"MPS, χ = 2": 6}
    assert study.describe(dataset) == (
        "MPS, χ = 2: faster than exact states from n = 6 on"
    )


def test_points_that_cannot_be_held_are_left_out(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    study = importlib.import_module("representation_cost")
    left_out = {
        at: study.left_out(dict(zip(AXES, at, strict=True)))
        for at in (
            ("statevector", 0, 16), ("statevector", 0, 24), ("statevector", 4, 16),
            ("mps", 0, 50), ("mps", 4, 4), ("mps", 4, 50), ("mps", 1048576, 50),
        )
    }  # fmt: skip
    assert list(left_out.values()) == [False, True, True, True, True, False, True]


@pytest.mark.slow
def test_plan_quality(tmp_path):
    tiny = ("plan_quality.py", "--preset", "tiny", "--out", tmp_path)
    methods = ("greedy", "random greedy, reconfigured")
    done = run_script(*tiny, "--methods", *methods)
    assert done.returncode == 0, done.stderr
    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as read:
        dataset = read.load().isel(network=0)
    assert dict(dataset.sizes) == {"method": 2, "seed": 2, "budget": 2}
    score = dataset["log10_score"]
    assert (score.diff("budget") <= 0).all()  # the best tree so far
    last = score.isel(budget=-1)
    greedy, best = (last.sel(method=name) for name in methods)
    assert (best <= greedy).all() and (dataset["log2_width"] >= 6).all()
    for name in ("value_seconds", "gradient_seconds"):
        assert (dataset[name] > 0).all()
    assert (tmp_path / "figures" / "excess.png").exists()
    refused = run_script(*tiny, "--methods", "none")
    assert refused.returncode != 0
    assert "methods must be of ['greedy'," in refused.stderr


@pytest.mark.slow
def test_gradient_fidelity(tmp_path):
    tiny = ("gradient_fidelity.py", "--preset", "tiny", "--workers", 1)
    done = run_script(*tiny, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r"^(near identity|\w+) +4 +([12]) .* 2$", done.stdout, re.MULTILINE
    )
    starts = ["near identity", "scrambling", "trained"]
    assert rows == [(start, chi) for start in starts for chi in "12"]

    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as read:
        dataset = read.load().squeeze("n_qubits")
    assert dataset["start"].values.tolist() == starts
    assert dataset["cosine"].sel(max_bond=[4, 8, 16, 32]).isnull().all()
    coarse, fine = (dataset.sel(max_bond=chi) for chi in (1, 2))
    for one in (coarse, fine):
        assert (abs(one["cosine"]) <= 1).all() and (abs(one["angle_cosine"]) <= 1).all()
        assert (one["readout_error"] <= one["readout_bound"]).all()
    for name in ("relative_error", "discarded_weight", "open_infidelity"):
        assert (fine[name] < coarse[name]).all()
    assert (fine["relative_error"].sel(start="near identity") < 1e-4).all()
    scrambled = fine.sel(start="scrambling")
    ratio = scrambled["open_infidelity"] / scrambled["estimated_infidelity"]
    assert ((ratio > 0.5) & (ratio < 2)).all()
    assert ((dataset["entropy"] > 0) & (dataset["entropy"] < 2)).all()
    assert (dataset["trained_accuracy"] > 0.2).all()
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        "cosine_distance.png",
        "relative_error.png",
        "relative_error_against_discarded_weight.png",
        "infidelity_against_estimated_infidelity.png",
    }
    assert "2 of 2 runs finished" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_gradient_fidelity_measures_the_gradient_of_shorter_sequences(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "studies")
    study = importlib.import_module("gradient_fidelity")
    keys = jax.random.split(jax.random.key(0), 3)
    backend = tq.MPS(1, dtype="complex128")
    cell = tq.QRNNCell(2, tq.hardware_efficient(3), backend=backend, key=keys[0])
    model = tq.SequenceClassifier(cell, 4, key=keys[1])
    images = jax.random.normal(keys[2], (4, 3, 2))
    targets = jnp.array([0, 3, 1, 0])
    measured = study.measure(model, images, targets, (2, 3))

    @eqx.filter_value_and_grad
    def loss(model, images):
        return cross_entropy_sums(model(images), targets, jnp.ones(4), 4)["loss"] / 4

    for index, steps in enumerate((2, 3)):
        value, gradient = loss(model, images[:, :steps])
        np.testing.assert_allclose(measured.losses[:, index].mean(), value, rtol=1e-10)
        leaves = jax.tree.leaves(gradient)
        expected = np.concatenate([np.ravel(leaf) for leaf in leaves])
        found = measured.parameters[:, index].mean(axis=0)
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert error < GRADIENT["complex128"]
