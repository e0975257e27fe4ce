"""Where plans are kept: shipped with the package, in the user's cache, or to be found.

A plan is looked up by its fingerprint. Shipped plans come first, so a run whose plans
are shipped searches nothing; what a search finds goes to the user's cache. Two
processes that search for one plan find the same and write it whole, so that neither
harms the other. A file that cannot be used is an error, not a reason to search.
"""

import os
from pathlib import Path

from tnqrnn.checks import check_choice
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.contraction.plan import ContractionPlan, load_plan
from tnqrnn.contraction.search import OBJECTIVES, search_plan

CACHE_VARIABLE = "TNQRNN_PLANS"
SEARCH = ("auto", "never")


class PlanNotFoundError(LookupError):
    """No stored plan fits a network, and a search was not allowed."""


def shipped_folder() -> Path:
    """The folder of the plans that come with the package.

    That is ``tnqrnn/contraction_plans`` in an installed wheel and the folder beside the
    package in a checkout.
    """
    package = Path(__file__).parents[1]
    inside = package / "contraction_plans"
    return inside if inside.is_dir() else package.parent / "contraction_plans"


def cache_folder() -> Path:
    """The user's folder of plans: $TNQRNN_PLANS, or ``tnqrnn/plans`` in the cache."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    import platformdirs

    return platformdirs.user_cache_path("tnqrnn", appauthor=False) / "plans"


def stored_plan(geometry: Geometry, objective: str = "reverse") -> Path | None:
    """The file of a network's plan, shipped or in the user's cache, if there is one."""
    name = f"{geometry.fingerprint(objective)}.json"
    folders = (shipped_folder(), cache_folder())
    return next((f / name for f in folders if (f / name).is_file()), None)


def find_plan(
    geometry: Geometry,
    objective: str = "reverse",
    *,
    search: str = "auto",
    max_seconds: float | None = 60.0,
    progress: bool | None = False,
) -> ContractionPlan:
    """The stored plan of a network, or a new one, which is then stored.

    Args:
        geometry: the network.
        objective: see :func:`search_plan`.
        search: ``"never"`` makes it an error that no plan is stored.
        max_seconds: budget of a search, ``None`` for none.
        progress: whether a search shows a progress bar; ``None`` is on a terminal.

    Raises:
        PlanNotFoundError: no plan is stored, and ``search="never"``.
        RecordError: a stored plan cannot be used.
        ValueError: an unknown objective or way to search.
    """
    check_choice("objective", objective, OBJECTIVES)
    check_choice("search", search, SEARCH)
    if path := stored_plan(geometry, objective):
        return load_plan(path)
    if search == "never":
        raise PlanNotFoundError(
            "search must be 'auto' where no plan is stored, got 'never' for a network "
            f"of {len(geometry.inputs)} tensors, plan "
            f"{geometry.fingerprint(objective)}: run once with search='auto', which "
            "stores it, or `tnqrnn plan build` before."
        )
    plan = search_plan(geometry, objective, max_seconds=max_seconds, progress=progress)
    cache_folder().mkdir(parents=True, exist_ok=True)
    plan.save(cache_folder())
    return plan
