"""The package's layout, read from its import statements and from a fresh process."""

import ast
import importlib
import inspect
import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tnqrnn

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tnqrnn"

# A module may import from its own folder and from a lower rank.
RANKS = {
    "checks": 0,
    "products": 0,
    "circuits": 1,
    "tasks": 1,
    "layout": 1,
    "records": 1,
    "specs": 1,
    "contraction": 2,
    "backends": 3,
    "model": 4,
    "training": 5,
    "diagnostics": 6,
    "pricing": 5,
    "testing": 5,
    "report": 2,
    "study": 7,
    "commands": 8,
    "__main__": 9,
}

# Outside packages that every module may use, and the owners of all others.
COMMON = {"equinox", "jax", "jaxtyping", "numpy"}
OWNERS = {
    "cotengra": {"contraction"},
    "filelock": {"training"},
    "hypothesis": {"testing"},
    "matplotlib": {"report"},
    "optax": {"training"},
    "platformdirs": {"contraction", "tasks"},
    "pooch": {"tasks"},
    "psutil": {"checks", "commands"},
    "quimb": {"backends", "contraction"},
    "scipy": {"report"},
    "sklearn": {"tasks"},
    "threadpoolctl": {"study"},
    "tqdm": {"contraction", "training", "study"},
    "tyro": {"commands"},
    "xarray": {"commands", "report", "study"},
}
LAZY = {
    "cotengra",
    "matplotlib",
    "platformdirs",
    "pooch",
    "quimb",
    "sklearn",
    "xarray",
}

# Declared, but never imported by name.
UNNAMED = {"h5netcdf": "xarray's file format", "jaxlib": "JAX's compiled half"}
IMPORT_NAMES = {"scikit-learn": "sklearn"}

CITATION = re.compile(r"\[([a-z]+\d{4}[a-z]?)\]")  # the keys of docs/references.bib

DECOMPOSITIONS = {
    "svd", "svdvals", "eigh", "eigvalsh", "eig", "eigvals", "qr", "lq", "polar",
    "pinv", "lstsq", "matrix_rank", "eigh_tridiagonal", "qdwh", "schur", "sqrtm",
}  # fmt: skip
# Files that give their decompositions a derivative of their own.
OWN_DERIVATIVE = {
    "backends/mps/truncation.py": DECOMPOSITIONS,
    "backends/entropy.py": {"eigh", "eigvalsh"},
    # Called within truncation.py's rules alone.
    "backends/mps/left_vectors.py": {"eigh"},
}


class Import(NamedTuple):
    """One imported name, written out in full."""

    name: str
    line: int
    in_function: bool

    @property
    def package(self) -> str:
        return self.name.split(".")[0]


def imports(tree: ast.Module, here: tuple[str, ...]) -> Iterator[Import]:
    """Yields each import of the module whose dotted name is ``here``."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, functions)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(here[: len(here) - node.level]) if node.level else []
            base += [node.module] if node.module else []
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(name, node.lineno, id(node) in inside)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def dotted(path: Path) -> tuple[str, ...]:
    """``tnqrnn/model/rnn.py`` to ``("tnqrnn", "model", "rnn")``."""
    return path.relative_to(ROOT).with_suffix("").parts


def is_heavy(name: str) -> bool:
    """Whether a name is, or comes from a module of ours that loads, a lazy package."""
    if name.split(".")[0] in LAZY:
        return True
    for parts in (name.split("."), name.split(".")[:-1]):
        path = ROOT.joinpath(*parts).with_suffix(".py")
        if path.is_file():
            found = imports(parse(path), tuple(parts))
            return any(one.package in LAZY and not one.in_function for one in found)
    return False


def broken_rules(tree: ast.Module, here: tuple[str, ...]) -> list[str]:
    """What one module's imports do against the rules above."""
    unit = here[1]
    if unit != "__init__" and unit not in RANKS:
        return [f"{unit!r} has no rank"]
    rank = RANKS.get(unit, 99)
    found = []
    for one in imports(tree, here):
        where = f"{'/'.join(here)}.py:{one.line}: "
        if one.package == "tnqrnn":
            target = (one.name.split(".") + [""])[1]
            if target != unit and RANKS.get(target, 99) >= rank:
                found.append(f"{where}{unit} may not import {one.name}")
        elif one.package not in sys.stdlib_module_names | COMMON:
            if unit not in OWNERS.get(one.package, set()):
                found.append(f"{where}{one.package} is not for {unit}")
        if one.in_function and not is_heavy(one.name):
            found.append(f"{where}{one.name} is imported inside a function")
    return found


def decompositions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yields (full name, line) of each decomposition of JAX that is named."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                aliases[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = full
                if alias.name in DECOMPOSITIONS and full.startswith("jax."):
                    yield full, node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in DECOMPOSITIONS:
            parts, value = [node.attr], node.value
            while isinstance(value, ast.Attribute):
                parts.append(value.attr)
                value = value.value
            root = aliases.get(value.id, "") if isinstance(value, ast.Name) else ""
            if root.split(".")[0] == "jax":
                yield ".".join([root, *reversed(parts)]), node.lineno


def test_studies_know_nothing_quantum():
    quantum = {"backends", "circuits", "contraction", "diagnostics", "model", "tasks",
               "training"}  # fmt: skip
    found = [
        f"{'/'.join(dotted(path))}.py:{one.line}: {one.name}"
        for path in sorted((PACKAGE / "study").glob("*.py"))
        for one in imports(parse(path), dotted(path))
        if one.package == "tnqrnn" and one.name.split(".")[1] in quantum
    ]
    assert not found, "\n".join(found)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_imports_go_one_way():
    found = [p for path in modules() for p in broken_rules(parse(path), dotted(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("circuits.x", "from tnqrnn.backends.base import AbstractBackend"),
        ("circuits.x", "from ..backends import base"),
        ("tasks.x", "import tnqrnn.circuits"),
        ("model.x", "from tnqrnn import unroll"),
        ("model.x", "import optax"),
        ("model.x", "import requests"),
        ("training.x", "def f():\n    import json"),
        ("nowhere.x", "import json"),
    ],
)
def test_a_broken_rule_of_imports_is_found(module, source):
    assert broken_rules(ast.parse(source), ("tnqrnn", *module.split(".")))


def test_decompositions_have_a_derivative_of_their_own():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules()
        for name, line in decompositions(parse(path))
        if name.split(".")[-1]
        not in OWN_DERIVATIVE.get(path.relative_to(PACKAGE).as_posix(), set())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import jax\njax.numpy.linalg.svd(a)",
        "import jax.numpy as jnp\njnp.linalg.qr(a)",
        "from jax import numpy as np\nf = np.linalg.eigh",
        "from jax.lax.linalg import svd",
        "from jax.scipy import linalg\nlinalg.svd(a)",
    ],
)
def test_a_stray_decomposition_is_found(source):
    assert list(decompositions(ast.parse(source)))


def public_functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yields functions and methods a user may call, not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child)
        elif isinstance(child, ast.FunctionDef):
            if not child.name.startswith("_") or child.name.startswith("__"):
                yield child


def bare_arguments(function: ast.FunctionDef) -> list[str]:
    """Names of arguments without a type, and ``return``."""
    args = function.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    bare = [one.arg for one in every if one is not None and one.annotation is None]
    if function.returns is None and not function.name.startswith("__"):
        bare.append("return")
    return [name for name in bare if name not in {"self", "cls"}]


def test_public_functions_are_annotated():
    found = [
        f"{path.relative_to(ROOT)}:{function.lineno}: {function.name} {bare}"
        for path in modules()
        for function in public_functions(parse(path))
        if (bare := bare_arguments(function))
    ]
    assert not found, "\n".join(found)


def test_modules_are_short():
    def lengths(paths):
        return {
            path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
            for path in paths
        }

    package = lengths(path for path in modules() if path.name != "__init__.py")
    scripts = lengths([*ROOT.glob("studies/*.py"), *ROOT.glob("benchmarks/*.py")])
    assert not {name: n for name, n in (package | scripts).items() if n > 400}
    assert statistics.median(package.values()) <= 200, package


def test_declared_dependencies_are_the_imported_ones():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", entry)[0] for entry in project["dependencies"]}
    declared = {IMPORT_NAMES.get(name, name) for name in names - UNNAMED.keys()}
    studies = sorted((ROOT / "studies").glob("*.py"))
    files = [*modules(), *studies]
    used = {one.package for path in files for one in imports(parse(path), dotted(path))}
    ours = {"tnqrnn"} | {path.stem for path in studies}
    assert used - sys.stdlib_module_names - ours == declared


def test_cited_works_are_the_listed_ones():
    listed = re.findall(r"@\w+\{(\w+),", (ROOT / "docs/references.bib").read_text())
    assert len(listed) == len(set(listed))
    patterns = (
        "*.md",
        "docs/**/*.md",
        "studies/*.py",
        "benchmarks/*.py",
        "tests/**/*.py",
    )
    pages = [page for pattern in patterns for page in ROOT.glob(pattern)]
    texts = [path.read_text(encoding="utf-8") for path in [*modules(), *pages]]
    cited = {key for text in texts for key in CITATION.findall(text)}
    assert cited == set(listed)


def test_links_between_pages_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", ["diagnostics", "pricing", "study", "testing"])
def test_subpackages_are_loaded_when_they_are_used(name):
    assert tnqrnn.__getattr__(name) is importlib.import_module(f"tnqrnn.{name}")


@pytest.mark.parametrize("name", tnqrnn.__all__)
def test_public_names_exist_and_are_documented(name):
    value = getattr(tnqrnn, name)
    text = inspect.getdoc(value)
    assert text and not text.startswith(f"{name}("), "a docstring of its own"


def in_fresh_process(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code where JAX cannot start: making an array there is an error."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JAX_PLATFORMS": "none_of_these"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_importing_the_package_is_light():
    done = in_fresh_process("import sys, tnqrnn; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "tnqrnn" in loaded
    assert not loaded & (LAZY | {"pandas", "numba", "h5py", "hypothesis"})


def test_no_module_makes_an_array_at_import():
    names = [".".join(dotted(path)).removesuffix(".__init__") for path in modules()]
    code = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    done = in_fresh_process(code)
    assert done.returncode == 0, done.stderr


def test_an_array_in_the_fresh_process_is_an_error():
    done = in_fresh_process("import tnqrnn, jax.numpy; jax.numpy.zeros(1)")
    assert done.returncode != 0
    assert "none_of_these" in done.stderr
