"""Records of a study as one `xarray.Dataset`, and back to a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tnqrnn.checks import check_choice
from tnqrnn.records import write_atomic
from tnqrnn.study.execution import MEASURED
from tnqrnn.study.points import Point, Scalar, axis_values


def to_dataset(
    records: Sequence[Mapping[str, Any]],
    points: Sequence[Point],
    *,
    dims: Mapping[str, tuple[str, ...]] | None = None,
    coords: Mapping[str, Sequence[Scalar]] | None = None,
) -> xr.Dataset:
    """Lays out metrics over the axes of a study.

    Every metric is a variable whose dimensions are the study's axes, then, for an array
    metric, dimensions of its own. Missing runs, and the ends of arrays shorter than the
    longest, are NaN. ``wall_seconds`` and ``peak_memory_bytes`` of each run are added.

    Args:
        records: of finished runs, as `tnqrnn.study.Study.records` returns them.
        points: all points of the study; they give axes and coordinates.
        dims: names of the extra dimensions of array metrics, for each metric;
            ``<metric>_0`` and so on by default.
        coords: values along extra dimensions, in the arrays' order.

    Returns:
        Float variables, or integer ones where every run gave an integer.

    Raises:
        ValueError: a metric has the name of an axis or of what is added, another number
            of dimensions than in other runs or than ``dims`` says, or more entries
            along a dimension than ``coords`` has.
    """
    values = axis_values(points)
    axes = list(values)
    rows = [_row(record, axes) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    layout = {name: _metric_dims(name, rows, (dims or {}).get(name)) for name in names}
    coords = {dim: list(along) for dim, along in (coords or {}).items()}
    sizes = _sizes(layout, rows, coords)
    variables = {}
    for name, extra in layout.items():
        shape = [len(values[a]) for a in axes] + [sizes[dim] for dim in extra]
        filled = np.full(shape, np.nan)
        for record, row in zip(records, rows, strict=True):
            if name in row:
                where = tuple(values[a].index(record["point"][a]) for a in axes)
                inner = tuple(slice(size) for size in row[name].shape)
                filled[where + inner] = row[name]
        whole = all(row[name].dtype.kind in "biu" for row in rows if name in row)
        if whole and not np.isnan(filled).any():
            filled = filled.astype(np.int64)
        attributes = {"units": MEASURED[name]} if name in MEASURED else {}
        variables[name] = (axes + list(extra), filled, attributes)
    return xr.Dataset(variables, coords=values | coords)


def save_dataset(dataset: xr.Dataset, path: str | Path) -> None:
    """Writes a dataset to a file, atomically.

    Args:
        dataset: of a study.
        path: ends in ``.nc`` for netCDF (HDF5), which `xarray.open_dataset` reads
            back whole, or in ``.csv`` for one line a run with its scalar metrics.

    Raises:
        ValueError: another ending.
    """
    kind = check_choice("path's ending", Path(path).suffix, (".nc", ".csv"))
    if kind == ".nc":
        write_atomic(path, bytes(dataset.to_netcdf(engine="h5netcdf")))
        return
    axes = set(dataset.coords)
    scalars = dataset[[name for name in dataset if axes == set(dataset[name].dims)]]
    # Points that were left out made whole numbers floats: here they are whole again.
    table = scalars.to_dataframe().dropna(how="all").convert_dtypes()
    write_atomic(path, table.to_csv(float_format="%.6g").encode())


def _row(record: Mapping[str, Any], axes: Sequence[str]) -> dict[str, np.ndarray]:
    for name in record["metrics"]:
        if name in axes:
            raise ValueError(f"metrics must differ from the axes {axes}, got {name!r}.")
        if name in MEASURED:
            raise ValueError(f"metrics must differ from {[*MEASURED]}, got {name!r}.")
    metrics = record["metrics"] | {name: record[name] for name in MEASURED}
    return {name: np.asarray(value) for name, value in metrics.items()}


def _metric_dims(
    name: str, rows: Sequence[Mapping[str, np.ndarray]], given: tuple[str, ...] | None
) -> tuple[str, ...]:
    ranks = {row[name].ndim for row in rows if name in row}
    rank = max(ranks)
    dims = given if given is not None else tuple(f"{name}_{k}" for k in range(rank))
    if ranks != {len(dims)}:
        raise ValueError(
            f"metrics[{name!r}] must have {len(dims)} dimensions in every run, "
            f"got {sorted(ranks)}."
        )
    return dims


def _sizes(
    layout: Mapping[str, tuple[str, ...]],
    rows: Sequence[Mapping[str, np.ndarray]],
    coords: Mapping[str, Sequence[Scalar]],
) -> dict[str, int]:
    sizes = {dim: len(values) for dim, values in coords.items()}
    for name, extra in layout.items():
        for row in rows:
            shape = row[name].shape if name in row else ()
            for dim, size in zip(extra, shape, strict=False):
                if dim in coords and size > len(coords[dim]):
                    raise ValueError(
                        f"coords[{dim!r}] must have a value for each of the {size} "
                        f"entries of {name!r}, got {coords[dim]}."
                    )
                sizes[dim] = max(sizes.get(dim, 0), size)
    return sizes
