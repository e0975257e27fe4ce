"""Entropies of every bond after every step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import EXACT

import tnqrnn as tq
from tnqrnn.diagnostics import entanglement


def make_cell(backend):
    return tq.QRNNCell(
        2,
        tq.hardware_efficient(6, n_layers=1),
        controller=tq.Controller("tanh", (8,), init_scale=3.0),
        backend=backend,
        key=jax.random.key(0),
    )


@pytest.mark.parametrize("chi", [None, 2])
def test_every_step_and_bond(chi, rng):
    backend = tq.MPS(chi, dtype="complex128") if chi else tq.Statevector("complex128")
    cell = make_cell(backend)
    xs = jnp.asarray(rng.normal(size=(2, 3, 2)))
    actual = entanglement(cell, xs)
    assert actual.shape == (2, 3, 5)
    step = jax.jit(lambda carry, x: cell(carry, x))
    carry = cell.init()
    for t, x in enumerate(xs[1]):
        carry, _ = step(carry, x)
        expected = [backend.entropy(carry.state, cut) for cut in (1, 3, 5)]
        np.testing.assert_allclose(
            actual[1, t, [0, 2, 4]], expected, atol=EXACT["complex128"]
        )
    assert actual[:, -1].max() > 0.3
    assert actual.max() <= np.log2(chi or 8) + EXACT["complex128"]
    # Cut in two with the carry passed on, and without a batch.
    middle = tq.unroll(cell, xs[1, :2]).carry
    np.testing.assert_allclose(
        entanglement(cell, xs[1, 2:], carry=middle), actual[1, 2:], atol=1e-9
    )


def test_what_is_refused():
    with pytest.raises(TypeError, match="cell must be a QRNNCell, got GRU"):
        entanglement(tq.cells.GRU(2, 3, key=jax.random.key(0)), jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=r"xs must be of shape \(T, 2\)"):
        entanglement(make_cell(tq.Statevector()), jnp.ones((3, 1)))
