"""Moving the centre of orthogonality over bonds, with and without truncation.

Every loop over sites is a ``lax.scan``, so that the number of operations to compile
does not depend on the number of qubits.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.base import Truncation
from tnqrnn.backends.mps.truncation import lq, save_factors, saved, split
from tnqrnn.products import einsum, matmul


def sweep(
    centre: jax.Array,
    cores: jax.Array,
    gates: jax.Array,
    present: np.ndarray,
    cutoff: float,
    *,
    leftward: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Moves the centre over N bonds and applies a gate at each where one is present.

    The centre may be a window of m sites held as one tensor. It takes in the next core,
    a gate on m + 1 qubits is applied, and the first site is split off.

    Args:
        centre (complex array of shape (chi, 2**m, chi)): next to ``cores``.
        cores (complex array of shape (N, chi, 2, chi)): the cores it moves over, in
            chain order, isometric away from the centre.
        gates (complex array of shape (N, 2**(m+1), 2**(m+1))): in bond order. Their
            first factor is the left qubit.
        present (boolean array of shape (N,)): static; a bond without a gate is passed
            without truncation, which takes m = 1.
        cutoff: see :func:`tnqrnn.backends.mps.truncation.split`.
        leftward: the centre is right of ``cores`` and moves left; m = 1.

    Returns:
        the new centre, the N cores left behind in chain order, and the discarded
        weights, real, of shape (N,).
    """
    chi = len(centre)
    if leftward:
        # The mirror image of a sweep to the left is one to the right, over gates whose
        # two qubits have changed places.
        centre, cores = mirror(centre), mirror(cores)
        gates = gates.reshape(-1, 2, 2, 2, 2).transpose(0, 2, 1, 4, 3).reshape(-1, 4, 4)

    def with_gate(centre, core, gate):
        theta = taken_in(centre, core)
        theta = einsum("xu,auc->axc", gate, theta)
        isometry, centre, weight = split_off(theta, cutoff)
        return centre, isometry, weight

    def without_gate(centre, core, gate):
        # QR of the centre, written as the LQ of its transpose: the isometry stays, the
        # triangular factor goes into the next core. Nothing can be discarded.
        lower, rows = lq(centre.reshape(2 * chi, chi).T)
        moved = matmul(lower.T, core.reshape(chi, 2 * chi)).reshape(chi, 2, chi)
        return moved, rows.T.reshape(chi, 2, chi), jnp.zeros((), centre.real.dtype)

    @functools.partial(jax.checkpoint, policy=save_factors)
    def step(centre, inputs):
        core, gate, has_gate = inputs
        if present.all():
            centre, *outputs = with_gate(centre, core, gate)
        else:
            centre, *outputs = jax.lax.cond(
                has_gate, with_gate, without_gate, centre, core, gate
            )
        return centre, outputs

    centre, (cores, weights) = jax.lax.scan(
        step, centre, (cores, gates, jnp.asarray(present)), reverse=leftward
    )
    if leftward:
        centre, cores = mirror(centre), mirror(cores)
    return centre, cores, weights


def pass_left(centre: jax.Array, cores: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moves the centre over N bonds to the left, without gates and without loss.

    Args:
        centre (complex array of shape (chi, 2, chi)): right of ``cores``.
        cores (complex array of shape (N, chi, 2, chi)): the cores it moves over, in
            chain order.

    Returns:
        the new centre, and the N right-isometric cores left behind in chain order.
    """
    chi = len(centre)

    @functools.partial(jax.checkpoint, policy=save_factors)
    def step(centre, core):
        lower, rows = lq(centre.reshape(chi, 2 * chi))
        moved = matmul(core.reshape(2 * chi, chi), lower)
        return saved(moved.reshape(core.shape)), rows.reshape(core.shape)

    centre, cores = jax.lax.scan(step, centre, cores, reverse=True)
    return saved(centre), cores


def taken_in(centre: jax.Array, core: jax.Array) -> jax.Array:
    """A centre of shape (chi, d, chi) and the core after it as one, (chi, 2 d, chi)."""
    chi, d, _ = centre.shape
    theta = matmul(centre.reshape(d * chi, chi), core.reshape(chi, 2 * chi))
    return theta.reshape(chi, 2 * d, chi)


def split_off(
    theta: jax.Array, cutoff: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Splits the first site off several held as one, of shape (chi, 2 d, chi).

    Returns:
        the site (chi, 2, chi), left-isometric; the centre (chi, d, chi); and the
        discarded weight.
    """
    chi, sites, _ = theta.shape
    matrix = theta.reshape(2 * chi, sites // 2 * chi)
    isometry, centre, weight = truncated_split(matrix, chi, cutoff)
    return isometry.reshape(chi, 2, chi), centre.reshape(chi, -1, chi), weight


def mirror(cores: jax.Array) -> jax.Array:
    """Cores of shape (..., left, 2, right) seen from the other end of the chain."""
    return jnp.swapaxes(cores, -1, -3)


def truncated_split(
    theta: jax.Array, max_bond: int, cutoff: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A truncated split whose product has the norm of ``theta``.

    The factor that sees to it is constant under differentiation: what comes of several
    splits is to be :func:`normalised`, which a constant factor does not change.

    Returns:
        isometry (p, k), centre (k, q) and the discarded weight, see
        :func:`tnqrnn.backends.mps.truncation.split`.
    """
    isometry, centre, weight = split(theta, max_bond, cutoff)
    return isometry, centre * jax.lax.rsqrt(1 - weight).astype(centre.dtype), weight


def normalised(centre: jax.Array) -> jax.Array:
    """The centre of a state of norm 1."""
    return centre / jnp.linalg.norm(centre).astype(centre.dtype)


def add_weights(truncation: Truncation, weights: jax.Array, first: int) -> Truncation:
    """Adds weights (..., bonds) discarded at the bonds from ``first`` on.

    log_fidelity += sum ln(1 - w), discarded_weight[bond] += w, and
    readout_bound += 2 sum sqrt(w), at most 2.
    """
    log_fidelity, discarded, bound = truncation
    bound += 2 * jnp.sum(jnp.sqrt(weights))
    by_bond = jnp.sum(weights, axis=range(weights.ndim - 1))
    return Truncation(
        log_fidelity + jnp.sum(jnp.log1p(-weights)),
        discarded.at[first : first + len(by_bond)].add(by_bond),
        jnp.minimum(bound, 2),
    )
