"""Where the gradient of a truncated simulation leaves something out, measured."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from tnqrnn.backends.mps.truncation import observer

_SHARES: list[tuple[float, float]] = []
"""What each split reported so far, in the derivative that is being taken."""


class MissedTangent(NamedTuple):
    """What derivatives of truncated splits may leave out, of the change they are given.

    Both are shares between 0 and about 1, the largest of all splits. Below 1e-4 the
    gradient is whole: Schmidt values too small to be told from rounding may be met.

    Attributes:
        closing_gap: where a kept Schmidt value equals a discarded one. If no change
            tells them apart, as after a GHZ state, rounding decides what is kept: then
            it is at least that value's share of the state's norm.
        raised_rank: where a bond has fewer Schmidt values than it may hold, and the
            change would raise their number. Rounding decides how much of that a
            gradient passes on; here all of it counts.
    """

    closing_gap: float
    raised_rank: float


def missed_tangent(
    function: Callable[[Any], Any], params: Any, direction: Any
) -> MissedTangent:
    """Says whether a truncated simulation can be differentiated at a point.

    A matrix product state has no derivative where a gap closes at a truncating bond;
    where a change raises a bond's rank, its derivative exists in each direction but is
    no linear function of it. Gradients are finite there and leave a part out
    (:class:`tnqrnn.MPS`). That happens at special angles, pi and pi/2, not at random
    ones. On exact states nothing is left out.

    Args:
        function: of ``params``, a loss say; compiled once for all calls with the same
            function and shapes.
        params: pytree of arrays.
        direction: pytree like ``params``, the change to follow; a random one meets
            every part with probability one.

    Returns:
        the largest shares over all splits and steps, zero if there was no split.

    >>> import jax.numpy as jnp
    >>> import tnqrnn as tq
    >>> ansatz, backend = tq.hardware_efficient(6, n_layers=1), tq.MPS(max_bond=2)
    >>> def loss(angles):
    ...     state = backend.evolve(ansatz, angles, backend.init(6))
    ...     return backend.expectation("z", state).sum()
    >>> change = jnp.linspace(0.5, 1.0, ansatz.n_params)
    >>> for angle in (0.3, jnp.pi):
    ...     missed = missed_tangent(loss, jnp.full(ansatz.n_params, angle), change)
    ...     print(missed.raised_rank > 1e-4)
    False
    True
    """
    _SHARES.clear()
    with observer(_observe):
        tangent = jax.jvp(jax.jit(function), (params,), (direction,))
    jax.block_until_ready(tangent)
    jax.effects_barrier()
    return MissedTangent(*map(float, np.max([(0, 0), *_SHARES], axis=0)))


def _observe(gap: jax.Array, rank: jax.Array) -> None:
    jax.debug.callback(lambda *shares: _SHARES.append(shares), gap, rank)
