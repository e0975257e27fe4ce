"""Two-qubit gates that reach over any number of bonds.

A gate is a sum of r products, ``G = sum_r L_r (x) R_r``, r = 2 for every gate of the
package but ``swap``. So applying it multiplies the bonds between its qubits by r::

    -[L_r]-(r)-[ . ]-(r)-[ . ]-(r)-[R_r]-

The state is first brought into canonical form at the bonds so widened, without loss,
and then truncated in one sweep from left to right. The bonds are never larger than what
the gate's result needs, times r, and a result that fits ``max_bond`` is kept whole; a
chain of swaps would move the state through others that need more.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.mps_plan import unitaries_in_order
from tnqrnn.backends.mps_state import Layout, MPSState
from tnqrnn.backends.mps_sweeps import mirror, record, truncated_split
from tnqrnn.backends.truncation import lq, save_factors
from tnqrnn.circuits.ansatz import Gate
from tnqrnn.circuits.fusion import Block
from tnqrnn.circuits.gates import GATES


class _Geometry(NamedTuple):
    """Where a gate acts and where the centre was left before; static, per gate.

    Attributes:
        left, right: the cores of the gate's qubits, left < right.
        left_bit, right_bit: see :meth:`Layout.bit`.
        centre: the core that holds the centre when the gate's turn comes.
    """

    left: np.ndarray
    right: np.ndarray
    left_bit: np.ndarray
    right_bit: np.ndarray
    centre: np.ndarray


def apply_far_gates(
    gates: tuple[Gate, ...], angles: jax.Array, state: MPSState, cutoff: float
) -> MPSState:
    """Applies gates one after another, by one program for all of them.

    Args:
        gates: each acts on qubits of two different cores.
        angles (real array of shape (P,)): of the circuit.
        state: centre at core 0, before and after.
        cutoff: see :func:`tnqrnn.backends.truncation.split`.
    """
    layout, dtype = state.layout, str(state.centre.dtype)
    geometry = _geometry(gates, layout)
    lefts, rights = _factors(gates, angles, dtype)

    @functools.partial(jax.checkpoint, policy=save_factors)
    def step(cores, inputs):
        return _apply_one(cores, *inputs, cutoff)

    cores = jnp.concatenate([state.centre[None], state.rest])
    inputs = (jax.tree.map(jnp.asarray, geometry), lefts, rights)
    cores, weights = jax.lax.scan(step, cores, inputs)
    cores = _move_left(cores, 0, geometry.right[-1])
    truncation = record(state.truncation, weights, layout.first)
    return MPSState(cores[0], cores[1:], truncation, state.n_qubits)


def _geometry(gates: tuple[Gate, ...], layout: Layout) -> _Geometry:
    pairs = np.array([sorted(gate.qubits) for gate in gates])
    sites, bits = np.vectorize(layout.site)(pairs), np.vectorize(layout.bit)(pairs)
    centre = np.concatenate([[0], sites[:-1, 1]])
    return _Geometry(sites[:, 0], sites[:, 1], bits[:, 0], bits[:, 1], centre)


def _factors(
    gates: tuple[Gate, ...], angles: jax.Array, dtype: str
) -> tuple[jax.Array, jax.Array]:
    """Operators (N, r, 2, 2) on the left and right qubits whose products sum up.

    The left ones are a fixed orthonormal basis, so the right ones are linear in the
    gate and no decomposition depends on an angle.
    """
    bases = [_left_basis(g.name, g.qubits[0] > g.qubits[1]) for g in gates]
    r = max(map(len, bases))
    padded = np.stack([np.pad(b, ((0, r - len(b)), (0, 0), (0, 0))) for b in bases])
    lefts = jnp.asarray(padded, dtype)
    blocks = [Block(tuple(sorted(gate.qubits)), (gate,)) for gate in gates]
    matrices = unitaries_in_order(blocks, angles, dtype).reshape(-1, 2, 2, 2, 2)
    return lefts, jnp.einsum("grik,gijkl->grjl", lefts.conj(), matrices)


@functools.lru_cache(maxsize=64)
def _left_basis(name: str, swapped: bool) -> np.ndarray:
    """Orthonormal (r, 2, 2) that span a gate's operators on its lower qubit."""
    spec = GATES[name]
    if spec.matrix is not None:
        parts = [spec.matrix]
    else:
        on = spec.projector_on
        parts = [np.eye(4) - on, on, spec.generator]
    tensors = np.stack(parts).reshape(-1, 2, 2, 2, 2)
    order = (2, 4, 0, 1, 3) if swapped else (1, 3, 0, 2, 4)
    operators = tensors.transpose(order).reshape(4, -1)
    basis, values, _ = np.linalg.svd(operators)
    return basis[:, : np.sum(values > 1e-9)].T.reshape(-1, 2, 2)


def _apply_one(
    cores: jax.Array,
    where: _Geometry,
    lefts: jax.Array,
    rights: jax.Array,
    cutoff: float,
) -> tuple[jax.Array, jax.Array]:
    """Applies one gate; afterwards the centre is at its right core.

    Returns:
        the cores, and the weights discarded at all bonds, of shape (k-1,).
    """
    cores = _move_left(cores, where.right, where.centre)
    cores = _move_right(cores, where.centre, where.left)
    first = _apply_operators(lefts, cores[where.left], where.left_bit)
    last = _apply_operators(rights, mirror(cores[where.right]), where.right_bit)
    wide, lower = _widen(cores, mirror(last), where.left, where.right)
    centre = jnp.einsum("raxb,rbc->axc", first, lower)
    return _truncate(cores, wide, centre, where.left, where.right, cutoff)


def _apply_operators(
    operators: jax.Array, core: jax.Array, bit: jax.Array
) -> jax.Array:
    """Applies (r, 2, 2) operators to one bit of (left, physical): (r, chi, 2, chi)."""
    rows = core.reshape(-1, core.shape[-1])
    index = jnp.arange(len(rows))
    # Padding of an outer bond stays padding: its bits lie above all others.
    off = jnp.take(rows, index & ~bit, axis=0, mode="clip")
    on = jnp.take(rows, index | bit, axis=0, mode="clip")
    chosen = operators[:, (index & bit != 0).astype(int)]  # (r, rows, 2)
    moved = chosen[..., :1] * off[None] + chosen[..., 1:] * on[None]
    return moved.reshape(-1, *core.shape)


def _widen(
    cores: jax.Array, last: jax.Array, left: jax.Array, right: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Canonical form of the widened bonds, from the right core to the left one.

    Args:
        cores: right-isometric after the left core.
        last (array of shape (r, chi, 2, chi)): the right core with its operators.
        left, right: the gate's cores.

    Returns:
        right-isometric cores (k-1, r chi, 2, r chi) in place of those after the left
        core, zero elsewhere; and what remains at the left core's bond,
        (r, chi, r chi).
    """
    r, chi = last.shape[:2]
    width = r * chi
    last = jnp.pad(last, ((0, 0), (0, 0), (0, 0), (0, width - chi)))

    def step(lower, inputs):
        core, site = inputs

        def widen(lower):
            through = jnp.einsum("axb,rbc->raxc", core, lower)
            matrix = jnp.where(site == right, last, through)
            lower, rows = lq(matrix.reshape(width, 2 * width))
            return lower.reshape(r, chi, width), rows.reshape(width, 2, width)

        def skip(lower):
            return lower, jnp.zeros((width, 2, width), core.dtype)

        inside = (left < site) & (site <= right)
        return jax.lax.cond(inside, widen, skip, lower)

    lower = jnp.zeros((r, chi, width), cores.dtype)
    sites = jnp.arange(1, len(cores))
    lower, wide = jax.lax.scan(step, lower, (cores[1:], sites), reverse=True)
    return wide, lower


def _truncate(
    cores: jax.Array,
    wide: jax.Array,
    centre: jax.Array,
    left: jax.Array,
    right: jax.Array,
    cutoff: float,
) -> tuple[jax.Array, jax.Array]:
    """Truncates the widened bonds from left to right.

    Args:
        cores: those outside the gate's reach are kept.
        wide: see :func:`_widen`.
        centre (array of shape (chi, 2, r chi)): the left core.
        left, right: the gate's cores.
        cutoff: see :func:`tnqrnn.backends.truncation.split`.

    Returns:
        the cores, and the weights discarded at all bonds, of shape (k-1,).
    """
    chi, width = cores.shape[1], wide.shape[1]

    def step(centre, inputs):
        core, following, site = inputs

        def cut(centre):
            theta = centre.reshape(2 * chi, width)
            isometry, rest, weight = truncated_split(theta, chi, cutoff)
            moved = rest @ following.reshape(width, 2 * width)
            return moved.reshape(centre.shape), (isometry.reshape(core.shape), weight)

        def skip(centre):
            return centre, (core, jnp.zeros((), core.real.dtype))

        inside = (left <= site) & (site < right)
        return jax.lax.cond(inside, cut, skip, centre)

    inputs = (cores[:-1], wide, jnp.arange(len(wide)))
    centre, (passed, weights) = jax.lax.scan(step, centre, inputs)
    cores = jnp.concatenate([passed, cores[-1:]])
    return cores.at[right].set(centre[:, :, :chi]), weights


def _move_right(cores: jax.Array, start: jax.Array, stop: jax.Array) -> jax.Array:
    """Moves the centre from one core to another further right, if it is."""
    mirrored = mirror(cores)[::-1]
    last = len(cores) - 1
    return mirror(_move_left(mirrored, last - stop, last - start)[::-1])


def _move_left(cores: jax.Array, stop: jax.Array, start: jax.Array) -> jax.Array:
    """Moves the centre from core ``start`` to core ``stop`` if that is further left."""
    chi = len(cores[0])

    def step(lower, inputs):
        core, site = inputs

        def move(lower):
            lower, rows = lq((core @ lower).reshape(chi, 2 * chi))
            return lower, rows.reshape(core.shape)

        def skip(lower):
            return lower, core

        return jax.lax.cond((stop < site) & (site <= start), move, skip, lower)

    sites = jnp.arange(1, len(cores))
    eye = jnp.eye(chi, dtype=cores.dtype)
    lower, passed = jax.lax.scan(step, eye, (cores[1:], sites), reverse=True)
    cores = jnp.concatenate([cores[:1], passed])
    stop = jnp.minimum(stop, start)
    return cores.at[stop].set(cores[stop] @ lower)
