"""Bond dimensions as an axis of their own, beside names of representations or cells.

Of what is no MPS the axis says 0: it has no bond to be truncated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from tnqrnn.checks import check_int


def bonds(names: Sequence[str], max_bonds: Sequence[int]) -> tuple[int, ...]:
    """The axis ``max_bond`` for these names: 0 if one is no MPS, and the MPS's bonds.

    Raises:
        ValueError: a bond below 1.

    >>> bonds(("statevector", "mps"), (2, 16)), bonds(("gru",), (2, 16))
    ((0, 2, 16), (0,))
    """
    for chi in max_bonds:
        check_int("max_bonds", chi, minimum=1)
    others = (0,) if set(names) - {"mps"} else ()
    return (*others, *(max_bonds if "mps" in names else ()))


def has_its_bond(point: Mapping[str, Any], axis: str) -> bool:
    """Whether a point of the grid exists: an MPS has a bond, and nothing else has.

    >>> has_its_bond({"model": "gru", "max_bond": 2}, "model")
    False
    """
    return (point[axis] == "mps") == (point["max_bond"] > 0)


def label(name: str, max_bond: int) -> str:
    """What a legend calls a representation; other names in capitals.

    >>> label("mps", 16), label("gru", 0)
    ('MPS, χ = 16', 'GRU')
    """
    if name == "statevector":
        return "Statevector (exact)"
    return f"MPS, χ = {max_bond}" if max_bond else name.upper()


def as_lines(dataset: xr.Dataset, axis: str) -> xr.Dataset:
    """A dataset to draw: one axis of labels in place of names and bonds.

    Args:
        dataset: with the axes ``axis`` and ``max_bond``.
        axis: that of the names.
    """
    pairs = [
        (name, chi)
        for name in dataset[axis].values.tolist()
        for chi in dataset["max_bond"].values.tolist()
        if has_its_bond({axis: name, "max_bond": chi}, axis)
    ]
    names, chis = zip(*pairs, strict=True)
    picked = {
        axis: xr.DataArray(list(names), dims="line"),
        "max_bond": xr.DataArray(np.asarray(chis), dims="line"),
    }
    lines = dataset.sel(picked).drop_vars([axis, "max_bond"])
    return lines.assign_coords(line=[label(*pair) for pair in pairs])
