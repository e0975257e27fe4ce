"""The programs of the README and of docs/ run as they are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tnqrnn as tq

pytestmark = pytest.mark.as_users
ROOT = Path(__file__).parents[1]


def programs(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


PROGRAMS = programs("README.md")


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_first_program_trains_and_switches_the_backend(tmp_path):
    lines = run(tmp_path, "-c", PROGRAMS[0]).splitlines()
    accuracy = [float(re.search(r"'accuracy': ([\d.]+)", line)[1]) for line in lines]
    assert len(accuracy) == 4
    assert accuracy[0] > 0.9
    assert accuracy[0] >= accuracy[1]
    assert os.path.exists(tmp_path / "digits.npz")


def test_the_second_program_checks_a_circuit(tmp_path):
    run(tmp_path, "-c", PROGRAMS[1] + "\ntest_my_circuit()\n")


def test_the_first_screen_is_short():
    assert len(PROGRAMS[0].strip().splitlines()) <= 18
    assert len(PROGRAMS) == 2


@pytest.mark.slow
def test_the_backend_of_one_s_own_passes_and_trains(tmp_path):
    (program,) = programs("docs/your_own_backend.md")
    (tmp_path / "my_backend.py").write_text(program, encoding="utf-8")
    scores = re.findall(
        r"^\w+: (0\.\d+)$", run(tmp_path, "my_backend.py"), re.MULTILINE
    )
    own, exact = map(float, scores)
    assert own > 0.5 and abs(own - exact) < 0.01


@pytest.mark.slow
def test_the_study_of_one_s_own_runs_and_is_not_repeated(tmp_path):
    (program,) = programs("docs/your_own_study.md")
    (tmp_path / "my_study.py").write_text(program, encoding="utf-8")
    table = run(tmp_path, "my_study.py")
    found = re.findall(r"^[01] +[34] +(\d\d\.\d) ± .* 2$", table, re.MULTILINE)
    assert len(found) == 4 and min(map(float, found)) > 80
    study = tmp_path / "runs" / "my_study"
    assert "data:image/svg+xml" in (study / "report.html").read_text(encoding="utf-8")
    files = sorted((study / "records").glob("*.json"))
    written = [file.stat().st_mtime_ns for file in files]
    run(tmp_path, "my_study.py")
    assert len(files) == 8 and [file.stat().st_mtime_ns for file in files] == written


@pytest.mark.slow
def test_runs_are_described_in_files(tmp_path):
    (program,) = programs("docs/descriptions.md")
    lines = run(tmp_path, "-c", program).splitlines()
    assert [line.split()[0] for line in lines] == ["2", "3"]
    assert all(0.3 < float(line.split()[1]) <= 1 for line in lines)
    again = tq.specs.from_json((tmp_path / "run-2.json").read_text(encoding="utf-8"))
    assert again.model.cell.circuit.n_qubits == 2
