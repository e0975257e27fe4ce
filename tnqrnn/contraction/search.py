"""Finding contraction plans with cotengra.

Greedy paths with random tie-breaking are improved by optimal ones within subtrees. Both
take a seed; cotengra's ``HyperOptimizer``, which finds plans as cheap, gives
another one each time.
"""

import time
from typing import TYPE_CHECKING

import numpy as np
import tqdm

from tnqrnn.checks import check_choice, check_int, check_number
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.contraction.plan import ContractionPlan

if TYPE_CHECKING:
    import cotengra

OBJECTIVES = {"forward": "flops", "reverse": "combo-64"}
"""What cotengra minimises for values alone and for gradients in reverse mode. These
keep every intermediate result and multiply it twice more, so that writing an entry
counts as much as 64 multiplications."""


def search_plan(
    geometry: Geometry,
    objective: str = "reverse",
    *,
    seed: int = 0,
    repeats: int = 16,
    max_seconds: float | None = None,
    progress: bool | None = False,
) -> ContractionPlan:
    """Searches for a cheap order of contraction, in this process alone.

    The same arguments find the same plan, unless the time budget ends the search.

    Args:
        geometry: the network.
        objective: ``"forward"`` or ``"reverse"``, see ``OBJECTIVES``.
        seed: of the search.
        repeats: trees tried, at least 1.
        max_seconds: no new tree is begun after so many, ``None`` for no budget.
        progress: whether to show a progress bar; ``None`` does so on a terminal.

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
    start, best = time.monotonic(), None
    seeds = np.random.SeedSequence(seed).generate_state(repeats).tolist()
    for tree_seed in tqdm.tqdm(
        seeds, desc="search", disable=None if progress is None else not progress
    ):
        spent = time.monotonic() - start
        if best is not None and max_seconds is not None and spent > max_seconds:
            break
        tree = reconfigured_tree(geometry, OBJECTIVES[objective], tree_seed)
        score = tree.get_score(OBJECTIVES[objective])
        if best is None or score < best[0]:
            best = score, tree
    assert best is not None, "one tree is always tried"
    return ContractionPlan.from_tree(geometry, best[1], objective, seed)


def random_greedy_tree(geometry: Geometry, seed: int) -> "cotengra.ContractionTree":
    """The best of eight greedy paths with random tie-breaking."""
    import cotengra

    optimizer = cotengra.RandomGreedyOptimizer(
        max_repeats=8, seed=seed, accel=False, parallel=False
    )
    return optimizer.search(geometry.inputs, geometry.output, geometry.size_of)


def reconfigured_tree(
    geometry: Geometry, minimize: str, seed: int
) -> "cotengra.ContractionTree":
    """The same with optimal orders within subtrees, by what cotengra minimises."""
    tree = random_greedy_tree(geometry, seed)
    tree.subtree_reconfigure_(minimize=minimize, seed=seed)
    return tree
