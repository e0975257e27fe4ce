"""Finding contraction plans with cotengra."""

from tnqrnn.checks import check_choice, check_int, check_number
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.contraction.plan import ContractionPlan

OBJECTIVES = {"forward": "flops", "reverse": "combo-64"}
"""What cotengra minimises for values alone and for gradients in reverse mode. These
keep every intermediate result and multiply it twice more, so that writing an entry
counts as much as 64 multiplications."""


def search_plan(
    geometry: Geometry,
    objective: str = "reverse",
    *,
    seed: int = 0,
    repeats: int = 64,
    max_seconds: float | None = None,
    progress: bool = False,
) -> ContractionPlan:
    """Searches for the cheapest order of contraction, in this process alone.

    The same arguments find the same plan, unless the time budget ends the search.

    Args:
        geometry: the network.
        objective: ``"forward"`` or ``"reverse"``, see ``OBJECTIVES``.
        seed: of the search.
        repeats: trees tried, at least 1.
        max_seconds: budget, ``None`` for none.
        progress: whether to show a progress bar.

    Raises:
        ValueError: an unknown objective or a number out of range.
    """
    import cotengra

    check_choice("objective", objective, OBJECTIVES)
    seed = check_int("seed", seed, minimum=0)
    repeats = check_int("repeats", repeats, minimum=1)
    if max_seconds is not None:
        max_seconds = check_number("max_seconds", max_seconds, minimum=0.0)
    if len(geometry.inputs) == 1:
        tree = cotengra.ContractionTree.from_path(
            geometry.inputs, geometry.output, geometry.size_of, path=()
        )
        return ContractionPlan.from_tree(geometry, tree, objective, seed)
    optimizer = cotengra.HyperOptimizer(
        methods=["greedy"],
        minimize=OBJECTIVES[objective],
        max_repeats=repeats,
        max_time=max_seconds,
        reconf_opts={"minimize": OBJECTIVES[objective], "seed": seed},
        slicing_opts=None,
        slicing_reconf_opts=None,
        parallel=False,
        seed=seed,
        on_trial_error="raise",
        progbar=progress,
    )
    tree = optimizer.search(geometry.inputs, geometry.output, geometry.size_of)
    return ContractionPlan.from_tree(geometry, tree, objective, seed)
