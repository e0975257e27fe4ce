"""Figures of representation_cost.py: time, memory and error of a gradient."""

import functools
from collections.abc import Iterable

import numpy as np
import xarray as xr
from representations import as_lines

from tnqrnn.study import Chart, Groups, plot_against_axis

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


def draw(dataset: xr.Dataset, size: str, starts: Iterable[str]) -> list[Chart]:
    """Time and memory, then the errors from each start; captions say the ``size``."""
    dataset = as_lines(dataset, "backend")
    groups = Groups("line", {line: line for line in dataset["line"].values.tolist()})
    by_qubits = functools.partial(
        plot_against_axis,
        x="n_qubits",
        groups=groups,
        over="seed",
        log=True,
        log_x=True,
    )
    charts = [
        by_qubits(
            dataset,
            "seconds",
            title="Time of a gradient",
            caption=f"{size}, one thread.",
            labels=("qubits n", "seconds a gradient"),
        ),
        by_qubits(
            dataset,
            "temp_bytes",
            title="Memory of a gradient",
            caption=f"{size}; beside arguments and results, by XLA's own analysis.",
            labels=("qubits n", "MiB"),
            scale=2**-20,
        ),
    ]
    sizes = dataset["readout_error_scrambling"].notnull().any(["line", "seed"])
    compared = dataset.isel(n_qubits=np.flatnonzero(sizes))
    return charts + [
        by_qubits(
            compared,
            f"{metric}_{start}",
            title=f"{title}, {start.replace('_', ' ')}",
            caption=f"Against exact states in complex128 with the same weights. {more}",
            labels=("qubits n", axis),
        )
        for start in starts
        for metric, title, axis, more in ERRORS
        if (compared[f"{metric}_{start}"] > 0).any()
    ]
