"""Contraction plans: in which order the tensors of a network are multiplied.

A plan is found once by a search, kept as a readable JSON file, and checked whenever it
is read: the contraction tree is rebuilt and its cost and width are computed again. A
file that is anything but what was written is refused with its path and the reason.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqrnn.checks import check_int
from tnqrnn.contraction.geometry import Geometry
from tnqrnn.records import RecordError, write_atomic

if TYPE_CHECKING:
    from cotengra import ContractionTree

FORMAT = 1
MAX_SLICES = 2**20
"""Most parts that a contraction is cut into."""

MAX_BYTES = 2**23
"""Largest file that is read."""

_FIELDS = {
    "format": int,
    "equation": str,
    "sizes": dict,
    "path": list,
    "slices": list,
    "log10_cost": float,
    "log2_width": float,
    "objective": str,
    "seed": int,
    "cotengra_version": str,
}
_TOLERANCE = 1e-6  # of log10_cost and log2_width


@dataclass(frozen=True)
class ContractionPlan:
    """How to contract the networks of one geometry.

    Attributes:
        geometry: of the network.
        path: for each contraction, the places of its two tensors in the list of those
            that are left; the result goes to the end.
        slices: letters summed one value at a time.
        log10_cost: log10 of the multiplications of entries, all slices together.
        log2_width: log2 of the entries of the largest result of a contraction, of one
            slice.
        objective: what the search minimised.
        seed: of the search.
        cotengra_version: that found the plan.
    """

    geometry: Geometry
    path: tuple[tuple[int, int], ...]
    slices: str
    log10_cost: float
    log2_width: float
    objective: str
    seed: int
    cotengra_version: str

    def __post_init__(self) -> None:
        n_tensors = len(self.geometry.inputs)
        if len(self.path) != n_tensors - 1:
            raise ValueError(
                f"path must have {n_tensors - 1} contractions for {n_tensors} tensors, "
                f"got {len(self.path)}."
            )
        for pair in self.path:
            if len(set(pair)) != 2 or not all(0 <= place < n_tensors for place in pair):
                raise ValueError(
                    f"path must name two different tensors of {n_tensors}, got {pair}."
                )
            n_tensors -= 1  # two are replaced by their product
        inner = set(self.geometry.letters) - set(self.geometry.output)
        if len(set(self.slices)) < len(self.slices) or not set(self.slices) <= inner:
            raise ValueError(
                f"slices must be different summed indices, got {self.slices!r}."
            )
        if self.n_slices > MAX_SLICES:
            raise ValueError(
                f"slices must cut a network into at most {MAX_SLICES} parts, got "
                f"{self.n_slices}."
            )

    @classmethod
    def from_tree(
        cls, geometry: Geometry, tree: "ContractionTree", objective: str, seed: int
    ) -> "ContractionPlan":
        """The plan that a search ended with."""
        import cotengra

        path = tuple((min(pair), max(pair)) for pair in tree.get_path())
        slices = "".join(sorted(tree.sliced_inds))
        cost, width = _cost(tree), _width(tree)
        version = cotengra.__version__
        return cls(geometry, path, slices, cost, width, objective, seed, version)

    @property
    def n_slices(self) -> int:
        """How many times the sliced network is contracted."""
        return math.prod(self.geometry.size_of[letter] for letter in self.slices)

    @property
    def fingerprint(self) -> str:
        """What its file is named after."""
        return self.geometry.fingerprint(self.objective)

    def tree(self) -> "ContractionTree":
        """The plan as cotengra's contraction tree."""
        import cotengra

        tree = cotengra.ContractionTree.from_path(
            self.geometry.inputs,
            self.geometry.output,
            self.geometry.size_of,
            path=self.path,
        )
        for letter in self.slices:
            tree.remove_ind_(letter)
        return tree

    def sliced(self, memory_limit: int, dtype: str) -> "ContractionPlan":
        """The same order with indices sliced until no result takes more memory.

        Args:
            memory_limit: bytes of the largest result of a contraction.
            dtype: of the entries.

        Raises:
            ValueError: the network's own result takes more, or more than ``MAX_SLICES``
                would be needed.
        """
        itemsize = np.dtype(dtype).itemsize
        size_of = self.geometry.size_of
        result = math.prod(size_of[letter] for letter in self.geometry.output)
        limit = check_int("memory_limit", memory_limit, minimum=result * itemsize)
        max_entries = limit // itemsize
        if 2**self.log2_width <= max_entries * (1 + 1e-9):
            return self
        tree = replace(self, slices="").tree()
        tree.slice_(target_size=max_entries, allow_outer=False, seed=self.seed)
        if tree.nslices > MAX_SLICES:
            raise ValueError(
                f"memory_limit must be so large that {MAX_SLICES} slices suffice, got "
                f"{limit} bytes, which need {tree.nslices}."
            )
        plan = self.from_tree(self.geometry, tree, self.objective, self.seed)
        return replace(plan, cotengra_version=self.cotengra_version)

    def save(self, folder: str | os.PathLike) -> Path:
        """Writes the plan into a folder, atomically, under its fingerprint."""
        path = Path(folder) / f"{self.fingerprint}.json"
        lines = (
            f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in self._fields().items()
        )
        write_atomic(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        return path

    def _fields(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "equation": self.geometry.equation,
            "sizes": self.geometry.size_of,
            "path": self.path,
            "slices": list(self.slices),
            "log10_cost": self.log10_cost,
            "log2_width": self.log2_width,
            "objective": self.objective,
            "seed": self.seed,
            "cotengra_version": self.cotengra_version,
        }


def load_plan(path: str | os.PathLike) -> ContractionPlan:
    """Reads and checks one plan.

    Raises:
        RecordError: the file is not a plan that this version wrote, its cost or width
            are not those of its path, or its name is not its fingerprint. The message
            holds the path and the reason.
        FileNotFoundError: there is no file.
    """
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise RecordError(path, f"it is larger than {MAX_BYTES} bytes")
    try:
        plan = _from_fields(json.loads(path.read_bytes()))
        _check_cost(plan)
    except (ValueError, RecursionError) as error:
        raise RecordError(path, str(error).rstrip(".")) from error
    if path.stem != plan.fingerprint:
        raise RecordError(path, f"its name should be {plan.fingerprint}.json")
    return plan


def _from_fields(fields: Any) -> ContractionPlan:
    """The plan that the content of a file describes.

    Raises:
        ValueError: a field is missing, unknown, or not what it should be.
    """
    if not isinstance(fields, Mapping) or set(fields) != set(_FIELDS):
        raise ValueError(f"it must be an object with the fields {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        value = fields[name]
        # JSON writes 3.0 as 3; a bool, which is an int to isinstance, is no number.
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (type(value) is float and math.isnan(value)):
            raise ValueError(f"{name} must be of type {kind.__name__}, got {value!r}")
    if fields["format"] != FORMAT:
        raise ValueError(f"format must be {FORMAT}, got {fields['format']}")
    inputs, arrow, output = fields["equation"].partition("->")
    if not arrow:
        raise ValueError(
            f"equation must have an arrow, got {fields['equation'][:80]!r}"
        )
    names = tuple(inputs.split(","))
    letters = list(dict.fromkeys("".join(names)))
    if list(fields["sizes"]) != letters:
        raise ValueError("sizes must be those of the equation's letters, in order")
    path = [tuple(pair) if isinstance(pair, list) else pair for pair in fields["path"]]
    for pair in path:
        ints = isinstance(pair, tuple) and all(type(place) is int for place in pair)
        if not ints or len(pair) != 2:
            raise ValueError(f"path must hold pairs of integers, got {pair!r}")
    if not all(isinstance(letter, str) for letter in fields["slices"]):
        raise ValueError(f"slices must be letters, got {fields['slices']!r}")
    return ContractionPlan(
        Geometry(names, output, tuple(fields["sizes"].values())),
        tuple(path),
        "".join(fields["slices"]),
        float(fields["log10_cost"]),
        float(fields["log2_width"]),
        fields["objective"],
        fields["seed"],
        fields["cotengra_version"],
    )


def _check_cost(plan: ContractionPlan) -> None:
    """Refuses a plan whose tree costs something else than it says."""
    tree = plan.tree()
    for name, actual in (("log10_cost", _cost(tree)), ("log2_width", _width(tree))):
        stated = getattr(plan, name)
        if abs(stated - actual) > _TOLERANCE:
            raise ValueError(f"{name} must be {actual:.6f}, got {stated:.6f}")


def _cost(tree: "ContractionTree") -> float:
    return math.log10(max(1, tree.total_flops()))


def _width(tree: "ContractionTree") -> float:
    return math.log2(tree.max_size())
