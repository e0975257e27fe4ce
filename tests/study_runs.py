"""Run functions of a module, so that other processes can import them.

As a program: ``python study_runs.py DIRECTORY WORKERS`` computes `slow_study`.
"""

import dataclasses
import os
import signal
import sys
import threading
import time

from tnqrnn.study import Study


@dataclasses.dataclass(frozen=True)
class Settings:
    power: int = 2
    data_dir: str = dataclasses.field(default="a", metadata={"identity": False})


def power(point, settings):
    with open(os.path.join(settings.data_dir, "calls"), "a") as calls:
        calls.write(f"{point['x']} {point['seed']}\n")
    value = (point["x"] + 0.1 * point["seed"]) ** settings.power
    return {"value": value, "curve": [value * step for step in range(point["x"])]}


def fail_at_two(point, settings):
    if point["x"] == 2 and point["seed"] == 0:
        raise RuntimeError("no luck with two")
    if point["x"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return power(point, settings)


def exit_at_two(point, settings):
    if point["x"] == 2:
        (sys.exit if point["seed"] == 0 else os._exit)(0)
    return power(point, settings)


def crash_after_the_record(point, settings):
    """The process ends with code 3 when the record is written."""
    atexit = threading.main_thread  # joined last, after the run's own last act
    threading.Thread(target=lambda: (atexit().join(), os._exit(3))).start()
    return power(point, settings)


def fork(point, settings):
    child = os.fork()
    if child == 0:
        os._exit(7)
    return {"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def slow_power(point, settings):
    if point["x"] >= 2:
        time.sleep(600 if settings.data_dir == "stuck" else 0)
    return {"value": point["x"]}


def environment(point, settings):
    return {"flag_set": "eigen=false" in os.environ["XLA_FLAGS"], "pid": os.getpid()}


def slow_study(directory, data_dir="stuck"):
    axes = {"x": [0, 1, 2, 3], "seed": [0]}
    return Study("slow", axes, slow_power, Settings(data_dir=data_dir), directory)


if __name__ == "__main__":
    slow_study(sys.argv[1]).execute(workers=int(sys.argv[2]), progress=False)
