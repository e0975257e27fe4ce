"""Sizes of cells by their number of parameters."""

import functools
import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from tnqrnn.checks import check_choice, check_int
from tnqrnn.model.base import AbstractCell
from tnqrnn.model.cells.gru import GRU
from tnqrnn.model.cells.lstm import LSTM
from tnqrnn.model.cells.rnn import RNN

KINDS: dict[str, type[RNN] | type[GRU] | type[LSTM]] = {
    "rnn": RNN,
    "gru": GRU,
    "lstm": LSTM,
}


def parameter_count(module: Any) -> int:
    """The number of trainable values in a cell or model, or in its shapes alone.

    >>> parameter_count(GRU(2, 5, key=jax.random.key(0)))  # 3*5*(2 + 5 + 1) + 5
    125
    """
    leaves = jax.tree.leaves(eqx.filter(module, _is_trainable))
    return sum(leaf.size for leaf in leaves)


def match_parameters(
    kind: str | type[AbstractCell],
    *,
    input_size: int,
    n_params: int,
    n_outputs: int | None = None,
    **options: Any,
) -> int:
    """The hidden size with which a cell comes nearest to a number of parameters.

    The cell is made in shapes alone, at sizes found by bisection, and its parameters
    are counted: any class serves whose parameters grow with its ``hidden_size``. Of two
    sizes equally near the smaller is taken; the least is 1.

    Args:
        kind: ``"rnn"``, ``"gru"`` or ``"lstm"``, or a class of cells.
        input_size: F.
        n_params: what to come near to.
        n_outputs: C, to count a linear head with bias, C (M + 1) parameters for M
            readouts, as well; ``None`` for the cell alone.
        **options: further arguments of the class, ``context_size``, say.

    Raises:
        ValueError: an unknown kind, a class without a ``hidden_size``, a number below
            1, or an argument that the class refuses.

    >>> match_parameters("lstm", input_size=8, n_outputs=10, n_params=3000)
    22
    >>> match_parameters("gru", input_size=8, n_params=2000)
    22
    """
    is_class = isinstance(kind, type)
    cls: Any = kind if is_class else KINDS[check_choice("kind", kind, KINDS)]
    if "hidden_size" not in inspect.signature(cls).parameters:
        raise ValueError(
            f"kind must be a class of cells with a hidden_size, got {cls.__name__}."
        )
    check_int("n_params", n_params, minimum=1)
    if n_outputs is not None:
        check_int("n_outputs", n_outputs, minimum=1)

    @functools.cache
    def count(hidden_size: int) -> int:
        def make(key: PRNGKeyArray) -> Any:
            cell = cls(input_size, hidden_size=hidden_size, key=key, **options)
            if n_outputs is None:
                return cell
            return cell, eqx.nn.Linear(cell.output_size, n_outputs, key=key)

        return parameter_count(eqx.filter_eval_shape(make, jax.random.key(0)))

    above = 1
    while count(above) < n_params:
        above *= 2
    below = max(above // 2, 1)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if count(middle) < n_params else (below, middle)
    return min((below, above), key=lambda size: abs(count(size) - n_params))


def _is_trainable(leaf: Any) -> bool:
    is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
    return eqx.is_inexact_array(leaf) or (
        is_shape and jnp.issubdtype(leaf.dtype, jnp.inexact)
    )
