"""Classical cells behind the call of the quantum one, as reference lines in studies."""

import math
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_choice, check_int
from tnqrnn.model.base import AbstractCell, Carry

_DTYPES = ("float32", "float64")
_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


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
    """The plain recurrence [elman1990]: ``h_t = tanh(W x_t + U h_{t-1} + b)``.

    Args:
        input_size: F.
        hidden_size: length of h.
        dtype: of the weights, ``"float32"`` or ``"float64"``.
        key: PRNG key of the initial weights.

    Raises:
        ValueError: a size below 1 or an unknown dtype.
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    from_input: eqx.nn.Linear
    from_hidden: eqx.nn.Linear

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        check_choice("dtype", dtype, _DTYPES)
        self.input_size = input_size = check_int("input_size", input_size, minimum=1)
        hidden_size = check_int("hidden_size", hidden_size, minimum=1)
        self.hidden_size = hidden_size
        keys = jax.random.split(key)
        self.from_input = eqx.nn.Linear(
            input_size, hidden_size, dtype=jnp.dtype(dtype), key=keys[0]
        )
        self.from_hidden = eqx.nn.Linear(
            hidden_size, hidden_size, False, dtype=jnp.dtype(dtype), key=keys[1]
        )

    def init(self) -> jax.Array:
        """The hidden vector 0, of shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, self.from_input.weight.dtype)

    def __call__(self, carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Takes h and x of shape (F,), gives the next h twice: as carry and as z."""
        x = jnp.asarray(x, carry.dtype)
        h = jnp.tanh(self.from_input(x) + self.from_hidden(carry))
        return h, h


class GRU(AbstractClassicalCell):
    """Gated recurrent unit [cho2014], by ``equinox.nn.GRUCell``.

    Takes what :class:`RNN` takes.
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    step: eqx.nn.GRUCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        check_choice("dtype", dtype, _DTYPES)
        self.input_size = input_size = check_int("input_size", input_size, minimum=1)
        hidden_size = check_int("hidden_size", hidden_size, minimum=1)
        self.hidden_size = hidden_size
        self.step = eqx.nn.GRUCell(
            input_size, hidden_size, dtype=jnp.dtype(dtype), key=key
        )

    def init(self) -> jax.Array:
        """The hidden vector 0, of shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, self.step.weight_ih.dtype)

    def __call__(self, carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Takes h and x of shape (F,), gives the next h twice: as carry and as z."""
        h = self.step(jnp.asarray(x, carry.dtype), carry)
        return h, h


class LSTM(AbstractClassicalCell):
    """Long short-term memory [hochreiter1997], with forget gates.

    By ``equinox.nn.LSTMCell``. Takes what :class:`RNN` takes; the carry is (h, c).
    """

    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    step: eqx.nn.LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        check_choice("dtype", dtype, _DTYPES)
        self.input_size = input_size = check_int("input_size", input_size, minimum=1)
        hidden_size = check_int("hidden_size", hidden_size, minimum=1)
        self.hidden_size = hidden_size
        self.step = eqx.nn.LSTMCell(
            input_size, hidden_size, dtype=jnp.dtype(dtype), key=key
        )

    def init(self) -> tuple[jax.Array, jax.Array]:
        """The hidden vector and the cell vector, both 0 of shape (hidden_size,)."""
        zero = jnp.zeros(self.hidden_size, self.step.weight_ih.dtype)
        return zero, zero

    def __call__(
        self, carry: tuple[jax.Array, jax.Array], x: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """Takes (h, c) and x of shape (F,), gives the next (h, c), and h as z."""
        h, c = self.step(jnp.asarray(x, carry[0].dtype), carry)
        return (h, c), h


KINDS: dict[str, type[RNN] | type[GRU] | type[LSTM]] = {
    "rnn": RNN,
    "gru": GRU,
    "lstm": LSTM,
}


def parameter_count(module: Any) -> int:
    """The number of trainable values in a cell or model.

    >>> parameter_count(GRU(2, 5, key=jax.random.key(0)))  # 3*5*(2 + 5 + 1) + 5
    125
    """
    leaves = jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array))
    return sum(leaf.size for leaf in leaves)


def matched_hidden_size(
    kind: str, *, input_size: int, n_classes: int, n_params: int
) -> int:
    """The hidden size whose whole model comes nearest to a number of parameters.

    The model is a cell and a linear head with bias (``SequenceClassifier`` or
    ``SequenceLabeler``). With g matrices a cell (1, 3, 4 for RNN, GRU, LSTM) and hidden
    size h it has g h (F + h + 1) + C (h + 1) parameters, and h more for a GRU. Of two
    sizes equally near the smaller is taken; the least is 1.

    Args:
        kind: ``"rnn"``, ``"gru"`` or ``"lstm"``.
        input_size: F.
        n_classes: C.
        n_params: what to come near to.

    Raises:
        ValueError: an unknown kind or a number below 1.

    >>> matched_hidden_size("lstm", input_size=8, n_classes=10, n_params=3000)
    22
    """
    check_choice("kind", kind, KINDS)
    check_int("input_size", input_size, minimum=1)
    check_int("n_classes", n_classes, minimum=1)
    check_int("n_params", n_params, minimum=1)
    gates = _GATES[kind]
    linear = gates * (input_size + 1) + n_classes + (kind == "gru")

    def excess(h: int) -> int:
        return gates * h * h + linear * h + n_classes - n_params

    missing = max(n_params - n_classes, 0)
    below = (math.isqrt(linear**2 + 4 * gates * missing) - linear) // (2 * gates)
    sizes = (max(below, 1), max(below, 1) + 1)
    return min(sizes, key=lambda h: abs(excess(h)))
