"""Figures of gradient_fidelity.py."""

from typing import Any

import numpy as np
import xarray as xr

from tnqrnn.study import (
    Chart,
    Groups,
    Interval,
    log_slope,
    plot_against_axis,
    plot_points,
)

LEAST_WEIGHT = 1e-16
"""Discarded weight below which rounding decides, not truncation."""
FITTED = (1e-12, 1e-1)
"""Discarded weights between rounding and saturation, where a power law is fitted."""


def draw(dataset: xr.Dataset, batch_size: int) -> list[Chart]:
    """Direction, error and infidelity, from the study's dataset alone."""
    sizes = dataset["n_qubits"].values.tolist()
    names = dataset["start"].values.tolist()
    starts = Groups("start", {name: name for name in names})
    markers = Groups("n_qubits", {n: f"n = {n}" for n in sizes})
    longest = dataset["n_steps"].values.max()
    probe = f"Mean loss of {batch_size} validation images, all parameters."
    noise = [float(dataset["batch_noise"].quantile(end)) for end in (0.025, 0.975)]
    dataset = dataset.dropna("max_bond", how="all", subset=["cosine"])
    lines: dict[str, Any] = dict(
        groups=starts,
        over="seed",
        log=True,
        log_x=True,
        panels="n_qubits",
        panel_title="n = {value}",
    )
    points: dict[str, Any] = dict(groups=starts, markers=markers)
    above = dataset.where(dataset["discarded_weight"] > LEAST_WEIGHT)
    each = (
        "A point is a run at one start, χ and T. "
        f"{int(dataset['cosine'].count() - above['cosine'].count())} of "
        f"{int(dataset['cosine'].count())} points, whose discarded weight is below "
        f"{LEAST_WEIGHT:g}, are not drawn."
    )
    bond = 2 ** (min(sizes) // 2 - 1)
    powers = ", ".join(power_words(dataset, name) for name in names)
    loops = xr.concat(
        [above["open_infidelity"], above["closed_infidelity"]],
        xr.Variable("loop", ["open loop", "closed loop"]),
    )
    return [
        plot_against_axis(
            dataset.sel(n_steps=longest),
            "cosine_distance",
            x="max_bond",
            title=f"Direction of the gradient after {longest} steps",
            caption=f"{probe} Bonds that never truncate are not drawn.",
            labels=("bond dimension χ", "1 − cosine to the exact gradient"),
            limits=(None, 2),
            **lines,
        ),
        plot_against_axis(
            dataset.sel(max_bond=bond),
            "relative_error",
            x="n_steps",
            title=f"Error of the gradient at χ = {bond}",
            caption=probe,
            labels=("time steps T", "relative error of the gradient"),
            **lines,
        ),
        plot_points(
            above,
            "discarded_weight",
            "relative_error",
            title="Error of the gradient against discarded weight",
            caption=f"{probe} {each} Exponents of least-squares lines through each "
            f"seed's points with weights from "
            f"{FITTED[0]:g} to {FITTED[1]:g}: {powers}; mean over seeds and half-width "
            "of the 95% Student t interval. For comparison: over images, the standard "
            f"error of the exact mean gradient is {noise[0]:.1f} to {noise[1]:.1f} of "
            "it (95% of the runs).",
            labels=("discarded weight w", "relative error of the gradient"),
            guide=(0.5, "√w"),
            **points,
        ),
        plot_points(
            above.assign(infidelity=loops),
            "estimated_infidelity",
            "infidelity",
            title="Estimated against true infidelity",
            caption="Mean over the images. Open loop: against exact states driven by "
            "the angles of the MPS. Closed loop: against the exact model, steered by "
            f"readouts of its own. {each}",
            labels=("estimated infidelity, 1 − exp(log-fidelity)", "true infidelity"),
            guide=(1.0, "equal"),
            panels="loop",
            **points,
        ),
    ]


def power_words(dataset: xr.Dataset, start: str) -> str:
    """The fitted exponent of one start, with its interval."""
    weight = dataset["discarded_weight"]
    low, high = FITTED
    fitted = dataset.where((weight > low) & (weight < high)).sel(start=start)
    power: Interval = log_slope(
        fitted["discarded_weight"], fitted["relative_error"], "seed"
    )
    half = float(power.high - power.mean)
    interval = "" if np.isnan(half) else f" ± {half:.2f}"
    return f"{start} {float(power.mean):.2f}{interval}"
