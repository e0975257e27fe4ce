"""Tensor networks contracted by stored plans, found with cotengra."""

from tnqrnn.contraction.contract import contract
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.contraction.plan import ContractionPlan, load_plan
from tnqrnn.contraction.search import OBJECTIVES, search_plan
from tnqrnn.contraction.store import PlanNotFoundError, find_plan

__all__ = [
    "OBJECTIVES",
    "ContractionPlan",
    "Geometry",
    "PlanNotFoundError",
    "contract",
    "find_plan",
    "load_plan",
    "search_plan",
]
