"""States as quimb's matrix product states and back, for analysis and foreign states.

Site i is qubit i, with quimb's default names; tensors are NumPy arrays on that side.
"""

from typing import TYPE_CHECKING

import jax
import numpy as np

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState


def from_amplitudes(amplitudes: jax.Array) -> "MatrixProductState":
    """The state with these 2**n amplitudes, without truncation.

    Raises:
        ValueError: amplitudes of a batch.
    """
    from quimb.tensor import MatrixProductState

    check_one_sample(amplitudes, 1)
    return MatrixProductState.from_dense(np.asarray(amplitudes), dims=2)


def from_cores(
    centre: jax.Array, rest: jax.Array, n_dense: int
) -> "MatrixProductState":
    """The state with these cores, see :mod:`tnqrnn.backends.mps.state`.

    The qubits of a dense end get tensors that only number its basis states.

    Args:
        centre (array of shape (chi, 2, chi)): core 0.
        rest (array of shape (k-1, chi, 2, chi)): the other cores.
        n_dense: number of qubits in each end.

    Raises:
        ValueError: cores of a batch.
    """
    from quimb.tensor import MatrixProductState

    check_one_sample(centre, 3)
    cores = [np.asarray(core) for core in (centre, *rest)]
    cores[0] = cores[0][: 2**n_dense]
    cores[-1] = cores[-1][:, :, : 2**n_dense]
    numbered = [np.eye(2 ** (k + 1), dtype=centre.dtype) for k in range(n_dense)]
    tensors = [
        *(eye.reshape(len(eye) // 2, 2, -1) for eye in numbered),
        *cores,
        *(eye.reshape(-1, 2, len(eye) // 2) for eye in numbered[::-1]),
    ]
    tensors[0], tensors[-1] = tensors[0][0], tensors[-1][:, :, 0]
    return MatrixProductState(tensors, shape="lpr")


def to_cores(state: "MatrixProductState", max_bond: int, n_dense: int) -> np.ndarray:
    """The cores of a state as one array, (k, chi, 2, chi), core 0 the centre.

    Args:
        state: of more than ``2 n_dense + 1`` qubits.
        max_bond: chi.
        n_dense: number of qubits in each end.

    Raises:
        ValueError: a bond between two cores is larger than ``max_bond``.
    """
    state = state.canonicalize(n_dense)
    state.permute_arrays("lpr")
    tensors = list(state.arrays)
    tensors[0], tensors[-1] = tensors[0][None], tensors[-1][..., None]
    # An end joined to one tensor has one index for its qubits: their basis states. They
    # are the outer bond.
    last = len(tensors) - 1 - n_dense
    head, tail = _joined(tensors[: n_dense + 1]), _joined(tensors[last:])
    cores = [
        head.reshape(2**n_dense, 2, -1),
        *tensors[n_dense + 1 : last],
        tail.reshape(-1, 2, 2**n_dense),
    ]
    largest = max(core.shape[0] for core in cores[1:])
    if largest > max_bond:
        raise ValueError(
            f"state must have bonds of at most max_bond={max_bond}, got {largest}: "
            f"truncate it first, by state.compress(max_bond={max_bond})."
        )
    filled = np.zeros((len(cores), max_bond, 2, max_bond), head.dtype)
    for to, core in zip(filled, cores, strict=True):
        to[: core.shape[0], :, : core.shape[2]] = core
    return filled


def check_quimb(state: "MatrixProductState") -> int:
    """Number of qubits of a state from quimb.

    Raises:
        TypeError: it is no ``quimb.tensor.MatrixProductState``.
        ValueError: it is periodic, not of qubits, or not of norm 1.
    """
    from quimb.tensor import MatrixProductState

    if not isinstance(state, MatrixProductState):
        raise TypeError(
            "state must be a quimb.tensor.MatrixProductState, got "
            f"{type(state).__name__}."
        )
    if state.cyclic:
        raise ValueError("state must have open boundaries, got a periodic one.")
    sizes = {state.phys_dim(site) for site in range(state.L)}
    if sizes != {2}:
        raise ValueError(f"state must have sites of dimension 2, got {sorted(sizes)}.")
    norm = float(abs(state.norm()))
    if not abs(norm - 1) < 1e-4:
        raise ValueError(f"state must have norm 1, got {norm:.6g}.")
    return state.L


def _joined(tensors: list[np.ndarray]) -> np.ndarray:
    """Neighbouring tensors (left, physical, right) as one; physical axes are merged."""
    joined = tensors[0]
    for tensor in tensors[1:]:
        joined = np.tensordot(joined, tensor, 1)
        joined = joined.reshape(len(joined), -1, tensor.shape[-1])
    return joined


def check_one_sample(array: jax.Array, ndim: int) -> None:
    """Refuses states of a batch, one of whose arrays has more than ``ndim`` axes."""
    if array.ndim != ndim:
        raise ValueError(
            "state must be that of one sample, got a batch: take one by "
            "jax.tree.map(lambda leaf: leaf[i], state)."
        )
