"""Which search finds the cheapest contraction plans, and what do they cost?

The networks are light cones of readouts, as `tq.Network` contracts them: the most
costly one of the last step of a roll-out. Every search runs for the same time and its
best tree so far is noted; the last one is contracted, as a value and as a gradient:

    python studies/plan_quality.py --preset quick

Times are measured one run at a time on one core.
"""

import dataclasses
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import cotengra
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import tnqrnn as tq
from tnqrnn.backends.network.readout import network_geometries
from tnqrnn.contraction import OBJECTIVES, ContractionPlan, Geometry, contract
from tnqrnn.contraction.search import random_greedy_tree, reconfigured_tree
from tnqrnn.pricing import median_seconds
from tnqrnn.study import (
    Column,
    Groups,
    Study,
    plot_against_axis,
    publish,
    summary_table,
    use_one_thread,
)

NETWORKS = {
    "brickwork, n=40, T=3": (40, 3, 1, "brickwork"),
    "brickwork, n=40, T=4": (40, 4, 1, "brickwork"),
    "brickwork, n=40, T=2, 2 layers": (40, 2, 2, "brickwork"),
    "chain, n=10, T=4": (10, 4, 1, "chain"),
    "chain, n=40, T=3": (40, 3, 1, "chain"),
    "ring, n=10, T=4": (10, 4, 1, "ring"),
    "all_to_all, n=6, T=2": (6, 2, 1, "all_to_all"),
    "all_to_all, n=10, T=2": (10, 2, 1, "all_to_all"),
}
"""Qubits, steps, layers, topology."""

OBJECTIVE = OBJECTIVES["reverse"]
Search = Callable[[Geometry, int], cotengra.ContractionTree]


def of(geometry: Geometry) -> tuple[Any, Any, Any]:
    """What cotengra's optimizers are given."""
    return geometry.inputs, geometry.output, geometry.size_of


def greedy(geometry: Geometry, seed: int) -> cotengra.ContractionTree:
    """The greedy path, without any chance."""
    return cotengra.GreedyOptimizer(accel=False).search(*of(geometry))


def reconfigured(geometry: Geometry, seed: int) -> cotengra.ContractionTree:
    """A repeat of ``search_plan``."""
    return reconfigured_tree(geometry, OBJECTIVE, seed)


def hyper(*methods: str, **options: Any) -> Search:
    """One trial of cotengra's ``HyperOptimizer``, which takes no seed."""

    def search(geometry: Geometry, seed: int) -> cotengra.ContractionTree:
        optimizer = cotengra.HyperOptimizer(
            methods=list(methods),
            minimize=OBJECTIVE,
            max_repeats=4,
            parallel=False,
            optlib="random",
            **options,
        )
        return optimizer.search(*of(geometry))

    return search


PARTITIONS = ["labels"] + ["kahypar"] * (
    importlib.util.find_spec("kahypar") is not None
)
METHODS: dict[str, Search] = {
    "greedy": greedy,
    "random greedy": random_greedy_tree,
    "random greedy, reconfigured": reconfigured,
    **{name: hyper(name, reconf_opts=None) for name in PARTITIONS},
    "hyper, reconfigured": hyper("greedy", *PARTITIONS, reconf_opts={}),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all runs share."""

    budgets: tuple[float, ...] = (0.25, 1.0, 4.0, 16.0)  # seconds of search


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Cost and width of plans against search time and method."""

    preset: Literal["tiny", "quick", "full"] = "quick"
    """tiny shows that all works."""
    networks: tuple[str, ...] = ()
    """Names of networks; those of the preset unless given."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Searches."""
    seeds: int | None = None
    """Number of seeds; that of the preset unless given."""
    out: Path | None = None
    """Directory of the results."""


PRESETS: dict[str, tuple[tuple[str, ...], int, Settings]] = {
    "tiny": (("all_to_all, n=6, T=2",), 2, Settings((0.05, 0.1))),
    "quick": (
        ("brickwork, n=40, T=3", "chain, n=40, T=3", "all_to_all, n=10, T=2"),
        2,
        Settings((0.25, 1.0, 4.0)),
    ),
    "full": (tuple(NETWORKS), 3, Settings()),
}


def largest_network(name: str) -> Geometry:
    """The network with the most tensors of a roll-out."""
    n_qubits, n_steps, n_layers, topology = NETWORKS[name]
    ansatz = tq.hardware_efficient(n_qubits, n_layers, topology=topology)
    return max(network_geometries(ansatz, n_steps), key=lambda g: len(g.inputs))


def run(point: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Searches until the last budget is spent, then measures the best tree."""
    geometry = largest_network(point["network"])
    search = METHODS[point["method"]]
    seeds = np.random.SeedSequence(point["seed"]).generate_state(4096).tolist()
    scores, costs, widths = [], [], []
    best, trials = None, 0
    start = time.perf_counter()
    for budget in settings.budgets:
        while best is None or time.perf_counter() - start < budget:
            tree = search(geometry, seeds[trials % len(seeds)])
            trials += 1
            if best is None or tree.get_score(OBJECTIVE) < best.get_score(OBJECTIVE):
                best = tree
        scores.append(float(best.combo_cost(factor=64, log=10)))
        costs.append(float(np.log10(best.total_flops())))
        widths.append(float(np.log2(best.max_size())))
    plan = ContractionPlan.from_tree(geometry, best, "reverse", point["seed"])
    return {
        "log10_score": scores,
        "log10_cost": costs,
        "log2_width": widths,
        "trials": trials,
        "tensors": len(geometry.inputs),
        **measured(plan),
    }


def measured(plan: ContractionPlan) -> dict[str, float]:
    """Seconds of a contraction and of its gradient."""
    rng = np.random.default_rng(0)
    arrays = tuple(
        jnp.asarray(
            (rng.normal(size=(*shape, 2)) @ [1, 1j]) / np.sqrt(np.prod(shape)),
            "complex64",
        )
        for shape in plan.geometry.shapes
    )

    def loss(arrays: tuple[jax.Array, ...]) -> jax.Array:
        return jnp.sum(jnp.abs(contract(plan, arrays)) ** 2)

    value = median_seconds(jax.jit(loss), (arrays,))
    gradient = median_seconds(jax.jit(jax.grad(loss)), (arrays,))
    return {
        "value_seconds": value,
        "gradient_seconds": gradient,
    }


def main(arguments: Arguments) -> int:
    """Runs what is missing, then writes table, figures and report."""
    use_one_thread()
    names, seeds, settings = PRESETS[arguments.preset]
    if unknown := set(arguments.networks) - set(NETWORKS):
        raise ValueError(f"networks must be of {list(NETWORKS)}, got {unknown}.")
    if unknown := set(arguments.methods) - set(METHODS):
        raise ValueError(f"methods must be of {list(METHODS)}, got {unknown}.")
    out = Path(__file__).parents[1] / "runs" / "plan_quality" / arguments.preset
    study = Study(
        "plan_quality",
        {
            "network": list(arguments.networks or names),
            "method": list(arguments.methods),
            "seed": range(seeds if arguments.seeds is None else arguments.seeds),
        },
        run,
        settings,
        arguments.out or out,
        dims={
            name: ("budget",) for name in ("log10_score", "log10_cost", "log2_width")
        },
        coords={"budget": settings.budgets},
    )
    outcome = study.execute(workers=1)
    if not study.records():
        return 1
    dataset = study.dataset()
    # Relative to the best plan that any search found for the network.
    least = dataset["log10_score"].min(["method", "seed", "budget"])
    dataset["excess"] = 10 ** (dataset["log10_score"] - least)
    groups = Groups("method", {name: name for name in arguments.methods})
    charts = [
        plot_against_axis(
            dataset,
            "excess",
            x="budget",
            groups=groups,
            over="seed",
            title="Cost of the best plan so far, relative to the best one known",
            caption="Multiplications and 64 times the entries written.",
            labels=("seconds of search", "relative cost"),
            log=True,
            log_x=True,
            limits=(1.0, None),
            panels="network",
        ),
    ]
    last = dataset.isel(budget=-1)
    columns = [
        Column("excess", "relative cost", 1, ".2f"),
        Column("log10_cost", "log10 multiplications", 1, ".2f"),
        Column("log2_width", "log2 width", 1, ".1f"),
        Column("trials", "trials", 1, ".0f"),
        Column("value_seconds", "value, ms", 1e3, ".3f"),
        Column("gradient_seconds", "gradient, ms", 1e3, ".3f"),
    ]
    table = summary_table(last, columns, by=("network", "method"), over="seed")
    caption = (
        f"After {settings.budgets[-1]:g} s of search; mean ± half-width of the 95% "
        "Student t interval over seeds."
    )
    report = publish(
        study,
        title="Contraction plans: quality against search time",
        summary=__doc__.splitlines()[0],
        table=table,
        table_caption=caption,
        charts=charts,
    )
    print(f"\n{table}\n\n{caption}\nReport: {report}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Arguments)))
