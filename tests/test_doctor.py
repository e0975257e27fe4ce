"""``tnqrnn doctor`` through the real command, and its parts."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest

from tnqrnn.doctor import (
    PROCESS_BYTES,
    WRONG_JAX,
    Price,
    largest_statevector,
    price,
    recommend,
)
from tnqrnn.study.costs import Configuration, load_model, predict_bytes

ROOT = Path(__file__).parents[1]
GIB = 2**30


def tnqrnn(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tnqrnn", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_the_machine_and_what_it_holds():
    done = tnqrnn("doctor", "--n-steps", 8, "--batch", 4)
    assert done.returncode == 0, done.stderr
    titles = [line.split()[0] for line in done.stdout.splitlines()]
    assert titles == ["tnqrnn", "processor", "memory", "JAX", "devices", "can"]
    holds = int(re.search(r"up to (\d+) qubits", done.stdout)[1])
    memory = psutil.virtual_memory().total
    assert holds == largest_statevector(load_model(), memory, 8, 4, "complex64")
    assert "T = 8, batch 4, complex64" in done.stdout


def test_a_configuration_is_priced():
    done = tnqrnn("doctor", "--n-qubits", 10, "--max-bond", 8)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^measured +100 matrix products [\d.]+ ms", done.stdout, re.M)
    for label in ("Statevector", r"MPS\(8\)"):
        row = re.search(rf"^{label} +([\d.e-]+) s, [\d.]+ [KM]iB", done.stdout, re.M)
        assert 0 < float(row[1]) < 100
    assert re.search(r"^crossing +MPS\(8\) is faster from n = [\d.]+ on", done.stdout,
                     re.M)  # fmt: skip
    assert re.search(r"^take +(Statevector|MPS\(8\)): ", done.stdout, re.M)


def test_what_does_not_fit_is_refused_with_the_reason():
    done = tnqrnn("doctor", "--n-qubits", 60)
    assert done.returncode == 1
    refused = (
        r"^Statevector +refused: needs about \S+ GiB, and this machine has \S+ GiB"
    )
    assert re.search(refused, done.stdout, re.M), done.stdout
    assert "take            an MPS, which --max-bond prices" in done.stdout


def test_bad_arguments_are_one_clear_error():
    done = tnqrnn("doctor", "--max-bond", 4)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "tnqrnn: n_qubits must be given with max_bond=4, got None.\n"


def test_the_wrong_versions_of_jax_are_those_that_the_project_excludes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (jax,) = [one for one in project["dependencies"] if re.match(r"jax\b", one)]
    assert tuple(re.findall(r"!=([\d.]+)", jax)) == WRONG_JAX


def test_the_largest_statevector_just_fits():
    model = load_model()
    n = largest_statevector(model, 16 * GIB, 16, 8, "complex64")
    fits, larger = (predict_bytes(model, Configuration(k)) for k in (n, n + 1))
    assert PROCESS_BYTES + fits <= 16 * GIB < PROCESS_BYTES + larger
    assert largest_statevector(model, 16 * GIB, 16, 8, "complex128") < n
    assert largest_statevector(model, PROCESS_BYTES, 16, 8, "complex64") == 0


def test_a_bond_that_truncates_nothing_is_refused():
    refusal = price(load_model(), Configuration(8, 16), 16 * GIB).refusal
    assert "truncates nothing" in refusal


def test_a_bond_too_large_for_the_memory_is_refused():
    one = price(load_model(), Configuration(100, 2**12, batch=512), 16 * GIB)
    assert re.match(r"needs about \S+ GiB, and this machine has 16 GiB", one.refusal)


def priced(chi, seconds, refusal=None):
    return Price(Configuration(20, chi), seconds, 1.0, refusal)


@pytest.mark.parametrize(
    ("exact", "mps", "expected"),
    [
        (priced(None, 1), None, "Statevector: exact"),
        (
            priced(None, 1),
            priced(8, 2),
            "Statevector: exact, and the MPS takes 2 times",
        ),
        (priced(None, 3), priced(8, 2), "Statevector: exact, and the MPS takes 0.67 "),
        (priced(None, 8), priced(8, 2), r"MPS\(8\): 4 times faster"),
        (priced(None, 1), priced(8, 2, "too large"), "Statevector: exact"),
        (priced(None, 1, "too large"), priced(8, 2), r"MPS\(8\): exact states do not"),
        (priced(None, 1, "too large"), priced(8, 2, "too large"), "nothing of this"),
    ],
)
def test_exact_states_are_recommended_unless_an_mps_is_much_faster(
    exact, mps, expected
):
    assert re.match(expected, recommend([exact, mps] if mps else [exact]))
