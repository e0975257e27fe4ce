"""What gradients of truncated simulations leave out is known, at the known points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import central_difference

import tnqrnn as tq
from tnqrnn.diagnostics import missed_tangent

BACKEND = tq.MPS(2, dtype="complex128")
CHAIN = tq.hardware_efficient(6, n_layers=2)


@jax.jit
def loss(angles):
    state = BACKEND.init(6)
    for _ in range(2):
        state = BACKEND.evolve(CHAIN, angles, state)
    return BACKEND.expectation("xyz", state) @ jnp.linspace(-1, 1, 18)


@pytest.mark.parametrize(
    ("angle", "whole"), [(0.0, True), (0.7, True), (np.pi, False), (None, True)]
)
def test_known_where_the_gradient_is_off(angle, whole, rng):
    """With the program differentiated before: it must be traced anew."""
    shape = (CHAIN.n_params,)
    angles = (
        rng.uniform(-np.pi, np.pi, shape) if angle is None else np.full(shape, angle)
    )
    angles, direction = jnp.asarray(angles), jnp.asarray(rng.normal(size=shape))
    actual = jnp.vdot(jax.grad(loss)(angles), direction)
    tangent = jax.jvp(loss, (angles,), (direction,))[1]
    np.testing.assert_allclose(tangent, actual, rtol=1e-6)
    expected = central_difference(loss, angles, direction)
    missed = missed_tangent(loss, angles, direction)
    assert (max(missed) < 1e-4) == whole
    assert (abs(actual - expected) < 1e-5 * abs(expected)) == whole


def test_a_closing_gap_is_told_from_a_raised_rank(rng):
    backend = tq.MPS(1, dtype="complex128")
    ansatz = tq.Ansatz(4, [("ry", 1, 0), ("crx", (1, 2), 1), ("ry", 2, 2)])

    def readouts(angles):
        return backend.expectation(
            "xyz", backend.evolve(ansatz, angles, backend.init(4))
        )

    change = jnp.asarray(rng.normal(size=3))
    # ry(pi/2), crx(pi) makes a Bell pair, whose two Schmidt values are equal.
    missed = missed_tangent(readouts, jnp.array([np.pi / 2, np.pi, 0.3]), change)
    assert missed.closing_gap > 0.01 and missed.raised_rank < 1e-4
    missed = missed_tangent(readouts, jnp.array([0.4, 1.0, 0.3]), change)
    assert max(missed) < 1e-4


def test_a_raised_rank_is_known_whatever_rounding_does(rng):
    """It chooses the rows of values that vanish, and so how much a gradient misses."""
    ring = tq.hardware_efficient(6, n_layers=2, topology="ring")

    @jax.jit
    def readouts(angles):
        state = BACKEND.init(6)
        for row in angles:
            state = BACKEND.evolve(ring, row, state)
        return BACKEND.expectation("xyz", state)

    change = jnp.asarray(rng.normal(size=(2, ring.n_params)))
    shares = [
        missed_tangent(readouts, jnp.full(change.shape, np.pi / 2 + turns), change)
        for turns in (0, 4 * np.pi, 8 * np.pi)  # the same gates, rounded otherwise
    ]
    assert shares[0].raised_rank > 0.01
    np.testing.assert_allclose(shares[1:], shares[:1] * 2, atol=1e-6)


def test_a_gap_that_stays_closed_is_known(rng):
    """A GHZ state has pairs of values at all angles: rounding decides which to keep."""
    ghz = np.zeros(64)
    ghz[[0, -1]] = np.sqrt(0.5)
    ansatz = tq.hardware_efficient(6, n_layers=2, topology="brickwork")
    angles = jnp.asarray(rng.uniform(-np.pi, np.pi, ansatz.n_params))
    change = jnp.asarray(rng.normal(size=angles.shape))

    def share(max_bond):
        backend = tq.MPS(max_bond, dtype="complex128")
        start = backend.from_statevector(ghz)

        def readouts(angles):
            return backend.expectation("z", backend.evolve(ansatz, angles, start))

        return missed_tangent(readouts, angles, change).closing_gap

    assert 1e-4 < share(3) <= np.sqrt(1 / 4)  # one of at least four values
    assert share(4) < 1e-4


def test_batches_are_seen_and_exact_states_miss_nothing(rng):
    angles = jnp.stack([jnp.full(CHAIN.n_params, a) for a in (0.3, jnp.pi)])
    change = jnp.asarray(rng.normal(size=angles.shape))
    alone = [missed_tangent(loss, *pair) for pair in zip(angles, change, strict=True)]
    both = missed_tangent(jax.vmap(loss), angles, change)
    np.testing.assert_allclose(both, np.max(alone, axis=0), atol=1e-9)

    def exact(angles):
        backend = tq.Statevector("complex128")
        return backend.expectation("z", backend.evolve(CHAIN, angles, backend.init(6)))

    assert missed_tangent(exact, angles[1], change[1]) == (0, 0)
