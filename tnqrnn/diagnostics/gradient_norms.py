r"""How much the loss depends on each time step.

With L_b the loss of sample b, the norms are means over a batch of B samples,

    inputs[t]  = 1/B sum_b || dL_b / d x_{b,t} ||
    angles[t]  = 1/B sum_b || dL_b / d theta_{b,t} ||
    parameters = || d (1/B sum_b L_b) / d params ||

A gradient that vanishes towards early steps shows as a curve that falls to the left.

The angles theta_{b,t} are inside the recurrence, where no gradient reaches by itself.
They are made part of the input: the controller's network gets ``[x_t; offset_t]`` and
adds the offset to its angles, so that the gradient with respect to an offset of zero is
the one with respect to the angles. The loop and the backend run as they are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tnqrnn.checks import check_finite, check_shape
from tnqrnn.model import AbstractCell, AbstractSequenceModel, QRNNCell
from tnqrnn.model.base import parameter_dtype, with_fields

Loss = Callable[[jax.Array, jax.Array], jax.Array]
Network = Callable[..., jax.Array]


class GradientNorms(NamedTuple):
    """Norms of the loss's gradient.

    Attributes:
        inputs (array of shape (T,)): by the input of each step, mean over the batch.
        angles (array of shape (T,)): by the circuit's angles of each step, mean over
            the batch; ``None`` for a classical cell.
        parameters (array of shape ()): of the batch's mean loss by all parameters.
    """

    inputs: jax.Array
    angles: jax.Array | None
    parameters: jax.Array


def cross_entropies(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Softmax cross entropy in nats of each sample, its mean over steps: (B,).

    Args:
        logits (array of shape (B, C) or (B, T, C)): real.
        targets (array of shape (B,) or (B, T)): classes.
    """
    logs = jax.nn.log_softmax(logits)
    losses = -jnp.take_along_axis(logs, targets[..., None], axis=-1)
    return losses.reshape(len(losses), -1).mean(axis=1)


def gradient_norms(
    model: AbstractSequenceModel,
    xs: ArrayLike,
    targets: ArrayLike,
    *,
    loss: Loss = cross_entropies,
    gradient: str = "auto",
) -> GradientNorms:
    """Norms of the loss's gradient by the input and the angles of each time step.

    Args:
        model: a sequence model over any cell, quantum or classical.
        xs (array of shape (B, T, F)): inputs.
        targets (array of shape (B,) or (B, T)): what ``loss`` compares logits with.
        loss: logits and targets to one loss a sample, (B,).
        gradient: mode of `tnqrnn.unroll`; every mode of the model's cell is allowed.

    Raises:
        ValueError: inputs or targets of another shape or not finite, or a mode that the
            cell does not support.

    >>> import jax, jax.numpy as jnp
    >>> import tnqrnn as tq
    >>> keys = jax.random.split(jax.random.key(0))
    >>> cell = tq.QRNNCell(3, tq.hardware_efficient(2), key=keys[0])
    >>> model = tq.SequenceClassifier(cell, 4, key=keys[1])
    >>> norms = gradient_norms(model, jnp.ones((5, 6, 3)), jnp.zeros(5, int))
    >>> norms.inputs.shape, norms.angles.shape, norms.parameters.shape
    ((6,), (6,), ())
    """
    n_samples, n_steps, _ = check_shape("xs", xs, ("B", "T", model.cell.input_size))
    check_finite("xs", xs)
    targets = jnp.asarray(targets)
    steps = (n_steps,) if targets.ndim == 2 else ()
    check_shape("targets", targets, (n_samples, *steps))
    if loss is cross_entropies:
        _check_classes(targets, getattr(model, "n_classes", 2**31))
    xs = jnp.asarray(xs, parameter_dtype(model))
    return _norms(model, xs, targets, loss, gradient)


@eqx.filter_jit
def _norms(
    model: AbstractSequenceModel,
    xs: jax.Array,
    targets: jax.Array,
    loss: Loss,
    gradient: str,
) -> GradientNorms:
    # One gradient of the sum of losses gives all three: a sample's input and offsets
    # enter its own loss alone, so their gradients are not mixed.
    cell, n_offsets = _with_offsets(model.cell)
    model = eqx.tree_at(lambda m: m.cell, model, cell)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    offsets = jnp.zeros((*xs.shape[:2], n_offsets), xs.dtype)

    def total(params: Any, xs: jax.Array, offsets: jax.Array) -> jax.Array:
        inputs = jnp.concatenate([xs, offsets], axis=-1)
        logits = eqx.combine(params, static)(inputs, gradient=gradient)
        return loss(logits, targets).sum()

    by_params, by_xs, by_offsets = jax.grad(total, (0, 1, 2))(params, xs, offsets)
    square = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(by_params))
    return GradientNorms(
        jnp.linalg.norm(by_xs, axis=-1).mean(axis=0),
        jnp.linalg.norm(by_offsets, axis=-1).mean(axis=0) if n_offsets else None,
        jnp.sqrt(square) / len(xs),
    )


def _check_classes(targets: jax.Array, n_classes: int) -> None:
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(f"targets must be integers, got {targets.dtype} values.")
    if isinstance(targets, jax.core.Tracer):
        return
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= n_classes:
        raise ValueError(f"targets must be in [0, {n_classes}), got {low} to {high}.")


class _OffsetNetwork(eqx.Module):
    """A controller's network that takes ``[x; offset]`` and shifts its angles."""

    network: Network
    n_offsets: int = eqx.field(static=True)

    def __call__(self, x: jax.Array, z: jax.Array, *, key: Any = None) -> jax.Array:
        x, offsets = x[: -self.n_offsets], x[-self.n_offsets :]
        return self.network(x, z, key=key) + offsets


def _with_offsets(cell: AbstractCell) -> tuple[AbstractCell, int]:
    """The cell with P further inputs added to its angles, and P; 0 if it has none."""
    if not isinstance(cell, QRNNCell) or not cell.ansatz.n_params:
        return cell, 0
    n_offsets = cell.ansatz.n_params
    shifted = with_fields(
        cell,
        network=_OffsetNetwork(cell.network, n_offsets),
        input_size=cell.input_size + n_offsets,
    )
    return shifted, n_offsets
