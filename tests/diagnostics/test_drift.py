"""The state rebuilt by the reversible gradient: how far off, and when it warns."""

import jax
import numpy as np
import pytest

import tnqrnn as tq
from tnqrnn.diagnostics import reversible_drift
from tnqrnn.diagnostics.drift import THRESHOLDS


def make_cell(dtype, n_qubits=4):
    return tq.QRNNCell(
        3,
        tq.hardware_efficient(n_qubits),
        controller=tq.Controller("tanh", (16,), init_scale=3.0),
        backend=tq.Statevector(dtype),
        key=jax.random.key(1),
    )


def inputs(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", THRESHOLDS)
def test_a_thousand_steps_on_twelve_qubits_are_rebuilt(dtype):
    """A warning is an error here; the drift is there, and it is small."""
    drift = reversible_drift(make_cell(dtype, 12), inputs(1024, 3))
    assert 0 < drift < THRESHOLDS[dtype]


def test_the_drift_is_that_of_undoing_step_by_step():
    cell = make_cell("complex64")
    xs = inputs(40, 3).astype(np.float32)
    start = carry = cell.init()
    angles = []
    for x in xs:
        angles.append(cell.angles(x, carry.readouts))
        carry, _ = cell(carry, x)
    state = carry.state
    for theta in angles[::-1]:
        state = cell.backend.evolve(cell.ansatz.inverse(), -theta, state)
    by_hand = np.linalg.norm(state.parts - start.state.parts)
    drift = reversible_drift(cell, xs)
    assert 1e-7 < drift < 1e-5 and by_hand / 10 < drift < 10 * by_hand


def test_a_batch_gives_each_sample_s_drift():
    cell = make_cell("complex64")
    xs = inputs(3, 20, 3).astype(np.float32)
    drift = reversible_drift(cell, xs)
    alone = [reversible_drift(cell, x) for x in xs]
    assert drift.shape == (3,) and drift.dtype == np.float64
    np.testing.assert_allclose(drift, alone, atol=2e-6)
    first = tq.unroll(cell, xs)
    assert (reversible_drift(cell, xs, carry=first.carry) < 1e-5).all()


def test_it_warns_past_the_threshold():
    cell = make_cell("complex64")
    xs = inputs(20, 3).astype(np.float32)
    with pytest.warns(RuntimeWarning, match="over 20 steps is off by .* complex128"):
        reversible_drift(cell, xs, threshold=1e-9)


def test_what_cannot_be_undone_is_refused():
    cell = make_cell("complex64").with_backend(tq.MPS(2))
    with pytest.raises(ValueError, match="got 'reversible'"):
        reversible_drift(cell, inputs(4, 3))
    with pytest.raises(ValueError, match="threshold must be a finite number"):
        reversible_drift(make_cell("complex64"), inputs(4, 3), threshold=-1)
