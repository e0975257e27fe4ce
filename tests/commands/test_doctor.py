"""``tnqrnn doctor`` through the real command, and its parts."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest

import tnqrnn as tq
from tnqrnn import checks, pricing
from tnqrnn.commands import doctor

ROOT = Path(__file__).parents[2]
GIB = 2**30


def tnqrnn(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tnqrnn", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture
def memory(monkeypatch):
    """Sets the bytes of memory that the machine has."""

    def set_to(n_bytes):
        for module in (pricing, checks, doctor):
            monkeypatch.setattr(
                module, "memory_limit", lambda host=False: ("this machine", n_bytes)
            )

    return set_to


def test_any_circuit_is_priced_on_each_representation():
    done = tnqrnn(
        "doctor", "--n-qubits", 4, "--max-bond", 2, "--topology", "ring",
        "--entangler", "rzz", "--n-layers", 1, "--n-steps", 3, "--batch", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    titles = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert titles[:6] == ["tnqrnn", "processor", "memory", "JAX", "devices", "can"]
    assert titles[7:] == ["representation", "Statevector", "MPS(2)"]
    assert re.search(
        r"^can hold +a gradient of exact states of up to \d+ qubits, T = 3, batch 2, "
        "complex64$", done.stdout, re.M,
    )  # fmt: skip
    assert "One gradient: 4 qubits, 1 layers, rzz ring, T = 3, batch 2" in done.stdout
    for label in ("Statevector", r"MPS\(2\)"):
        row = rf"^{label} +([\d.e-]+) +[\d.]+ [KM]iB +[\d.]+ +measured$"
        assert 0 < float(re.search(row, done.stdout, re.M)[1]) < 100


def test_bad_arguments_are_one_clear_error():
    done = tnqrnn("doctor", "--max-bond", 4)
    assert done.returncode == 2 and done.stdout == ""
    assert (
        done.stderr == "tnqrnn: n_qubits must be given with max_bond=(4,), got None.\n"
    )


def test_what_does_not_fit_is_refused_with_the_reason(memory, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "largest_statevector", lambda *sizes: 3)
    x64 = jax.config.read("jax_enable_x64")
    try:
        memory(16 * GIB)
        assert doctor.doctor(n_qubits=60) == 1
        assert "up to 3 qubits" in capsys.readouterr().out
        assert doctor.doctor(n_qubits=60, max_bond=(1,), n_steps=1, batch=1) == 0
        rows = capsys.readouterr().out.splitlines()[-2:]
        assert rows[0].startswith(
            "Statevector     refused: n_qubits=60: a statevector must fit into this "
            "machine's 16.0 GiB of memory, got a request for about"
        )
        assert rows[1].startswith("MPS(1) ") and rows[1].endswith("measured")
        memory(pricing.PROCESS_BYTES + 2**14)
        assert doctor.doctor(n_qubits=3, n_steps=2) == 1
        assert re.search(
            r"Statevector     refused: needs about 512 MiB, and this machine has 512 "
            "MiB", capsys.readouterr().out,
        )  # fmt: skip
    finally:
        jax.config.update("jax_enable_x64", x64)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_largest_statevector_just_fits(dtype, memory):
    memory(pricing.PROCESS_BYTES + 20 * 2**20)
    n_qubits = doctor.largest_statevector(4, 2, dtype)

    def n_bytes(n):
        cell = tq.QRNNCell(
            1,
            tq.hardware_efficient(n, 1),
            backend=tq.Statevector(dtype),
            key=jax.random.key(0),
        )
        return pricing.program_bytes(cell, batch_size=4, n_steps=2)

    assert pricing.fits(n_bytes(n_qubits)) and not pricing.fits(n_bytes(n_qubits + 1))


def test_a_machine_without_room_holds_nothing(memory):
    memory(100)
    assert doctor.largest_statevector(8, 2, "complex64") == 0
    memory(2**20)
    assert doctor.largest_statevector(8, 2, "complex64") == 0


def test_the_wrong_versions_of_jax_are_those_that_the_project_excludes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (jax,) = [one for one in project["dependencies"] if re.match(r"jax\b", one)]
    assert tuple(re.findall(r"!=([\d.]+)", jax)) == doctor.WRONG_JAX
