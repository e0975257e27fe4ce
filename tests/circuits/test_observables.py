"""Pauli strings: what names mean and what is refused."""

import pytest

from tnqrnn.circuits import parse_observables


def test_named_sets_in_the_documented_order():
    xyz = ((0, "X"),), ((0, "Y"),), ((0, "Z"),), ((1, "X"),), ((1, "Y"),), ((1, "Z"),)
    assert parse_observables("xyz", 2) == xyz
    assert parse_observables("z", 2) == (((0, "Z"),), ((1, "Z"),))
    assert parse_observables("xyz+zz", 2) == (*xyz, ((0, "Z"), (1, "Z")))


def test_explicit_strings_are_sorted_by_qubit():
    assert parse_observables(["Z3 X0", "I"], 4) == (((0, "X"), (3, "Z")), ())


def test_parsed_strings_pass_unchanged():
    strings = parse_observables(["X0 Z3", "Y1", "I"], 4)
    assert parse_observables(strings, 4) == strings


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        ("xy", "must be one of .* got 'xy'"),
        ([], "at least one observable, got none"),
        (["X4"], "must act on qubits 0 to 3, got 'X4'"),
        (["X0 Z0"], "at most once on a qubit, got 'X0 Z0'"),
        (["W0"], "such as 'Z0', 'X0 Z3' or 'I', got 'W0'"),
        ([""], "got ''"),
        (["x0"], "got 'x0'"),
        ([((0, "W"),)], "must have X, Y or Z"),
        ([((0, ""),)], "must have X, Y or Z"),
        ([((0, "XY"),)], "must have X, Y or Z"),
        ([((1.9, "Z"),)], r"must be Pauli strings .*, got \(\(1.9, 'Z'\),\)"),
        ([(0, "Z")], r"must be Pauli strings .*, got \(0, 'Z'\)"),
        ([5], "must be Pauli strings .*, got 5"),
        (None, "must be a sequence of Pauli strings, got None"),
    ],
)
def test_bad_observables_are_refused(observables, message):
    with pytest.raises(ValueError, match=message):
        parse_observables(observables, 4)
