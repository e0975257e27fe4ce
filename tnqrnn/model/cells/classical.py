"""Classical cells behind the call of the quantum one, as reference lines in studies."""

import functools
import inspect
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_choice, check_int
from tnqrnn.model.base import AbstractCell, Carry

_DTYPES = ("float32", "float64")


class AbstractClassicalCell(AbstractCell):
    """What classical cells share: z is the hidden vector h, and nothing is truncated.

    Attributes:
        hidden_size: length of h.
    """

    hidden_size: eqx.AbstractVar[int]

    @property
    def output_size(self) -> int:
        """The length of h."""
        return self.hidden_size

    @property
    def gradients(self) -> tuple[str, ...]:
        """Carries are small, so keeping them all is the default."""
        return ("store", "checkpoint")

    def inputs(self, x: jax.Array, context: jax.Array | None, dtype: Any) -> jax.Array:
        """[x_t; c] in the weights' precision, of shape (F + C,)."""
        x = jnp.asarray(x, dtype)
        if context is None:
            return x
        return jnp.concatenate([x, jnp.asarray(context, dtype)])

    def features(self, z: jax.Array) -> jax.Array:
        """The hidden vector itself."""
        return z

    def truncation(self, carry: Carry) -> None:
        """``None``: there is no quantum state."""
        return None

    def with_backend(self, backend: AbstractBackend) -> NoReturn:
        """Refuses.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"backend must be left alone for {type(self).__name__}, a classical cell "
            f"without a quantum state, got {backend!r}."
        )


class RNN(AbstractClassicalCell):
    """The plain recurrence [elman1990]: ``h_t = tanh(W [x_t; c] + U h_{t-1} + b)``.

    Args:
        input_size: F.
        hidden_size: length of h.
        context_size: C, length of a context that every step reads; 0 for none.
        dtype: of the weights, ``"float32"`` or ``"float64"``.
        key: PRNG key of the initial weights.

    Raises:
        ValueError: a size out of range or an unknown dtype.
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    context_size: int = eqx.field(static=True)
    from_input: eqx.nn.Linear
    from_hidden: eqx.nn.Linear

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        context_size: int = 0,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        sizes = _checked_sizes(input_size, hidden_size, context_size)
        self.input_size, self.hidden_size, self.context_size = sizes
        keys, dtype = jax.random.split(key), _checked_dtype(dtype)
        n_in = self.input_size + self.context_size
        self.from_input = eqx.nn.Linear(
            n_in, self.hidden_size, dtype=dtype, key=keys[0]
        )
        self.from_hidden = eqx.nn.Linear(
            self.hidden_size, self.hidden_size, False, dtype=dtype, key=keys[1]
        )

    def init(self) -> jax.Array:
        """The hidden vector 0, of shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, self.from_input.weight.dtype)

    def __call__(
        self,
        carry: jax.Array,
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Takes h and x of shape (F,), gives the next h twice: as carry and as z."""
        x = self.inputs(x, context, carry.dtype)
        h = jnp.tanh(self.from_input(x) + self.from_hidden(carry))
        return h, h


class GRU(AbstractClassicalCell):
    """Gated recurrent unit [cho2014], by ``equinox.nn.GRUCell``.

    Takes what :class:`RNN` takes.
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    context_size: int = eqx.field(static=True)
    step: eqx.nn.GRUCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        context_size: int = 0,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        sizes = _checked_sizes(input_size, hidden_size, context_size)
        self.input_size, self.hidden_size, self.context_size = sizes
        n_in = self.input_size + self.context_size
        dtype = _checked_dtype(dtype)
        self.step = eqx.nn.GRUCell(n_in, self.hidden_size, dtype=dtype, key=key)

    def init(self) -> jax.Array:
        """The hidden vector 0, of shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, self.step.weight_ih.dtype)

    def __call__(
        self,
        carry: jax.Array,
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Takes h and x of shape (F,), gives the next h twice: as carry and as z."""
        h = self.step(self.inputs(x, context, carry.dtype), carry)
        return h, h


class LSTM(AbstractClassicalCell):
    """Long short-term memory [hochreiter1997], with forget gates.

    By ``equinox.nn.LSTMCell``. Takes what :class:`RNN` takes; the carry is (h, c).
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    context_size: int = eqx.field(static=True)
    step: eqx.nn.LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        context_size: int = 0,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        sizes = _checked_sizes(input_size, hidden_size, context_size)
        self.input_size, self.hidden_size, self.context_size = sizes
        n_in = self.input_size + self.context_size
        dtype = _checked_dtype(dtype)
        self.step = eqx.nn.LSTMCell(n_in, self.hidden_size, dtype=dtype, key=key)

    def init(self) -> tuple[jax.Array, jax.Array]:
        """The hidden vector and the cell vector, both 0 of shape (hidden_size,)."""
        zero = jnp.zeros(self.hidden_size, self.step.weight_ih.dtype)
        return zero, zero

    def __call__(
        self,
        carry: tuple[jax.Array, jax.Array],
        x: jax.Array,
        *,
        context: jax.Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """Takes (h, c) and x of shape (F,), gives the next (h, c), and h as z."""
        h, c = self.step(self.inputs(x, context, carry[0].dtype), carry)
        return (h, c), h


def _checked_sizes(
    input_size: int, hidden_size: int, context_size: int
) -> tuple[int, int, int]:
    return (
        check_int("input_size", input_size, minimum=1),
        check_int("hidden_size", hidden_size, minimum=1),
        check_int("context_size", context_size, minimum=0),
    )


def _checked_dtype(dtype: str) -> Any:
    return jnp.dtype(check_choice("dtype", dtype, _DTYPES))


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
