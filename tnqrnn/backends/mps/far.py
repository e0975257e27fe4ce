"""Two-qubit gates that reach over any number of bonds.

A fan of gates is a sum of r products, r = 2 for every gate of the package but ``swap``
(see ``operators``). Applying it multiplies the bonds it passes by r::

    -[P_r]-(r)-[R_r]-(r)-[ . ]-(r)-[R_r]-

The state is first brought into canonical form at the bonds so widened, without loss,
and then truncated in one sweep from left to right. The bonds are never larger than what
the result needs, times r, and a result that fits ``max_bond`` is kept whole; a chain of
swaps would move the state through others that need more.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.mps.operators import Fan, fan_operators
from tnqrnn.backends.mps.state import Layout, MPSState
from tnqrnn.backends.mps.sweeps import add_weights, mirror, truncated_split
from tnqrnn.backends.mps.truncation import lq, save_factors
from tnqrnn.products import einsum, matmul

Index = jax.Array | np.ndarray | int


class _Reach(NamedTuple):
    """Where fans act and where the centre was left before: N integers each, or one.

    Attributes:
        left, right: the first and last core a fan touches, left < right.
        bit: weight of its left qubit in the left core's index, see :meth:`Layout.bit`.
        start: the core that holds the centre when the fan's turn comes.
    """

    left: Index
    right: Index
    bit: Index
    start: Index


def apply_fans(
    fans: tuple[Fan, ...], angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    """Applies fans one after another, by one program for all of them.

    Args:
        fans: each touches at least two cores.
        angles (real array of shape (P,)): of the circuit.
        state: centre at core 0, before and after.
        cutoff: see :func:`tnqrnn.backends.mps.truncation.split`.
    """
    layout, dtype = state.layout, str(state.centre.dtype)
    left, right = np.array([fan.span(layout) for fan in fans]).T
    bit = np.array([layout.bit(fan.left) for fan in fans])
    start = np.concatenate([[0], right[:-1]])
    leftward, rightward = np.any(start > right), np.any(start < left)
    # Where fans are is data of one program, so their moves are conditions at run time;
    # a direction that no fan needs is left out of it.
    left_operators, operators = fan_operators(fans, layout, angles, dtype)

    @functools.partial(jax.checkpoint, policy=save_factors)
    def step(cores, inputs):
        where, on_left, on_all = inputs
        if leftward:
            cores = _move_left(cores, where.start, where.right)
        if rightward:
            cores = _move_right(cores, where.start, where.left)
        return _apply_fan(cores, where, on_left, on_all, layout, cutoff)

    cores = jnp.concatenate([state.centre[None], state.right_cores])
    where = _Reach(*map(jnp.asarray, (left, right, bit, start)))
    cores, weights = jax.lax.scan(step, cores, (where, left_operators, operators))
    cores = _move_left(cores, int(right[-1]), 0)
    truncation = add_weights(state.truncation, weights, layout.first)
    return MPSState(cores[0], cores[1:], truncation, state.n_qubits)


def _apply_fan(
    cores: jax.Array,
    where: _Reach,
    on_left: jax.Array,
    operators: jax.Array,
    layout: Layout,
    cutoff: float,
) -> tuple[jax.Array, jax.Array]:
    """Applies one fan; afterwards the centre is at its right core.

    Args:
        cores: the centre is one of those the fan touches.
        where: scalars here.
        on_left (array of shape (r, 2, 2)): operators on the left qubit.
        operators (array of shape (n-h, r, 2, 2)): operators on all qubits from core
            0's on.
        layout: of the state.
        cutoff: see :func:`tnqrnn.backends.mps.truncation.split`.

    Returns:
        the cores, and the weights discarded at all bonds, of shape (k-1,).
    """
    on_cores, on_tail = operators[: layout.n_cores], operators[layout.n_cores :]
    r = len(on_left)
    # One copy of the right core for each term of the sum, and each term's operator on
    # it. Its right bond is that of the state, so only its left bond widens.
    last = jnp.repeat(mirror(cores[where.right])[None], r, axis=0)
    last = _apply_operators(on_cores[where.right], last, 1)
    for i, operator in enumerate(on_tail):  # the identity unless the fan ends there
        last = _apply_operators(operator, last, layout.bit(layout.last + 1 + i))
    wide, lower = _widen(cores, on_cores, mirror(last), where.left, where.right)
    # The sum over the terms closes at the left core: sum_r (P_r A_left) lower_r.
    first = jnp.repeat(cores[where.left][None], r, axis=0)
    first = _apply_operators(on_left, first, where.bit)
    centre = einsum("raxb,rbc->axc", first, lower)
    return _truncate(cores, wide, centre, where.left, where.right, cutoff)


def _apply_operators(operators: jax.Array, cores: jax.Array, bit: Index) -> jax.Array:
    """Applies operators (r, 2, 2) to one bit of (left, physical) of (r, chi, 2, chi).

    The padding of an outer bond stays padding: its bits lie above all others.
    """
    rows = cores.reshape(len(cores), -1, cores.shape[-1])
    index = jnp.arange(rows.shape[1])
    off = jnp.take(rows, index & ~bit, axis=1, mode="clip")
    on = jnp.take(rows, index | bit, axis=1, mode="clip")
    # row b of each 2x2 operator, b the row's own bit: (r, rows, 2)
    entries = operators[:, (index & bit != 0).astype(int)]
    return (entries[..., :1] * off + entries[..., 1:] * on).reshape(cores.shape)


def _widen(
    cores: jax.Array,
    operators: jax.Array,
    last: jax.Array,
    left: Index,
    right: Index,
) -> tuple[jax.Array, jax.Array]:
    """Canonical form of the widened bonds, from the right core to the left one.

    Args:
        cores: right-isometric after the right core.
        operators (array of shape (k, r, 2, 2)): on the physical qubit of each core.
        last (array of shape (r, chi, 2, chi)): the right core with its operators.
        left: the first core.
        right: the last core.

    Returns:
        right-isometric cores (k-1, r chi, 2, r chi) in place of those after the left
        core, zero elsewhere; and what remains at the left core's bond,
        (r, chi, r chi).
    """
    r, chi = last.shape[:2]
    width = r * chi
    # A scan needs cores of one shape, so that of the right core, whose right bond has
    # not been widened, is padded. Sites outside are skipped: the fan's place is data,
    # and one program serves all fans.
    last = jnp.pad(last, ((0, 0), (0, 0), (0, 0), (0, width - chi)))

    def step(lower, inputs):
        core, operator, site = inputs

        def widen(lower):
            # the core, the same in each term, then the term's operator on its qubit
            inner = einsum("ayb,rbc->rayc", core, lower)
            inner = einsum("rxy,rayc->raxc", operator, inner)
            matrix = jnp.where(site == right, last, inner)
            lower, rows = lq(matrix.reshape(width, 2 * width))
            return lower.reshape(r, chi, width), rows.reshape(width, 2, width)

        def skip(lower):
            return lower, jnp.zeros((width, 2, width), core.dtype)

        inside = (left < site) & (site <= right)
        return jax.lax.cond(inside, widen, skip, lower)

    lower = jnp.zeros((r, chi, width), cores.dtype)
    inputs = (cores[1:], operators[1:], jnp.arange(1, len(cores)))
    lower, wide = jax.lax.scan(step, lower, inputs, reverse=True)
    return wide, lower


def _truncate(
    cores: jax.Array,
    wide: jax.Array,
    centre: jax.Array,
    left: Index,
    right: Index,
    cutoff: float,
) -> tuple[jax.Array, jax.Array]:
    """Truncates the widened bonds from left to right.

    Everything right of the centre is isometric, so each split discards the smallest
    Schmidt values of the whole state.

    Args:
        cores: those outside the fan's reach are kept.
        wide: see :func:`_widen`.
        centre (array of shape (chi, 2, r chi)): the left core.
        left: the first core.
        right: the last core.
        cutoff: see :func:`tnqrnn.backends.mps.truncation.split`.

    Returns:
        the cores, and the weights discarded at all bonds, of shape (k-1,).
    """
    chi, width = cores.shape[1], wide.shape[1]

    def step(centre, inputs):
        core, following, site = inputs

        def truncate(centre):
            theta = centre.reshape(2 * chi, width)
            isometry, remainder, weight = truncated_split(theta, chi, cutoff)
            moved = matmul(remainder, following.reshape(width, 2 * width))
            return moved.reshape(centre.shape), (isometry.reshape(core.shape), weight)

        def skip(centre):
            return centre, (core, jnp.zeros((), core.real.dtype))

        inside = (left <= site) & (site < right)
        return jax.lax.cond(inside, truncate, skip, centre)

    inputs = (cores[:-1], wide, jnp.arange(len(wide)))
    centre, (left_cores, weights) = jax.lax.scan(step, centre, inputs)
    cores = jnp.concatenate([left_cores, cores[-1:]])
    # The right core's right bond was padded to the wide size.
    return cores.at[right].set(centre[:, :, :chi]), weights


def _move_right(cores: jax.Array, start: Index, stop: Index) -> jax.Array:
    """Moves the centre from one core to another further right, if it is."""
    mirrored = mirror(cores)[::-1]
    last = len(cores) - 1
    return mirror(_move_left(mirrored, last - start, last - stop)[::-1])


def _move_left(cores: jax.Array, start: Index, stop: Index) -> jax.Array:
    """Moves the centre from one core to another further left, if it is.

    Where it starts and stops may be data, so the scan passes over all cores and skips
    those outside.
    """
    chi = len(cores[0])

    def step(lower, inputs):
        core, site = inputs

        def move(lower):
            lower, rows = lq(matmul(core, lower).reshape(chi, 2 * chi))
            return lower, rows.reshape(core.shape)

        def skip(lower):
            return lower, core

        return jax.lax.cond((stop < site) & (site <= start), move, skip, lower)

    # ``lower`` is what the cores so far leave to the next one, the identity before the
    # first. Where nothing is to be moved it stays so, and ``stop`` is ``start``.
    sites = jnp.arange(1, len(cores))
    eye = jnp.eye(chi, dtype=cores.dtype)
    lower, right_cores = jax.lax.scan(step, eye, (cores[1:], sites), reverse=True)
    cores = jnp.concatenate([cores[:1], right_cores])
    stop = jnp.minimum(stop, start)
    return cores.at[stop].set(matmul(cores[stop], lower))
