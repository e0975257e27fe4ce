"""The loop over time, and three ways to take its gradient.

``reversible`` undoes the circuit step by step on the way back, so that one state is
held for any T. ``checkpoint`` keeps each step's carry and what an MPS's sweeps found,
factors, rows and centres, and computes the rest again.
``store`` keeps everything.

Weight gradients are not accumulated inside the reversible loop: it emits dL/d(theta_t)
and one product after the loop turns all of them into the controller's gradient.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.backends import Truncation
from tnqrnn.backends.truncation import save_factors
from tnqrnn.checks import check_finite, check_instance, check_memory, check_real
from tnqrnn.model.base import AbstractCell, Carry, parameter_dtype
from tnqrnn.model.batching import in_groups

GRADIENTS = ("reversible", "checkpoint", "store")


class Rollout(NamedTuple):
    """What :func:`unroll` returns.

    Attributes:
        readouts (array of shape (T, M) or (B, T, M)): z_t of every step.
        carry: the final carry, with a leading axis B if there is a batch.
        truncation: after every step, each array with leading axes (T,) or (B, T);
            ``None`` for a classical cell.
    """

    readouts: jax.Array
    carry: Carry
    truncation: Truncation | None


def unroll(
    cell: AbstractCell,
    xs: ArrayLike,
    *,
    carry: Carry | None = None,
    gradient: str = "auto",
) -> Rollout:
    """Runs a cell over a sequence.

    Args:
        cell: the step.
        xs (array of shape (T, F) or (B, T, F)): inputs, finite, T >= 1.
        carry: where to start, with a leading axis B if xs has one; ``None`` starts at
            ``cell.init()``. A sequence cut in two with the carry passed on gives what
            the whole sequence gives.
        gradient: ``"reversible"`` (exact states only), ``"checkpoint"``, ``"store"``,
            or ``"auto"`` for the cell's default.

    Returns:
        readouts, final carry and truncation record.

    Raises:
        ValueError: a model instead of its cell; xs of another shape, empty or not real
            and finite; a carry unlike the cell's; a gradient mode that is unknown or
            that the cell's backend does not support.
        MemoryError: the states of the batch are larger than this machine's memory.
        TruncationError: more was lost than a backend with ``on_truncation="raise"``
            allows.
    """
    check_instance("cell", cell, AbstractCell)
    xs = check_sequence(cell, xs)
    mode = check_gradient(cell, gradient)
    if carry is not None:
        check_carry(cell, carry, xs.shape[:-2])
    if xs.ndim == 3:
        return _within_budget(cell, _unroll(cell, xs, carry, mode))
    add = lambda tree: jax.tree.map(lambda leaf: leaf[None], tree)  # noqa: E731
    rollout = _unroll(cell, xs[None], add(carry), mode)
    return _within_budget(cell, jax.tree.map(lambda leaf: leaf[0], rollout))


def _within_budget(cell, rollout):
    """The roll-out, unless it lost more of a state than the cell's backend allows."""
    if rollout.truncation is None:
        return rollout
    readouts = cell.engine.within_budget(rollout.readouts, rollout.truncation)
    return rollout._replace(readouts=readouts)


def check_sequence(cell: AbstractCell, xs: ArrayLike) -> jax.Array:
    """The inputs of a cell as an array, (T, F) or (B, T, F).

    Raises:
        ValueError: another shape, none at all, or an entry that is not real and finite
            in the precision of the cell.
    """
    shape = np.shape(xs)
    if len(shape) not in (2, 3) or shape[-1] != cell.input_size or 0 in shape:
        raise ValueError(
            f"xs must be of shape (T, {cell.input_size}) or (B, T, {cell.input_size}) "
            f"with B, T >= 1, got {shape}."
        )
    check_real("xs", xs)
    array = xs if isinstance(xs, jax.Array) else np.asarray(xs)  # where it lies
    if jnp.issubdtype(array.dtype, jnp.floating):
        with np.errstate(over="ignore"):
            array = array.astype(parameter_dtype(cell))
    check_finite("xs", array)
    return jnp.asarray(array)


def check_carry(cell: AbstractCell, carry: Carry, lead: tuple[int, ...]) -> None:
    """Refuses a carry that is not like the cell's first one, with leading axes.

    Of a carry that grows, the state's own arrays may have any shape.

    Raises:
        ValueError: another type, or an array of another shape or dtype.
    """

    def arrays(carry: Carry, lead: tuple[int, ...]) -> Any:
        kept = carry.readouts if cell.grows and hasattr(carry, "readouts") else carry
        shapes = [(lead + leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(kept)]
        return jax.tree.structure(kept), shapes

    first = jax.eval_shape(cell.init)
    if type(carry) is not type(first) or arrays(carry, ()) != arrays(first, lead):
        start = f" with leading axes {lead}" if lead else ""
        raise ValueError(
            f"carry must be like the cell's init(), {_summary(first)}{start}, "
            f"got {_summary(carry)}."
        )


def _summary(tree: Any) -> str:
    return eqx.tree_pformat(tree, width=10**6, struct_as_array=True)


def check_gradient(cell: AbstractCell, gradient: str) -> str:
    """The gradient mode to use, ``"auto"`` resolved.

    Raises:
        ValueError: an unknown mode or one the cell does not support.
    """
    if gradient == "auto":
        return cell.gradients[0]
    if gradient not in GRADIENTS:
        raise ValueError(
            f"gradient must be one of {['auto', *GRADIENTS]}, got {gradient!r}."
        )
    if gradient not in cell.gradients:
        raise ValueError(
            f"gradient must be one of {['auto', *cell.gradients]} for this cell and "
            f"backend, got {gradient!r}."
        )
    return gradient


@eqx.filter_jit
def _unroll(
    cell: AbstractCell, xs: jax.Array, carry: Carry | None, mode: str
) -> Rollout:
    batch = xs.shape[0]
    if carry is None:
        start = cell.init()
        n_bytes = batch * sum(leaf.nbytes for leaf in jax.tree.leaves(start))
        check_memory(f"xs: a batch of {batch} states", n_bytes)
        carry = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf[None], (batch, *leaf.shape)), start
        )
    run: Callable[..., Rollout] = _run_reversible
    if mode != "reversible":
        run = functools.partial(_run, checkpoint=mode == "checkpoint")
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    def roll(params, samples):
        xs, carry = samples
        rollout = run(eqx.combine(params, static), jnp.swapaxes(xs, 0, 1), carry)
        to_batch = lambda leaf: jnp.swapaxes(leaf, 0, 1)  # noqa: E731
        truncation = jax.tree.map(to_batch, rollout.truncation)
        return Rollout(to_batch(rollout.readouts), rollout.carry, truncation)

    return in_groups(roll, params, (xs, carry), _group_size(cell, carry, mode))


def _group_size(cell, carry, mode):
    """Samples that are rolled out together."""
    if mode == "reversible":
        return cell.engine.group_size(carry.state)
    return len(jax.tree.leaves(carry)[0])


def _run(
    cell: AbstractCell, xs: jax.Array, carry: Carry, *, checkpoint: bool
) -> Rollout:
    """Steps in a loop; with ``checkpoint`` each keeps its carry and factors alone."""
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    def step(params, carry, x):
        cell = eqx.combine(params, static)
        carry, z = jax.vmap(cell)(carry, x)
        return carry, (z, jax.vmap(cell.truncation)(carry))

    if checkpoint:
        step = jax.checkpoint(step, policy=save_factors)
    loop = _loop if cell.grows else jax.lax.scan
    carry, (zs, truncation) = loop(functools.partial(step, params), carry, xs)
    return Rollout(zs, carry, truncation)


def _loop(step: Callable, carry: Carry, xs: jax.Array) -> tuple[Carry, Any]:
    outputs = []
    for x in xs:
        carry, output = step(carry, x)
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)


def _run_reversible(cell: AbstractCell, xs: jax.Array, carry: Carry) -> Rollout:
    """The whole roll-out under one derivative rule, since readouts are fed back."""
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    @jax.custom_vjp
    def run(params, xs, carry):
        return _forward(eqx.combine(params, static), xs, carry)

    def forward(params, xs, carry):
        zs, last = run(params, xs, carry)
        return (zs, last), (params, xs, carry.readouts, zs, last.state)

    def backward(residuals, cotangents):
        params, *history = residuals
        return _backward(params, static, history, cotangents)

    run.defvjp(forward, backward)
    zs, last = run(params, xs, carry)
    zero = jax.vmap(cell.truncation)(last)
    truncation = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[None], (len(xs), *leaf.shape)), zero
    )
    return Rollout(zs, last, truncation)


def _forward(cell, xs, carry):
    """Readouts of every step and the last carry.

    Controller and block matrices are computed for the whole batch; states are moved a
    few at a time, so that they stay in the processor's cache.
    """
    backend, ansatz = cell.engine, cell.ansatz

    def move(now):
        operators, state = now
        state = backend.apply(ansatz, operators, state)
        return state, cell.read(state)

    def step(carry, x):
        angles = jax.vmap(cell.angles)(x, carry.readouts)
        operators = jax.vmap(lambda a: backend.operators(ansatz, a))(angles)
        state, z = _for_samples(backend, move, (operators, carry.state))
        return type(carry)(state, z), z

    carry, zs = jax.lax.scan(step, carry, xs)
    return zs, carry


def _for_samples(backend, function, arguments):
    """``function`` on each sample, as many at once as the backend finds fastest."""
    batch = len(jax.tree.leaves(arguments)[0])
    most = backend.samples_at_once(arguments[1])
    size = max(i for i in range(1, batch + 1) if batch % i == 0 and i <= most)
    if size == batch:
        return jax.vmap(function)(arguments)
    return jax.lax.map(function, arguments, batch_size=size if size > 1 else None)


def _backward(params, static, history, cotangents):
    """Cotangents of (params, xs, carry) from those of (zs, last carry)."""
    xs, first, zs, state = history
    dzs, dlast = cotangents
    cell = eqx.combine(params, static)
    backend, ansatz = cell.engine, cell.ansatz
    before = jnp.concatenate([first[None], zs[:-1]])

    def move_back(now):
        operators, state, dstate, dz = now
        dstate = backend.pull_back_expectation(cell.observables, state, dz, dstate)
        return backend.undo(ansatz, operators, state, dstate)

    def step(carry, inputs):
        state, dstate, dz = carry
        x, z, dz_out = inputs
        angles, to_z = jax.vjp(lambda z: jax.vmap(cell.angles)(x, z), z)
        operators, to_angles = jax.vjp(
            jax.vmap(lambda a: backend.operators(ansatz, a)), angles
        )
        state, dstate, doperators = _for_samples(
            backend, move_back, (operators, state, dstate, dz + dz_out)
        )
        (dangles,) = to_angles(doperators)
        (dz,) = to_z(dangles)
        return (state, dstate, dz), dangles

    start = (state, dlast.state, dlast.readouts)
    (_, dstate, dz), dangles = jax.lax.scan(
        step, start, (xs, before, dzs), reverse=True
    )

    def all_angles(params, xs):
        return jax.vmap(jax.vmap(eqx.combine(params, static).angles))(xs, before)

    _, to_params = jax.vjp(all_angles, params, xs)
    dparams, dxs = to_params(dangles)
    return dparams, dxs, type(dlast)(dstate, dz)
