"""The cost model: fits that know their answer, predictions and crossings."""

import dataclasses
import math
import time

import pytest

from tnqrnn.records import RecordError
from tnqrnn.study.costs import (
    Configuration,
    CostModel,
    Fit,
    Measurement,
    bytes_terms,
    crossing,
    fit_costs,
    fit_terms,
    is_measured,
    load_model,
    predict_bytes,
    predict_seconds,
    seconds_terms,
)
from tnqrnn.study.probes import Probes, measure_probes, median_seconds

SECONDS = {
    "statevector": {"T B": 2e-6, "T B n": 3e-6, "T B 2^n": 5e-8},
    "mps": {
        "T B n": 4e-6,
        "T B cores": 1e-5,
        "T B cores chi^2": 2e-7,
        "T B cores chi^3": 3e-8,
    },
}
BYTES = {
    "statevector": {
        "group n": 300.0,
        "T group n": 60.0,
        "T B n": 40.0,
        "B 2^n": 9.0,
        "group 2^n": 30.0,
        "moved 2^n": 70.0,
    },
    "mps": {
        "B n": 200.0,
        "T B n": 50.0,
        "B cores chi^2": 90.0,
        "T B cores chi^2": 20.0,
    },
}
SIZES = [
    Configuration(n, chi, n_steps, batch)
    for n in (4, 6, 8, 10, 12, 14)
    for chi in (None, 2, 4, 8)
    for n_steps, batch in ((16, 8), (64, 32), (16, 1))
]


def dot(coefficients, terms):
    return sum(coefficients[name] * terms[name] for name in terms)


def measured(size):
    samples = size.n_steps * size.batch
    seconds = dot(
        SECONDS[size.kind], seconds_terms(size.n_qubits, size.max_bond, samples)
    )
    return Measurement(size, seconds, dot(BYTES[size.kind], bytes_terms(size)))


@pytest.fixture(scope="module")
def model():
    return fit_costs(map(measured, SIZES), probes=Probes(1e-3, 2e-3), origin={"a": 1})


@pytest.mark.parametrize("kind", ["statevector", "mps"])
def test_a_fit_finds_the_coefficients_that_made_the_data(model, kind):
    assert model.seconds[kind].coefficients == pytest.approx(SECONDS[kind], rel=1e-6)
    assert model.n_bytes[kind].coefficients == pytest.approx(BYTES[kind], rel=1e-6)
    assert model.seconds[kind].largest_residual < 1e-9


def test_the_largest_residual_is_that_of_the_worst_measurement():
    fit = fit_terms([{"1": 1}, {"1": 1}], [1.0, 2.0])
    # minimises (c - 1)^2 + (c/2 - 1)^2: c = 1.2
    assert fit.coefficients["1"] == pytest.approx(1.2)
    assert fit.largest_residual == pytest.approx(0.4)


def test_coefficients_are_never_negative():
    fit = fit_terms([{"1": 1, "n": n} for n in (1, 2, 3)], [3.0, 2.0, 1.0])
    assert fit.coefficients["n"] == 0


def test_a_fit_needs_measurements_of_both_representations():
    exact = [measured(size) for size in SIZES if size.max_bond is None]
    with pytest.raises(ValueError, match="rows must hold at least one measurement"):
        fit_costs(exact, probes=Probes(1, 1), origin={})


def test_predictions_are_those_of_the_formula(model):
    size = Configuration(9, 4, n_steps=10, batch=3)
    assert predict_seconds(model, size) == pytest.approx(measured(size).seconds)
    assert predict_bytes(model, size) == pytest.approx(measured(size).n_bytes)
    double = dataclasses.replace(size, dtype="complex128")
    assert predict_seconds(model, double) == 2 * predict_seconds(model, size)
    assert predict_bytes(model, double) == 2 * predict_bytes(model, size)


def test_memory_is_at_least_the_states():
    nothing = {kind: Fit(dict.fromkeys(BYTES[kind], 0.0), 0.0) for kind in BYTES}
    model = CostModel({}, nothing, {}, Probes(1, 1), {}, {})
    assert predict_bytes(model, Configuration(10, batch=3)) == 3 * 2**10 * 8
    cores = 10 - 2 * 2  # the two qubits at each end are no cores
    mps = Configuration(10, 4, batch=3)
    assert predict_bytes(model, mps) == 3 * cores * 4 * 2 * 4 * 8


def test_a_model_knows_what_it_was_fitted_to(model):
    assert model.ranges["mps"] == {"n_qubits": [4, 14], "max_bond": [2, 8]}
    assert is_measured(model, Configuration(14, 8))
    assert not is_measured(model, Configuration(15, 8))
    assert not is_measured(model, Configuration(14, 16))
    assert is_measured(model, Configuration(14))


@pytest.mark.parametrize("chi", [2, 3, 8, 32])
def test_at_the_crossing_both_take_the_same_time(model, chi):
    n = crossing(model, chi)
    exact, mps = (dot(SECONDS[kind], seconds_terms(n, bond))
                  for kind, bond in (("statevector", None), ("mps", chi)))  # fmt: skip
    assert exact == pytest.approx(mps, rel=1e-6)
    assert n > 2 * chi.bit_length()


def with_seconds(model, kind, **changes):
    fit = model.seconds[kind]
    fit = Fit({**fit.coefficients, **changes}, fit.largest_residual)
    return dataclasses.replace(model, seconds=model.seconds | {kind: fit})


def test_without_a_crossing_it_lies_at_the_end(model):
    free = with_seconds(model, "mps", **dict.fromkeys(SECONDS["mps"], 0.0))
    assert crossing(free, 4) == 6  # the smallest MPS that truncates
    linear = with_seconds(model, "statevector", **{"T B 2^n": 0.0})
    assert crossing(linear, 4) == math.inf


def test_a_slower_machine_scales_each_representation_by_its_probe(model):
    slower = model.scaled(Probes(product=2e-3, split=6e-3))
    for chi, ratio in ((None, 2), (4, 3)):
        size = Configuration(10, chi)
        expected = ratio * predict_seconds(model, size)
        assert predict_seconds(slower, size) == pytest.approx(expected)
        assert predict_bytes(slower, size) == predict_bytes(model, size)


def test_probes_are_times():
    assert all(0 < seconds < 1 for seconds in measure_probes())


def test_a_first_call_is_not_timed():
    calls = []

    def program(sleep):
        calls.append(time.sleep(sleep if calls else 3 * sleep))
        return 0.0

    seconds = median_seconds(program, (0.3,), at_least=1)
    assert 0.3 <= seconds < 0.9 and len(calls) == 3


def test_a_saved_model_is_read_back(model, tmp_path):
    model = dataclasses.replace(model, crossings={"2": [9.5, 9.0, 10.0]})
    model.save(tmp_path / "model.json")
    assert load_model(tmp_path / "model.json") == model
    text = (tmp_path / "model.json").read_text().replace("9.5", "9.6")
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(RecordError, match="does not match its checksum"):
        load_model(tmp_path / "model.json")


def test_the_shipped_model_says_what_it_was_fitted_to():
    model = load_model()
    assert {"processor", "jax", "n_steps", "batch"} <= model.origin.keys()
    for chi, (n, low, high) in model.crossings.items():
        assert n == pytest.approx(crossing(model, int(chi)))
        assert low < high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_qubits": 0}, r"n_qubits must be an integer in \[1, 1000\], got 0"),
        ({"n_qubits": 4, "max_bond": 0}, "max_bond must be an integer >= 1, got 0"),
        ({"n_qubits": 4, "n_steps": 0}, "n_steps must be an integer >= 1, got 0"),
        ({"n_qubits": 4, "batch": 1.5}, "batch must be an integer >= 1, got 1.5"),
        ({"n_qubits": 4, "dtype": "float32"}, "dtype must be one of .*'float32'"),
    ],
)
def test_bad_configurations_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Configuration(**arguments)
