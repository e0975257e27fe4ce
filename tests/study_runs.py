"""Run functions of a module, so that other processes can import them.

As a program: ``python study_runs.py DIRECTORY WORKERS`` computes `slow_study`.
"""

import dataclasses
import os
import signal
import sys
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
