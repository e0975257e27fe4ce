"""Scores without the truncation a model was trained with."""

import jax
import numpy as np
import pytest

import tnqrnn as tq
from tnqrnn.diagnostics import truncation_gap

TASK = tq.load_task("digits")
SPLIT = tq.tasks.Split(TASK.test.inputs[:32], TASK.test.targets[:32])


def classifier(backend, n_qubits=4):
    cell = tq.QRNNCell(
        TASK.input_size,
        tq.hardware_efficient(n_qubits, n_layers=1),
        controller=tq.Controller("tanh", (8,), init_scale=3.0),
        backend=backend,
        key=jax.random.key(0),
    )
    return tq.SequenceClassifier(cell, TASK.n_classes, key=jax.random.key(1))


def test_scores_and_differences():
    model = classifier(tq.MPS(1, on_truncation="warn"))
    with pytest.warns(RuntimeWarning, match="budget"):
        gaps = truncation_gap(model, SPLIT)
        own = tq.evaluate(model, SPLIT)
    others = {"double_bond": tq.MPS(2), "exact": tq.Statevector()}
    assert len(gaps) == 8
    for name, backend in others.items():
        scores = tq.evaluate(model.with_backend(backend), SPLIT)
        for what in ("loss", "accuracy"):
            score = scores[what]
            assert gaps[f"{name}_{what}"] == score
            assert gaps[f"{name}_minus_own_{what}"] == score - own[what]
    assert abs(gaps["exact_minus_own_loss"]) > 1e-4
    assert gaps["exact_loss"] != gaps["double_bond_loss"]


def test_what_does_not_apply_is_left_out():
    model = classifier(tq.MPS(1))
    assert all("double" in name for name in truncation_gap(model, SPLIT, exact_up_to=3))
    exact = truncation_gap(classifier(tq.Statevector()), SPLIT)
    assert set(exact) == {
        f"exact_{kind}{what}"
        for kind in ("", "minus_own_")
        for what in ("loss", "accuracy")
    }
    assert np.isclose(exact["exact_minus_own_loss"], 0)
    cell = tq.cells.GRU(TASK.input_size, 4, key=jax.random.key(0))
    classical = tq.SequenceClassifier(cell, TASK.n_classes, key=jax.random.key(1))
    with pytest.raises(
        TypeError, match="model must have a QRNNCell as its cell, got GRU"
    ):
        truncation_gap(classical, SPLIT)
