"""The wheel: what is in it, and that it works away from the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tnqrnn

ROOT = Path(__file__).parents[1]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: str) -> set[str]:
    """What a folder of the checkout holds, caches left out."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run("-m", "pip", "wheel", *options, "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_package_the_plans_and_nothing_else(wheel):
    plans = files("contraction_plans")
    assert "contraction_plans/README.md" in plans
    expected = files("tnqrnn") | {f"tnqrnn/{plan}" for plan in plans}
    assert {"tnqrnn/__init__.py", "tnqrnn/py.typed"} <= expected
    names = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in names if name.startswith("tnqrnn-")}
    assert names - info == expected
    assert any(name.endswith("/licenses/LICENSE") for name in info)


def test_installed_wheel_works_away_from_the_checkout(wheel, tmp_path):
    target = tmp_path / "site"
    options = ("--no-deps", "--no-index", "--quiet", "--target", target)
    run("-m", "pip", "install", *options, wheel, cwd=tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import importlib.metadata, importlib.resources, tnqrnn\n"
        "plans = importlib.resources.files('tnqrnn') / 'contraction_plans'\n"
        "print(tnqrnn.__file__, importlib.metadata.version('tnqrnn'), plans)\n"
        "print(*sorted(entry.name for entry in plans.iterdir()))\n"
        "print(tnqrnn.hardware_efficient(2).n_params)\n"
        "import jax.numpy as jnp\n"
        "ansatz = tnqrnn.hardware_efficient(40, 1, topology='brickwork')\n"
        "backend = tnqrnn.Network(search='never')\n"
        "angles = jnp.zeros(ansatz.n_params)\n"
        "state = backend.evolve(ansatz, angles, backend.init(40))\n"
        "print(float(backend.expectation('z', state).sum()))\n"
    )
    where, plans, n_params, total = run("-c", code, cwd=tmp_path).splitlines()
    package = target / "tnqrnn"
    version = tnqrnn.__version__
    assert where == f"{package / '__init__.py'} {version} {package}/contraction_plans"
    assert plans.split() == sorted(
        Path(plan).name for plan in files("contraction_plans")
    )
    assert int(n_params) == 10
    assert float(total) == pytest.approx(40)  # by a plan that was looked up
    assert (target / "bin" / "tnqrnn").exists()
