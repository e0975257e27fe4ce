"""A limit on how much one step may change an array, relative to the array itself.

Adam moves every weight by about the learning rate, however small the weight is and
however short the gradient was cut. Weights that start small, such as those of the
controller's output layer, are then replaced within a step, the circuits scramble the
state and no later gradient leads back (docs/sharp_bits.md).
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from tnqrnn.checks import check_number

UPDATE_LIMIT = 0.02  # docs/results/training: learns at ten times the default rate
_FLOOR = 0.02  # r.m.s. below which an array counts as this large, or zeros stayed zeros
_LEAST = 1e-30  # 0 would stop all learning, silently


def limit_updates(
    limit: float = UPDATE_LIMIT, floor: float = _FLOOR
) -> optax.GradientTransformation:
    """Shortens each array's update to a fraction of the array.

    An update u of an array w becomes ``u min(1, limit max(rms(w), floor) / rms(u))``,
    with rms the root of the mean square. It has no state and knows no gradients, so it
    comes last in a chain, behind the learning rate. Updates relative to the size of
    what they change are also in LARS [you2017], LAMB [you2020] and Adafactor
    [shazeer2018].

    Args:
        limit: largest rms(u) / rms(w), at least 1e-30.
        floor: an array with a smaller rms is taken to have this one, at least 1e-30.

    Raises:
        ValueError: a limit or floor below 1e-30 or not finite.

    >>> import jax.numpy as jnp
    >>> weights, update = jnp.full(3, 0.1), jnp.full(3, -0.01)
    >>> limit = limit_updates(0.02)
    >>> print(limit.update(update, limit.init(weights), weights)[0])  # 0.02 * 0.1 long
    [-0.002 -0.002 -0.002]
    """
    check_number("limit", limit, minimum=_LEAST)
    check_number("floor", floor, minimum=_LEAST)

    return optax.stateless(
        lambda updates, params: limited(updates, params, limit, floor)
    )


def limited(
    updates: Any, params: Any, limit: float | jax.Array, floor: float = _FLOOR
) -> Any:
    """What :func:`limit_updates` makes of the updates of arrays.

    Args:
        updates: pytree of arrays.
        params: what they change, of the same structure.
        limit: see there; of shape ().
        floor: see there.
    """

    def shorten(update: jax.Array, array: jax.Array) -> jax.Array:
        rms, size = _rms(array), _rms(update)
        longest = jnp.asarray(limit, rms.dtype) * jnp.maximum(rms, floor)
        factor = jnp.where(size > longest, longest / size, 1)
        return update * factor.astype(update.dtype)

    return jax.tree.map(shorten, updates, params)


def _rms(array: jax.Array) -> jax.Array:
    """Root of the mean square, of shape ()."""
    return jnp.sqrt(jnp.mean(jnp.square(jnp.abs(array))))
