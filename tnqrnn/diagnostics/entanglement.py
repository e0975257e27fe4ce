"""How entangled a cell's state is, step by step and bond by bond."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.model import QRNNCarry, QRNNCell
from tnqrnn.model.rnn import check_sequence, finite_sequence


def entanglement(
    cell: QRNNCell, xs: ArrayLike, *, carry: QRNNCarry | None = None
) -> np.ndarray:
    """Von Neumann entropy of every bond after every step, in bits.

    Entry [t, k] is that between qubits 0..k and k+1..n-1 after step t; it is at most
    min(k+1, n-k-1), and at most log2(max_bond) on a matrix product state: an entropy
    near that bound says that truncation matters. No gradient is taken.

    Args:
        cell: the step.
        xs (array of shape (T, F) or (B, T, F)): inputs, finite, T >= 1.
        carry: where to start, with a leading axis B if xs has one; ``None`` starts at
            ``cell.init()``.

    Returns:
        array of shape (T, n-1) or (B, T, n-1).

    Raises:
        TypeError: a cell without a quantum state.
        ValueError: xs of another shape, empty or not finite.
        NotImplementedError: a backend without entropies.

    >>> import jax, jax.numpy as jnp
    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(3, tq.hardware_efficient(4), key=jax.random.key(0))
    >>> entanglement(cell, jnp.ones((16, 3))).shape
    (16, 3)
    """
    if not isinstance(cell, QRNNCell):
        raise TypeError(f"cell must be a QRNNCell, got {type(cell).__name__}.")
    if not cell.engine.has_entropy:
        raise NotImplementedError(
            "cell must have a backend with entropies, a Statevector or an MPS, got "
            f"{cell.backend}."
        )
    check_sequence(cell, xs)
    xs = finite_sequence(cell, xs, None)
    start = cell.init() if carry is None else carry
    if xs.ndim == 2:
        return np.asarray(_entropies(cell, xs, start))
    over = jax.vmap(_entropies, (None, 0, None if carry is None else 0))
    return np.asarray(over(cell, xs, start))


@eqx.filter_jit
def _entropies(cell: QRNNCell, xs: jax.Array, start: QRNNCarry) -> jax.Array:
    def step(carry: QRNNCarry, x: jax.Array) -> tuple[Any, jax.Array]:
        carry, _ = cell(carry, x)
        return carry, cell.engine.entropies(carry.state)

    return jax.lax.scan(step, start, xs)[1]
