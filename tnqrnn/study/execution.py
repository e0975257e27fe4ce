"""One run of a study, in this process or each in a process of its own.

    pending points ──> process per point (spawn, one thread) ──> records/<key>.json
                                         └─ on an exception ──> failures/<key>.json

A run writes its own record as its last act, so nothing is lost when the process that
started it dies. Every point has a fresh process: its peak memory is its own, and a
crash, even one by the operating system, costs that point alone.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import re
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import threadpoolctl

from tnqrnn.records import provenance, read_json, write_json
from tnqrnn.study.points import Point, point_key

# One thread of XLA and of each BLAS a worker, so that N workers use N cores.
_ONE_THREAD = {
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # workers share an accelerator's memory
}
_XLA_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"

MEASURED = {"wall_seconds": "s", "peak_memory_bytes": "bytes"}
"""What every record has beside its metrics, with units."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a process needs to compute points: no more than is picklable.

    Attributes:
        run: ``run(point, settings)`` returns the metrics of one point.
        settings: the study's settings, passed on as they are.
        header: entries copied into each record (schema, study, settings).
        directory: the study's directory.
        reserved: names that no metric may have: those of axes and dimensions.
    """

    run: Callable[[Point, Any], Mapping[str, Any]]
    settings: Any
    header: Mapping[str, Any]
    directory: Path
    reserved: frozenset[str] = frozenset()

    def record_path(self, point: Point) -> Path:
        """Where the result of a point is kept."""
        return self.directory / "records" / f"{point_key(point)}.json"

    def failure_path(self, point: Point) -> Path:
        """Where the traceback of a failed point is kept."""
        return self.directory / "failures" / f"{point_key(point)}.json"


def use_one_thread() -> None:
    """Lets this process compute with one thread from now on, for timings.

    It holds for what JAX does if JAX has not started yet: call it first.
    """
    os.environ.update(_one_thread())
    # BLAS reads its variable when it is loaded, which may have been before.
    threadpoolctl.threadpool_limits(1)


def perform(job: Job, point: Point) -> str | None:
    """Computes one point and writes its record, or its traceback if it fails.

    Returns:
        None, or the traceback.
    """
    job.failure_path(point).unlink(missing_ok=True)
    _reset_peak_memory()
    start = time.perf_counter()
    try:
        with _exits_raised():
            returned = job.run(dict(point), job.settings)
        metrics = _plain_metrics(returned, job.reserved)
        record = {
            **job.header,
            "point": point,
            "metrics": metrics,
            "wall_seconds": time.perf_counter() - start,
            "peak_memory_bytes": _peak_memory(),
            "provenance": provenance(),
        }
        write_json(job.record_path(point), record)
    except KeyboardInterrupt:
        raise
    except BaseException:  # whatever a run raises is its result, SystemExit included
        return _fail(job, point, traceback.format_exc())
    return None


def perform_all(
    job: Job, points: Sequence[Point], workers: int
) -> Iterator[tuple[Point, str | None]]:
    """Computes points in ``workers`` processes, yielding each as it ends.

    Closing the iterator, as an exception in the caller's loop does, ends the processes
    it started; records that are already written stay.

    Yields:
        The point and None, or the traceback of its failure.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(points))
    active: dict[Any, tuple[Any, Point]] = {}
    try:
        while waiting or active:
            while waiting and len(active) < workers:
                point = waiting.pop()
                process = context.Process(target=_child, args=(job, point))
                with _environment(_one_thread()):
                    process.start()
                active[process.sentinel] = (process, point)
            for sentinel in wait(list(active)):
                process, point = active.pop(sentinel)
                process.join()
                yield point, _outcome(job, point, process.exitcode)
    finally:
        for process, _ in active.values():
            process.terminate()
        for process, _ in active.values():
            process.join()


def _child(job: Job, point: Point) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(perform(job, point) is not None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _outcome(job: Job, point: Point, exit_code: int) -> str | None:
    # A run writes its record as its last act, so the record decides: a run may end the
    # process with code 0 before, or its process may crash after.
    if job.record_path(point).exists():
        return None
    try:
        if job.failure_path(point).exists():
            return read_json(job.failure_path(point))["traceback"]
    except ValueError as error:
        return _fail(job, point, f"The report of the failure is unreadable: {error}\n")
    cause = f"exit code {exit_code}"
    if exit_code < 0:
        cause = f"signal {signal.Signals(-exit_code).name}"
        cause += " (out of memory?)" if exit_code == -signal.SIGKILL else ""
    return _fail(job, point, f"The process ended without a result: {cause}.\n")


def _fail(job: Job, point: Point, text: str) -> str:
    failure = {**job.header, "point": point, "traceback": text}
    write_json(job.failure_path(point), failure | {"provenance": provenance()})
    return text


def _plain_metrics(
    metrics: Mapping[str, Any], reserved: frozenset[str]
) -> dict[str, Any]:
    """Numbers and nested lists of numbers in place of NumPy and JAX values."""
    if not isinstance(metrics, Mapping) or not metrics:
        raise TypeError(f"run must return a mapping of metrics, got {metrics!r}.")
    plain = {}
    for name, value in metrics.items():
        array = np.asarray(value)
        if not isinstance(name, str) or array.dtype.kind not in "biuf":
            raise TypeError(
                f"metrics[{name!r}] must be a real number or an array of them, "
                f"got {value!r}."
            )
        plain[name] = array.tolist()
    _check_names(plain, reserved)
    return plain


def _check_names(metrics: Mapping[str, Any], reserved: frozenset[str]) -> None:
    """Refuses names that a dataset or its file could not keep beside the others."""
    # The dimensions of an array are called <metric>_0 and so on unless they are named.
    own = {f"{name}_{k}" for name in metrics for k in range(np.ndim(metrics[name]))}
    taken = reserved | own | MEASURED.keys()
    for name in metrics:
        if not name or "/" in name or name == ".":
            raise ValueError(
                "metrics must have names that files can hold, not empty and without "
                f"'/', got {name!r}."
            )
        if name in taken:
            raise ValueError(
                f"metrics must differ from {sorted(taken)}, which have a meaning "
                f"already, got {name!r}."
            )


def _one_thread() -> dict[str, str]:
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        flags = f"{flags} {_XLA_ONE_THREAD}".strip()
    return {**_ONE_THREAD, "XLA_FLAGS": flags}


@contextlib.contextmanager
def _exits_raised() -> Iterator[None]:
    """Makes ``os._exit`` raise SystemExit as ``sys.exit`` does: it would end the study.

    Processes that are forked inside the block it ends, as ever.
    """
    leave, process = os._exit, os.getpid()

    def raise_or_leave(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = raise_or_leave
    try:
        yield
    finally:
        os._exit = leave


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for the processes started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _reset_peak_memory() -> None:
    """Lets the kernel's high-water mark start anew, where there is one (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes.

    Since the last reset on Linux; since the start of the process elsewhere.
    """
    status = Path("/proc/self/status")
    if status.exists():
        match = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if match:
            return int(match[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
