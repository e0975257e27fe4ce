"""``tnqrnn plan`` through the real command."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tnqrnn as tq
from tnqrnn.backends.network.readout import network_geometries
from tnqrnn.commands import plan as plan_command
from tnqrnn.commands.cli import main
from tnqrnn.contraction import find_plan, load_plan, plan_error, store

ROOT = Path(__file__).parents[2]
BUILD = (
    *("build", "--n-qubits", 16, "--n-layers", 1, "--topology", "ring"),
    *("--observables", "X0 Y3,I"),
)


@pytest.fixture
def plans(tmp_path):
    return tmp_path / "plans"


@pytest.fixture
def tnqrnn(plans):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tnqrnn", "plan", *map(str, arguments)],
            env=os.environ
            | {"PYTHONPATH": str(ROOT), store.CACHE_VARIABLE: str(plans)},
            capture_output=True,
            text=True,
            cwd=ROOT,
        )

    return run


@pytest.fixture
def built(tnqrnn):
    """Plans of a circuit that none are shipped for."""
    done = tnqrnn(*BUILD)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_reader_that_stops_early_is_no_error_of_ours():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "tnqrnn", "plan", "list"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_build_list_and_build_again(tnqrnn, plans, built):
    assert built and all(line.endswith("  new") for line in built)
    assert len(list(plans.glob("*.json"))) == len(built)
    listed = tnqrnn("list").stdout
    assert f"cache: {len(built)} plans in {plans}" in listed
    assert re.search(r"^shipped: \d+ plans in ", listed)
    for line in built:
        assert line.removesuffix("  new") in listed
    again = tnqrnn(*BUILD).stdout.splitlines()
    stored = f"stored in {plans}"
    assert [line.replace(stored, "new") for line in again] == built
    for arguments, message in (
        (("build", "--n-qubits"), "n_qubits must be at least one number, got none"),
        ((*BUILD, "--max-seconds", "-1"), "max_seconds must be a finite number in"),
        (("verify", "--folder", plans / "none"), "folder must be a folder of plans"),
    ):
        refused = tnqrnn(*arguments)
        assert refused.returncode == 2 and message in refused.stderr


def test_show_says_what_a_plan_is(tnqrnn, built):
    fingerprint = built[-1].split()[0]
    done = tnqrnn("show", fingerprint[:8])
    assert done.returncode == 0, done.stderr
    lines = {line[:10].strip(): line[10:] for line in done.stdout.splitlines()}
    assert lines["plan"] == fingerprint and lines["slices"] == "1"
    n_tensors = re.search(r"(\d+) tensors", built[-1])[1]
    assert lines["network"].startswith(f"{n_tensors} tensors, ")
    assert lines["for"].startswith("values and gradients")
    cost = re.search(r"10\^([\d.]+)", lines["cost"])[1]
    assert f"cost 10^{float(cost):.1f}" in built[-1]


def test_verify_finds_what_is_wrong(tnqrnn, plans, built):
    done = tnqrnn("verify", "--folder", plans)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("agrees") == len(built)
    path = plans / f"{built[0].split()[0]}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"log10_cost": 1.0}))
    done = tnqrnn("verify", "--folder", plans)
    assert done.returncode == 1
    assert f"refused  {path} cannot be used: log10_cost must be" in done.stdout
    (plans / "empty").mkdir()
    empty = tnqrnn("verify", "--folder", plans / "empty")
    assert empty.returncode == 1


def test_a_plan_that_is_not_there(tnqrnn):
    done = tnqrnn("show", "nothing")
    assert done.returncode == 2
    assert "plan must be a file or the beginning of one" in done.stderr


@pytest.fixture
def no_search(monkeypatch, plans):
    """A search is an error, and the user's cache is empty."""

    def refuse(*arguments, **options):
        raise AssertionError("a plan was searched for")

    monkeypatch.setattr(store, "search_plan", refuse)
    monkeypatch.setattr(plan_command, "search_plan", refuse)
    monkeypatch.setenv(store.CACHE_VARIABLE, str(plans))


def test_the_shipped_plans_are_those_of_the_commands_that_made_them(no_search, capsys):
    shipped = store.shipped_folder()
    text = (shipped / "README.md").read_text()
    commands = re.findall(r"^tnqrnn (plan build .*)$", text, re.MULTILINE)
    for command in commands:
        arguments = shlex.split(command)
        arguments[arguments.index("--folder") + 1] = str(shipped)
        assert main(arguments) == 0
    named = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert named == {path.stem for path in shipped.glob("*.json")}


@pytest.mark.slow
def test_shipped_plans_are_right():
    """Every fifth of them; ``tnqrnn plan verify`` checks all."""
    for path in sorted(store.shipped_folder().glob("*.json"))[::5]:
        assert plan_error(load_plan(path)) < plan_command.AGREEMENT


@pytest.mark.long
def test_all_shipped_plans_are_right():
    assert plan_command.verify() == 0


@pytest.mark.parametrize(
    ("n_qubits", "topology"), [(40, "brickwork"), (10, "all_to_all")]
)
def test_a_run_whose_plans_are_shipped_searches_nothing(no_search, n_qubits, topology):
    ansatz = tq.hardware_efficient(n_qubits, n_layers=1, topology=topology)
    cell = tq.QRNNCell(2, ansatz, backend=tq.Network(), key=jax.random.key(0))
    readouts = tq.unroll(cell, jnp.ones((2, 2))).readouts
    assert np.isfinite(readouts).all() and np.abs(readouts).max() <= 1 + 1e-5


@pytest.mark.slow
def test_every_network_of_the_studies_has_its_plans(no_search, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "studies")
    import plan_quality

    for n_qubits, n_steps, n_layers, topology in plan_quality.NETWORKS.values():
        ansatz = tq.hardware_efficient(n_qubits, n_layers, topology=topology)
        for geometry in network_geometries(ansatz, n_steps):
            find_plan(geometry)
