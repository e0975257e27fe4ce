"""The programs of the README run as they are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_first_program_trains_and_switches_the_backend(tmp_path):
    lines = run(PROGRAMS[0], tmp_path).splitlines()
    accuracy = [float(re.search(r"'accuracy': ([\d.]+)", line)[1]) for line in lines]
    assert len(accuracy) == 4
    assert accuracy[0] > 0.9
    assert accuracy[0] >= accuracy[1]
    assert os.path.exists(tmp_path / "digits.npz")


def test_the_second_program_checks_a_circuit(tmp_path):
    run(PROGRAMS[1] + "\ntest_my_circuit()\n", tmp_path)


def test_the_first_screen_is_short():
    assert len(PROGRAMS[0].strip().splitlines()) <= 18
    assert len(PROGRAMS) == 2
