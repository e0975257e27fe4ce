"""Figures of representation_cost.py: measurements over the model fitted to them."""

import functools
import math
from collections.abc import Iterable

import numpy as np
import xarray as xr

from tnqrnn.study import (
    Chart,
    Curve,
    Groups,
    Mark,
    max_bond,
    plot_against_axis,
    representation_label,
)
from tnqrnn.study.costs import (
    Configuration,
    CostModel,
    interpolate_seconds,
    predict_bytes,
)

ERRORS = (
    (
        "readout_error",
        "Error of the readouts",
        "largest |Δz|",
        "Largest over samples, steps and readouts.",
    ),
    (
        "gradient_error",
        "Error of the gradient",
        "‖Δg‖ / ‖g‖",
        "Norm over all weights.",
    ),
    (
        "infidelity",
        "Infidelity of the last state",
        "1 − fidelity",
        "Mean over the batch.",
    ),
    (
        "estimated_infidelity",
        "Infidelity as the MPS estimates it",
        "1 − exp(Σ ln kept weight)",
        "Mean over the batch; runs that truncate nothing lie at 0 and are not drawn.",
    ),
)


def draw(dataset: xr.Dataset, model: CostModel, starts: Iterable[str]) -> list[Chart]:
    """Time and memory with the model's curves, then the errors from each start."""
    names = dataset["backend"].values.tolist()
    plain = Groups("backend", {name: representation_label(name) for name in names})
    by_qubits = functools.partial(
        plot_against_axis,
        x="n_qubits",
        over="seed",
        log=True,
        log_x=True,
    )
    size = f"T = {model.origin['n_steps']}, batch {model.origin['batch']}, complex64"
    charts = [
        by_qubits(
            dataset,
            "seconds",
            title="Time of a gradient",
            groups=Groups("backend", {n: crossing_label(n, model) for n in names}),
            caption=f"{size}, one thread. Lines: the fitted model. Stars, and n in the "
            "legend: from there on an MPS is faster than exact states.",
            labels=("qubits n", "seconds a gradient"),
            curves=seconds_curves(model, dataset),
            marks=crossing_marks(model, dataset),
        ),
        by_qubits(
            dataset,
            "temp_bytes",
            groups=plain,
            title="Memory of a gradient",
            caption=f"{size}; beside arguments and results, by XLA's own analysis. "
            "Lines: the fitted model.",
            labels=("qubits n", "MiB"),
            scale=2**-20,
            curves=bytes_curves(model, dataset),
        ),
    ]
    sizes = dataset["readout_error_scrambling"].notnull().any(["backend", "seed"])
    compared = dataset.isel(n_qubits=np.flatnonzero(sizes))
    return charts + [
        by_qubits(
            compared,
            f"{metric}_{start}",
            groups=plain,
            title=f"{title}, {start.replace('_', ' ')}",
            caption=f"Against exact states in complex128 with the same weights. {more}",
            labels=("qubits n", axis),
        )
        for start in starts
        for metric, title, axis, more in ERRORS
        if (compared[f"{metric}_{start}"] > 0).any()
    ]


def seconds_curves(model: CostModel, dataset: xr.Dataset) -> dict[str, Curve]:
    """The fitted seconds of each backend, exact states as far as stars lie on them."""
    last = max([mark.x for mark in crossing_marks(model, dataset)], default=0)
    curves = {}
    for backend, sizes in measured_sizes(dataset).items():
        chi = max_bond(backend)
        end = sizes[-1] if chi else max(last, sizes[-1])
        at = np.linspace(sizes[0], end, 100)
        curves[backend] = Curve(at, [seconds_at(model, n, chi) for n in at])
    return curves


def crossing_label(name: str, model: CostModel) -> str:
    """A backend's name with the n from which on it is faster than exact states."""
    n, _, _ = model.crossings.get(str(max_bond(name)), (math.inf, 0, 0))
    from_n = f", n ≥ {n:.1f}" if math.isfinite(n) else ""
    return representation_label(name) + from_n


def crossing_marks(model: CostModel, dataset: xr.Dataset) -> list[Mark]:
    """A star where an MPS becomes faster, if that is among the sizes of the study."""
    most = dataset["n_qubits"].values.max()
    return [
        Mark(f"mps-{chi}", n, seconds_at(model, n, int(chi)))
        for chi, (n, _, _) in model.crossings.items()
        if n <= most
    ]


def seconds_at(model: CostModel, n: float, chi: int | None) -> float:
    """Fitted seconds of a gradient of the study's T and B, between integers n."""
    samples = model.origin["n_steps"] * model.origin["batch"]
    return interpolate_seconds(model, n, chi, samples)


def bytes_curves(model: CostModel, dataset: xr.Dataset) -> dict[str, Curve]:
    """The fitted bytes of each backend at the measured numbers of qubits."""
    size = (model.origin["n_steps"], model.origin["batch"])
    curves = {}
    for backend, sizes in measured_sizes(dataset).items():
        at = [Configuration(n, max_bond(backend), *size) for n in sizes]
        curves[backend] = Curve(sizes, [predict_bytes(model, one) for one in at])
    return curves


def measured_sizes(dataset: xr.Dataset) -> dict[str, list[int]]:
    """Numbers of qubits that each backend was measured at."""
    found = dataset["seconds"].notnull().any("seed").transpose("backend", "n_qubits")
    sizes = dataset["n_qubits"].values
    return {
        name: sizes[here].tolist()
        for name, here in zip(dataset["backend"].values, found.values, strict=True)
    }
