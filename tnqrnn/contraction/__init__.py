"""Tensor networks contracted by stored plans, found with cotengra."""

from tnqrnn.contraction.contract import contract
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.contraction.plan import ContractionPlan, load_plan
from tnqrnn.contraction.search import OBJECTIVES, search_plan
from tnqrnn.contraction.store import (
    PlanNotFoundError,
    cache_folder,
    find_plan,
    shipped_folder,
    stored_plan,
)
from tnqrnn.contraction.verify import plan_error

__all__ = [
    "OBJECTIVES",
    "ContractionPlan",
    "Geometry",
    "PlanNotFoundError",
    "cache_folder",
    "contract",
    "find_plan",
    "load_plan",
    "plan_error",
    "search_plan",
    "shipped_folder",
    "stored_plan",
]
