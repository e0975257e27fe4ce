"""Settings of the whole suite: strict JAX, reproducible searches, bounded memory."""

import contextlib
import gc
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import hypothesis
import jax
import matplotlib
import numpy as np
import pytest

# What results rely on is set here, how programs are compiled in the Makefile. 64-bit
# mode is needed for complex128; the other two turn silent broadcasting and silent casts
# into errors.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_num_cpu_devices", 2)  # for tnqrnn.batch_over_devices
matplotlib.use("Agg")

# A first example compiles its program, so time says nothing about an example.
hypothesis.settings.register_profile(
    "default",
    max_examples=50,
    derandomize=True,  # the same examples in every run
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "long",
    parent=hypothesis.settings.get_profile("default"),
    max_examples=2000,
    derandomize=False,  # new examples in every run; failures are kept in .hypothesis
    database=hypothesis.database.DirectoryBasedExampleDatabase(".hypothesis/examples"),
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Workers and the processes they start share the programs that XLA compiles.

    The folder is new in every session, so that no program of another version is run.
    """
    if not hasattr(config, "workerinput"):  # workers inherit the environment
        folder = tempfile.TemporaryDirectory(prefix="programs-")
        config.add_cleanup(folder.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    jax.config.update(
        "jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"]
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(autouse=True, scope="session")
def _own_plans(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Plans that are not shipped are searched anew in every session."""
    os.environ["TNQRNN_PLANS"] = str(tmp_path_factory.mktemp("plans"))


_TESTS_BETWEEN_CLEARINGS = 40
_tests_since_clearing = 0


def pytest_report_header() -> str:
    profile = hypothesis.settings.get_current_profile_name()
    examples = hypothesis.settings.default.max_examples
    return (
        f"jax {jax.__version__}, hypothesis profile {profile!r}: "
        f"{examples} examples a property unless it says otherwise"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker starts one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _bounded_memory() -> Iterator[None]:
    """Drops compiled programs now and then: each keeps megabytes for ever."""
    global _tests_since_clearing
    yield
    _tests_since_clearing += 1
    if _tests_since_clearing >= _TESTS_BETWEEN_CLEARINGS:
        _tests_since_clearing = 0
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A NumPy generator seeded by the test's own name: order does not matter."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@contextlib.contextmanager
def _promotion_as_usual() -> Iterator[None]:
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def promotion_as_usual() -> Callable[[], AbstractContextManager[None]]:
    """JAX's own promotion rules, for foreign code such as quimb.

    A test writes ``with promotion_as_usual(): ...`` around the foreign call alone.
    """
    return _promotion_as_usual


@pytest.fixture(params=["cpu", "accelerator"], scope="module")
def algorithms(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs tests twice: with what is fast on a CPU, and on an accelerator."""
    jax.clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "accelerator":
            patch.setattr(jax, "default_backend", lambda: "gpu")
        yield request.param
    jax.clear_caches()
