"""What a gradient costs: terms, their fit to measurements, and predictions.

Seconds and bytes of one gradient are sums of terms with coefficients >= 0. T is the
sequence length, B the batch, ``cores`` the n - 2h cores of an MPS, h = floor(log2 chi).
Of a batch of exact states, ``group`` samples are rolled out together and ``moved`` of
them at once.

Coefficients belong to one circuit (two layers of RY, RZ and a CRX chain, all 3n
readouts, a controller of 64 units), to complex64 and to one thread of a CPU; complex128
counts twice. A fitted model ships with the package (`load_model`); it was made by
``studies/representation_cost.py``.
"""

import dataclasses
import importlib.resources
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from tnqrnn.backends.mps_state import Layout
from tnqrnn.backends.statevector import AMPLITUDES_AT_ONCE, SMALLEST_GROUP
from tnqrnn.checks import check_choice, check_int
from tnqrnn.records import read_json, write_json
from tnqrnn.study.probes import Probes

KINDS = ("statevector", "mps")
MOST_QUBITS = 1000
_DTYPES = {"complex64": 1, "complex128": 2}


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What a gradient is taken of.

    Attributes:
        n_qubits: n in [1, 1000]: 2^n must be a float.
        max_bond: chi of an MPS, ``None`` for exact states.
        n_steps: T >= 1.
        batch: B >= 1.
        dtype: ``"complex64"`` or ``"complex128"``.

    Raises:
        ValueError: a number out of range or an unknown dtype.
    """

    n_qubits: int
    max_bond: int | None = None
    n_steps: int = 16
    batch: int = 8
    dtype: str = "complex64"

    def __post_init__(self) -> None:
        check_int("n_qubits", self.n_qubits, minimum=1, maximum=MOST_QUBITS)
        check_int("n_steps", self.n_steps, minimum=1)
        check_int("batch", self.batch, minimum=1)
        check_choice("dtype", self.dtype, _DTYPES)
        if self.max_bond is not None:
            check_int("max_bond", self.max_bond, minimum=1)

    @property
    def kind(self) -> str:
        """``"statevector"`` or ``"mps"``."""
        return "statevector" if self.max_bond is None else "mps"

    @property
    def is_dense(self) -> bool:
        """Whether an MPS is held as a vector, ``max_bond >= 2**(n // 2)``."""
        return (
            self.max_bond is not None and Layout(self.n_qubits, self.max_bond).is_dense
        )


class Measurement(NamedTuple):
    """One gradient that was measured; ``None`` where a quantity was not."""

    configuration: Configuration
    seconds: float | None
    n_bytes: float | None


class Fit(NamedTuple):
    """Coefficients of the terms, and how far off the worst measurement is.

    Attributes:
        coefficients: for each term's name.
        largest_residual: largest |predicted / measured - 1|.
    """

    coefficients: Mapping[str, float]
    largest_residual: float


@dataclasses.dataclass(frozen=True)
class CostModel:
    """Fits of seconds and of bytes, by representation.

    Attributes:
        seconds: `Fit` for each of `KINDS`.
        n_bytes: `Fit` for each of `KINDS`.
        ranges: smallest and largest measured ``n_qubits`` and ``max_bond`` for each of
            `KINDS`.
        probes: of the machine that was measured.
        crossings: for each chi, as text, the n where an MPS becomes faster than exact
            states, and the ends of its 95% interval.
        origin: processor, versions and settings.
    """

    seconds: Mapping[str, Fit]
    n_bytes: Mapping[str, Fit]
    ranges: Mapping[str, Mapping[str, Sequence[int]]]
    probes: Probes
    crossings: Mapping[str, Sequence[float]]
    origin: Mapping[str, Any]

    def scaled(self, probes: Probes) -> "CostModel":
        """The model of a machine with other probes: seconds grow with them."""
        seconds = {}
        for kind, (coefficients, residual) in self.seconds.items():
            ratio = probes.of(kind) / self.probes.of(kind)
            seconds[kind] = Fit(
                {t: ratio * c for t, c in coefficients.items()}, residual
            )
        return dataclasses.replace(self, seconds=seconds, probes=probes)

    def save(self, path: str | Path) -> None:
        """Writes the model as a record that `load_model` reads."""
        fits = {
            name: {kind: fit._asdict() for kind, fit in getattr(self, name).items()}
            for name in ("seconds", "n_bytes")
        }
        rest = {"ranges": self.ranges, "crossings": self.crossings}
        probes = {"probes": self.probes._asdict(), "origin": self.origin}
        write_json(path, fits | rest | probes)


def load_model(path: str | Path | None = None) -> CostModel:
    """The cost model of a file, or the one that ships with the package.

    Raises:
        RecordError: the file is damaged.
    """
    if path is None:
        shipped = importlib.resources.files("tnqrnn.study") / "cost_model.json"
        with importlib.resources.as_file(shipped) as file:
            return load_model(file)
    entries = read_json(path)
    for name in ("seconds", "n_bytes"):
        entries[name] = {kind: Fit(**fit) for kind, fit in entries[name].items()}
    entries["probes"] = Probes(**entries["probes"])
    return CostModel(**entries)


def seconds_terms(n: float, chi: int | None, samples: int = 1) -> dict[str, float]:
    """Terms of the seconds a gradient.

    Args:
        n: qubits; may lie between integers.
        chi: bond of an MPS, ``None`` for exact states.
        samples: T B.
    """
    if chi is None:
        return {"T B": samples, "T B n": samples * n, "T B 2^n": samples * 2.0**n}
    cores = samples * _cores(n, chi)
    return {
        "T B n": samples * n,
        "T B cores": cores,
        "T B cores chi^2": cores * chi**2,
        "T B cores chi^3": cores * chi**3,
    }


def bytes_terms(configuration: Configuration) -> dict[str, float]:
    """Terms of the bytes a gradient needs beside its arguments and results."""
    n, chi = configuration.n_qubits, configuration.max_bond
    n_steps, batch = configuration.n_steps, configuration.batch
    if chi is None:
        moved = min(batch, max(1, AMPLITUDES_AT_ONCE // 2**n))
        group = min(batch, max(SMALLEST_GROUP, moved))
        return {
            "group n": group * n,
            "T group n": n_steps * group * n,
            "T B n": n_steps * batch * n,
            "B 2^n": batch * 2.0**n,
            "group 2^n": group * 2.0**n,
            "moved 2^n": moved * 2.0**n,
        }
    values = batch * _cores(n, chi) * chi**2
    return {
        "B n": batch * n,
        "T B n": n_steps * batch * n,
        "B cores chi^2": values,
        "T B cores chi^2": n_steps * values,
    }


def fit_terms(rows: Sequence[Mapping[str, float]], measured: Sequence[float]) -> Fit:
    """Least squares on relative errors, with coefficients >= 0.

    Args:
        rows: the terms of each measurement, all of the same names.
        measured: one positive value each.

    Raises:
        ValueError: no measurement.

    >>> fit = fit_terms([{"1": 1, "n": 2}, {"1": 1, "n": 5}], [7, 16])
    >>> {name: round(value, 6) for name, value in fit.coefficients.items()}
    {'1': 1.0, 'n': 3.0}
    """
    if not rows:
        raise ValueError("rows must hold at least one measurement, got none.")
    names = list(rows[0])
    matrix = np.array([[row[name] for name in names] for row in rows], float)
    matrix /= np.asarray(measured, float)[:, None]
    scale = np.linalg.norm(matrix, axis=0)  # the terms differ by many decades
    found, _ = scipy.optimize.nnls(matrix / scale, np.ones(len(rows)))
    residual = np.abs(matrix @ (found / scale) - 1).max()
    coefficients = dict(zip(names, (found / scale).tolist(), strict=True))
    return Fit(coefficients, float(residual))


def fit_costs(
    measurements: Iterable[Measurement],
    *,
    probes: Probes,
    origin: Mapping[str, Any],
    crossings: Mapping[str, Sequence[float]] | None = None,
) -> CostModel:
    """Fits seconds and bytes of both representations.

    Args:
        measurements: in complex64; an MPS that is held as a vector is left out.
        probes: of the same machine.
        origin: what was measured, kept as it is.
        crossings: see `CostModel`.

    Raises:
        ValueError: a representation was not measured.
    """
    measurements = [one for one in measurements if not one.configuration.is_dense]
    seconds, n_bytes, ranges = {}, {}, {}
    for kind in KINDS:
        here = [one for one in measurements if one.configuration.kind == kind]
        timed = [one for one in here if one.seconds is not None]
        sized = [one for one in here if one.n_bytes is not None]
        seconds[kind] = fit_terms(
            [_seconds_terms(one.configuration) for one in timed],
            [one.seconds for one in timed if one.seconds is not None],
        )
        n_bytes[kind] = fit_terms(
            [bytes_terms(one.configuration) for one in sized],
            [one.n_bytes for one in sized if one.n_bytes is not None],
        )
        ranges[kind] = {
            name: _ends(getattr(one.configuration, name) for one in here)
            for name in ("n_qubits", "max_bond")[: 1 + (kind == "mps")]
        }
    return CostModel(seconds, n_bytes, ranges, probes, crossings or {}, origin)


def predict_seconds(model: CostModel, configuration: Configuration) -> float:
    """Seconds of one gradient, on one thread of the machine that was measured."""
    terms = _seconds_terms(configuration)
    factor = _DTYPES[configuration.dtype]
    return factor * _dot(model.seconds[configuration.kind], terms)


def interpolate_seconds(
    model: CostModel, n: float, chi: int | None, samples: int = 1
) -> float:
    """Seconds of one gradient in complex64 at an n that may lie between integers.

    Args:
        model: a fit.
        n: qubits.
        chi: bond of an MPS, ``None`` for exact states.
        samples: T B.
    """
    fitted = model.seconds["statevector" if chi is None else "mps"]
    return _dot(fitted, seconds_terms(n, chi, samples))


def predict_bytes(model: CostModel, configuration: Configuration) -> float:
    """Bytes one gradient needs beside its arguments, results and the process itself.

    Never less than the states of the batch, whatever was fitted.
    """
    terms = bytes_terms(configuration)
    fitted = _dot(model.n_bytes[configuration.kind], terms)
    return _DTYPES[configuration.dtype] * max(fitted, _state_bytes(configuration))


def is_measured(model: CostModel, configuration: Configuration) -> bool:
    """Whether n and chi lie within what the model was fitted to."""
    return all(
        low <= getattr(configuration, name) <= high
        for name, (low, high) in model.ranges[configuration.kind].items()
    )


def crossing(model: CostModel, max_bond: int) -> float:
    """The n from which on an MPS is faster than exact states, between integers.

    It depends neither on T nor on B, to which both times are proportional. Where the
    MPS is faster from the smallest n on at which it truncates, that n is returned;
    infinity where it is not faster at 1000 qubits.

    Raises:
        ValueError: ``max_bond`` is no integer >= 1.
    """
    max_bond = check_int("max_bond", max_bond, minimum=1)

    def is_faster(n: float) -> bool:
        exact_seconds = interpolate_seconds(model, n, None)
        return interpolate_seconds(model, n, max_bond) <= exact_seconds

    low = 2.0 * max_bond.bit_length()
    if is_faster(low):
        return low
    high = low + 1
    while not is_faster(high):
        low, high = high, high + 1
        if high > MOST_QUBITS:
            return math.inf
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if is_faster(middle) else (middle, high)
    return high


def _seconds_terms(configuration: Configuration) -> dict[str, float]:
    samples = configuration.n_steps * configuration.batch
    return seconds_terms(configuration.n_qubits, configuration.max_bond, samples)


def _state_bytes(configuration: Configuration) -> float:
    """The states of a batch, in complex64."""
    n, chi = configuration.n_qubits, configuration.max_bond
    values = 2.0**n if chi is None else _cores(n, chi) * 2 * chi**2
    return 8 * configuration.batch * values


def _cores(n: float, chi: int) -> float:
    """Cores of an MPS with dense ends, n - 2h."""
    return n - 2 * (chi.bit_length() - 1)


def _dot(fit: Fit, terms: Mapping[str, float]) -> float:
    return sum(fit.coefficients[name] * value for name, value in terms.items())


def _ends(values: Iterable[int]) -> list[int]:
    values = sorted(values)
    return [values[0], values[-1]]
