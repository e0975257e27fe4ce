"""The loop over time.

How the loop is run and differentiated is a gradient mode's business
(:mod:`tnqrnn.model.gradients`); what a step is, the cell's. Here inputs are checked,
batches are cut into groups, and axes are put in order.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from tnqrnn.checks import (
    check_finite,
    check_instance,
    check_memory,
    check_real,
    check_shape,
)
from tnqrnn.model.base import AbstractCell, Carry, Rollout, parameter_dtype
from tnqrnn.model.batching import in_groups
from tnqrnn.model.gradients import GRADIENTS, AbstractGradient, Samples
from tnqrnn.model.gradients.base import before_end


def unroll(
    cell: AbstractCell,
    xs: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    carry: Carry | None = None,
    context: Any = None,
    key: PRNGKeyArray | None = None,
    gradient: str | AbstractGradient = "auto",
) -> Rollout:
    """Runs a cell over a sequence.

    Args:
        cell: the step.
        xs (array of shape (T, F) or (B, T, F)): inputs, finite, T >= 1.
        lengths (integers of shape () or (B,)): the steps of each sample, in [1, T];
            ``None`` when all have T. After its last step a sample stands still: state
            and readouts stay, and what ``xs`` holds there, NaN included, changes
            nothing.
        carry: where to start, with a leading axis B if xs has one; ``None`` starts at
            ``cell.init()``. A sequence cut in two with the carry passed on gives what
            the whole sequence gives.
        context (array of shape (C,) or (B, C)): what every step of a sample reads
            beside x, for a cell of ``context_size`` C.
        key: PRNG key of all chance within the roll-out, such as dropout in the
            controller. Sample b at step t draws from the key, b and t alone, however
            the batch is cut or spread. ``None``: nothing is random.
        gradient: ``"reversible"`` (exact states only), ``"checkpoint"``, ``"store"``,
            or ``"auto"`` for the cell's default. Only stored gradients can be
            differentiated again in forward mode.

    Returns:
        readouts, final carry and truncation record.

    Raises:
        ValueError: a model instead of its cell; xs of another shape, empty or not real
            and finite; lengths out of range; a carry or context unlike the cell's; a
            gradient mode that is unknown or that the cell's backend does not support.
        MemoryError: the states of the batch are larger than this machine's memory.
        TruncationError: more was lost than a backend with ``on_truncation="raise"``
            allows.
        TypeError: forward-mode differentiation of a reversible roll-out.

    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(3, tq.hardware_efficient(2), key=jax.random.key(0))
    >>> xs = jnp.ones((2, 5, 3))
    >>> rollout = tq.unroll(cell, xs, lengths=[5, 2])
    >>> rollout.readouts.shape
    (2, 5, 6)
    >>> bool((rollout.readouts[1, 4] == rollout.readouts[1, 1]).all())
    True
    """
    return within_budget(
        cell,
        roll_out(
            cell,
            xs,
            lengths=lengths,
            carry=carry,
            context=context,
            key=key,
            gradient=gradient,
        ),
    )


def roll_out(
    cell: AbstractCell,
    xs: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    carry: Carry | None = None,
    context: Any = None,
    key: PRNGKeyArray | None = None,
    gradient: str | AbstractGradient = "auto",
) -> Rollout:
    """:func:`unroll` without a look at what was lost, for those who look themselves."""
    check_instance("cell", cell, AbstractCell)
    shape = check_sequence(cell, xs)
    lead = shape[:-2]
    if lengths is not None:
        lengths = check_lengths(lengths, lead, shape[-2])
    xs = finite_sequence(cell, xs, lengths)
    mode = check_gradient(cell, gradient)
    if carry is not None:
        check_carry(cell, carry, lead)
    cell.check_context(context, lead)
    keys = None
    if key is not None and cell.has_chance:
        keys = jax.random.fold_in(key, 0)  # of the first sample, and of a single one
        if lead:
            of_a_sample = lambda b: jax.random.fold_in(key, b)  # noqa: E731
            keys = jax.vmap(of_a_sample)(jnp.arange(lead[0], dtype=jnp.int32))
    samples = Samples(xs, carry, lengths, context, keys)
    try:
        if lead:
            return _unroll(cell, samples, mode)
        one = jax.tree.map(lambda leaf: leaf[None], samples)
        return jax.tree.map(lambda leaf: leaf[0], _unroll(cell, one, mode))
    except TypeError as error:
        if "forward-mode" not in str(error):
            raise
        raise TypeError(
            "gradient must be 'store' or 'checkpoint' for forward-mode derivatives "
            "(jax.jvp, jax.jacfwd), got 'reversible': its rule runs backwards alone."
        ) from error


def within_budget(cell: Any, rollout: Rollout) -> Rollout:
    """The roll-out, unless it lost more of a state than the cell's backend allows."""
    if rollout.truncation is None:
        return rollout
    readouts = cell.backend.within_budget(rollout.readouts, rollout.truncation)
    return rollout._replace(readouts=readouts)


def check_sequence(cell: AbstractCell, xs: ArrayLike) -> tuple[int, ...]:
    """The shape of a cell's inputs, (T, F) or (B, T, F).

    Raises:
        ValueError: another shape, none at all, or entries that are no real numbers.
    """
    shape = np.shape(xs)
    if len(shape) not in (2, 3) or shape[-1] != cell.input_size or 0 in shape:
        raise ValueError(
            f"xs must be of shape (T, {cell.input_size}) or (B, T, {cell.input_size}) "
            f"with B, T >= 1, got {shape}."
        )
    check_real("xs", xs)
    return shape


def check_lengths(lengths: ArrayLike, lead: tuple[int, ...], n_steps: int) -> jax.Array:
    """The steps of each sample as int32, of the batch's leading axes.

    Raises:
        ValueError: another shape, no integers, or values outside [1, T] where they are
            known.
    """
    check_shape("lengths", lengths, lead)
    array = lengths if isinstance(lengths, jax.Array) else np.asarray(lengths)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"lengths must be integers in [1, {n_steps}], got {array.dtype} values."
        )
    if not isinstance(array, jax.core.Tracer):
        known = np.asarray(array)
        least, most = int(known.min()), int(known.max())
        if least < 1 or most > n_steps:
            raise ValueError(
                f"lengths must be integers in [1, {n_steps}], got values from {least} "
                f"to {most}."
            )
    return jnp.asarray(array, jnp.int32)


def finite_sequence(
    cell: AbstractCell, xs: ArrayLike, lengths: jax.Array | None
) -> jax.Array:
    """The inputs in the cell's precision, with 0 after each sample's last step.

    Raises:
        ValueError: an entry before it is not finite in the precision of the cell.
    """
    array = xs if isinstance(xs, jax.Array) else np.asarray(xs)  # where it lies
    if jnp.issubdtype(array.dtype, jnp.floating):
        with np.errstate(over="ignore"):
            array = array.astype(parameter_dtype(cell))
    if lengths is not None:
        real = before_end(lengths, array.shape[-2])[..., None]
        array = jnp.where(real, array, jnp.zeros((), array.dtype))
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
    if isinstance(first, jax.ShapeDtypeStruct):  # a carry that is one array
        is_other = not eqx.is_array(carry)
    else:
        is_other = type(carry) is not type(first)
    if is_other or arrays(carry, ()) != arrays(first, lead):
        start = f" with leading axes {lead}" if lead else ""
        raise ValueError(
            f"carry must be like the cell's init(), {_summary(first)}{start}, "
            f"got {_summary(carry)}."
        )


def _summary(tree: Any) -> str:
    return eqx.tree_pformat(tree, width=10**6, struct_as_array=True)


def check_gradient(
    cell: AbstractCell, gradient: str | AbstractGradient
) -> AbstractGradient:
    """The gradient mode to use, names and ``"auto"`` resolved.

    Raises:
        ValueError: an unknown mode or one the cell does not support.
    """
    if isinstance(gradient, AbstractGradient):
        name, mode = gradient.name, gradient
    else:
        name = cell.gradients[0] if gradient == "auto" else gradient
        if name not in GRADIENTS:
            raise ValueError(
                f"gradient must be one of {['auto', *GRADIENTS]}, got {gradient!r}."
            )
        mode = GRADIENTS[name]
    if name not in cell.gradients:
        raise ValueError(
            f"gradient must be one of {['auto', *cell.gradients]} for this cell and "
            f"backend, got {name!r}."
        )
    return mode


def start_of_batch(cell: AbstractCell, batch: int) -> Carry:
    """``cell.init()`` for every sample of a batch.

    Raises:
        MemoryError: the states are larger than this machine's memory.
    """
    start = cell.init()
    n_bytes = batch * sum(leaf.nbytes for leaf in jax.tree.leaves(start))
    check_memory(f"xs: a batch of {batch} states", n_bytes)
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[None], (batch, *leaf.shape)), start
    )


@eqx.filter_jit
def _unroll(cell: AbstractCell, samples: Samples, mode: AbstractGradient) -> Rollout:
    if samples.carry is None:
        start = start_of_batch(cell, len(samples.xs))
        samples = samples._replace(carry=start)
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    def roll(params, samples):
        rollout = mode.roll(eqx.combine(params, static), samples)
        to_batch = lambda leaf: jnp.swapaxes(leaf, 0, 1)  # noqa: E731
        truncation = jax.tree.map(to_batch, rollout.truncation)
        return Rollout(to_batch(rollout.readouts), rollout.carry, truncation)

    return in_groups(roll, params, samples, mode.group_size(cell, samples.carry))
