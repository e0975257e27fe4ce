"""Runs in processes of their own."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time

import psutil
import pytest
from study_runs import (
    Settings,
    crash_after_the_record,
    environment,
    exit_at_two,
    fail_at_two,
    fork,
    power,
    slow_study,
)

from tnqrnn.study import Study, execution


def study(tmp_path, run, axes):
    return Study("toy", axes, run, Settings(data_dir=str(tmp_path)), tmp_path / "study")


def test_parallel_and_serial_runs_give_the_same(tmp_path):
    axes = {"x": [1, 2, 3], "seed": [0]}
    both = []
    for workers in (1, 3):
        (tmp_path / str(workers)).mkdir()
        one = study(tmp_path / str(workers), power, axes)
        assert len(one.execute(workers=workers, progress=False).computed) == 3
        both.append([record["metrics"] for record in one.records()])
    assert both[0] == both[1]


def test_each_run_has_one_thread_and_a_process_of_its_own(tmp_path):
    one = study(tmp_path, environment, {"x": [1, 2], "seed": [0]})
    before = dict(os.environ)
    one.execute(workers=2, progress=False)
    metrics = [record["metrics"] for record in one.records()]
    assert all(entry["flag_set"] for entry in metrics)
    assert len({entry["pid"] for entry in metrics} | {os.getpid()}) == 3
    assert dict(os.environ) == before


def test_an_exception_and_a_killed_process_cost_one_point_each(tmp_path, capsys):
    one = study(tmp_path, fail_at_two, {"x": [1, 2, 3], "seed": [0, 1]})
    outcome = one.execute(workers=2, progress=False)
    assert len(outcome.computed) == 4
    assert sorted(point["seed"] for point in outcome.failed) == [0, 1]
    failures = one.failures()
    assert "no luck with two" in failures["x=2, seed=0"]
    assert "SIGKILL (out of memory?)" in failures["x=2, seed=1"]
    assert "x=2, seed=1 failed" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_ends_its_process_has_failed(tmp_path, workers, capsys):
    one = study(tmp_path, exit_at_two, {"x": [1, 2, 3], "seed": [0, 1]})
    leave = os._exit
    outcome = one.execute(workers=workers, progress=False)
    assert os._exit is leave
    assert [p["x"] for p in outcome.computed] == [1, 1, 3, 3] or workers == 2
    assert sorted(p["seed"] for p in outcome.failed) == [0, 1]
    assert len(outcome.computed) == len(one.records()) == 4
    failures = one.failures()
    assert "SystemExit: 0" in failures["x=2, seed=0"]
    assert "SystemExit: os._exit(0)" in failures["x=2, seed=1"]
    assert "x=2, seed=1 failed" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_may_fork(tmp_path):
    # JAX warns where a process forks that has used it before, as other tests here do.
    one = study(tmp_path, fork, {"x": [1], "seed": [0]})
    assert one.execute(progress=False).failed == []
    assert one.records()[0]["metrics"] == {"code": 7}


def test_a_run_whose_record_is_written_has_succeeded(tmp_path):
    one = study(tmp_path, crash_after_the_record, {"x": [1, 2], "seed": [0]})
    outcome = one.execute(workers=2, progress=False)
    assert len(outcome.computed) == 2 and one.failures() == {}


def test_a_process_that_ends_without_a_record_has_failed(tmp_path):
    one = study(tmp_path, power, {"x": [1], "seed": [0]})
    job, (point,) = one._open(), one.points()
    assert execution._outcome(job, point, 0) == (
        "The process ended without a result: exit code 0.\n"
    )
    assert len(one.failures()) == 1


def test_a_run_that_cannot_be_sent_is_refused(tmp_path):
    one = study(tmp_path, lambda point, settings: {"v": 1}, {"x": [1], "seed": [0]})
    with pytest.raises(ValueError, match="run and settings must be picklable"):
        one.execute(workers=2)


@pytest.mark.parametrize("workers", [0, 1.5])
def test_workers_must_be_a_positive_integer(tmp_path, workers):
    one = study(tmp_path, power, {"x": [1], "seed": [0]})
    with pytest.raises(ValueError, match="workers must be an integer >= 1"):
        one.execute(workers=workers)


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, though a shell started us in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_leaves_records_and_no_processes(tmp_path, interruptible):
    directory = tmp_path / "slow"

    def interrupt():
        wait_for(lambda: two_records(directory) and len(runs_of(os.getpid())) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        slow_study(directory).execute(workers=2, progress=False)
    assert not runs_of(os.getpid())
    assert [record["point"]["x"] for record in slow_study(directory).records()] == [
        0,
        1,
    ]


def test_no_run_outlives_a_killed_study(tmp_path):
    context = multiprocessing.get_context("spawn")
    study = context.Process(target=execute, args=(tmp_path / "slow",))
    study.start()
    wait_for(lambda: two_records(tmp_path / "slow") and len(runs_of(study.pid)) == 2)
    runs = runs_of(study.pid)
    study.kill()
    _, alive = psutil.wait_procs(runs, timeout=60)
    assert not alive


def execute(directory):
    slow_study(directory).execute(workers=2, progress=False)


def two_records(directory):
    return len(list((directory / "records").glob("*.json"))) == 2


def runs_of(pid):
    """The live runs of a study; one that has just ended is not among them."""
    runs = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # zombies included
            if "spawn_main" in " ".join(child.cmdline()):
                runs.append(child)
    return runs


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
