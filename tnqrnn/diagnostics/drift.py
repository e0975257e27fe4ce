"""How exactly a reversible gradient rebuilds where it started.

The reversible gradient undoes the circuit step by step instead of storing states. Each
step rounds, so the rebuilt states drift from those of the forward pass; the state
before the first step, rebuilt last, is off the most.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.backends import AbstractReversibleBackend
from tnqrnn.checks import check_number
from tnqrnn.model import QRNNCarry, QRNNCell, unroll

THRESHOLDS = {"complex64": 1e-3, "complex128": 1e-11}
"""Drift above which :func:`reversible_drift` warns, by dtype."""


def reversible_drift(
    cell: QRNNCell,
    xs: ArrayLike,
    *,
    carry: QRNNCarry | None = None,
    threshold: float | None = None,
) -> np.ndarray:
    """Distance between the initial state and the one rebuilt from the last state.

    Args:
        cell: on an exact backend.
        xs (array of shape (T, F) or (B, T, F)): inputs, finite.
        carry: where to start, as for :func:`tnqrnn.unroll`.
        threshold: warn above this; by default 1e-3 in complex64, 1e-11 in complex128.

    Returns:
        float64 array of shape () or (B,): norm of the difference, 0 at best, 2 at most.

    Raises:
        ValueError: a backend without reversible gradients, or what ``unroll`` refuses.

    Warns:
        RuntimeWarning: the largest drift exceeds ``threshold``: use complex128,
        shorter sequences or ``gradient="checkpoint"``.

    >>> import jax, jax.numpy as jnp
    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(3, tq.hardware_efficient(2), key=jax.random.key(0))
    >>> bool(reversible_drift(cell, jnp.ones((16, 3))) < 1e-5)
    True
    """
    rollout = unroll(cell, xs, carry=carry, gradient="reversible")
    if threshold is None:
        threshold = THRESHOLDS[cell.backend.dtype]
    threshold = check_number("threshold", threshold, minimum=0)
    start = cell.init() if carry is None else carry
    arrays = (jnp.asarray(xs), rollout.readouts, rollout.carry.state)
    if np.ndim(xs) == 2:
        drift = _drift(cell, *arrays, start)
    else:
        at = None if carry is None else 0
        drift = jax.vmap(_drift, (None, 0, 0, 0, at))(cell, *arrays, start)
    worst = float(jnp.max(drift))
    if not worst <= threshold:
        warnings.warn(
            f"the initial state rebuilt over {np.shape(xs)[-2]} steps is off by "
            f"{worst:.1e}, more than {threshold:.1e}: gradients are as inexact. Use "
            "complex128, shorter sequences or gradient='checkpoint'.",
            RuntimeWarning,
            stacklevel=2,
        )
    return np.asarray(drift, np.float64)


@eqx.filter_jit
def _drift(
    cell: QRNNCell, xs: jax.Array, zs: jax.Array, last: object, start: QRNNCarry
) -> jax.Array:
    before = jnp.concatenate([start.readouts[None], zs[:-1]])
    backend = cell.engine
    assert isinstance(backend, AbstractReversibleBackend), "unroll refuses others"

    def step(state: object, inputs: tuple[jax.Array, jax.Array]) -> tuple:
        operators = backend.operators(cell.ansatz, cell.angles(*inputs))
        state, _, _ = backend.undo(cell.ansatz, operators, state, state)
        return state, None

    rebuilt, _ = jax.lax.scan(step, last, (xs, before), reverse=True)
    difference = jax.tree.map(jnp.subtract, rebuilt, start.state)
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(difference)))
