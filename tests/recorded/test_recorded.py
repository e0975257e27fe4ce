"""The numbers of commit fa3416f, again; README.md here says when they may move."""

import pytest
from recorded.recording import (
    CONFIGURATIONS,
    LEAST_LOST,
    TOLERANCE,
    compute,
    error,
    infidelity,
    read,
)

RECORDED = read()


def test_every_configuration_is_recorded():
    assert len(CONFIGURATIONS) >= 48
    assert list(RECORDED) == list(CONFIGURATIONS)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_numbers_are_those_recorded(name):
    expected = RECORDED[name]
    actual = compute(CONFIGURATIONS[name])
    assert {key: value.shape for key, value in actual.items()} == {
        key: value.shape for key, value in expected.items()
    }
    errors = {key: error(value, expected[key]) for key, value in actual.items()}
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize(
    "name", [name for name, row in CONFIGURATIONS.items() if row.truncates]
)
def test_bonds_that_are_too_narrow_truncate(name):
    assert infidelity(RECORDED[name]) > LEAST_LOST
