"""The gates a circuit may hold, as matrices.

Rotations are ``R_a(t) = exp(-i t a / 2)`` with ``a`` a Pauli matrix or, for ``rxx``,
``ryy``, ``rzz``, a product of two. In a two-qubit matrix the first qubit is the left
tensor factor, so basis states are ordered 00, 01, 10, 11; the first qubit of
``crx cry crz cz cnot`` is the control. Source: [nielsen2010], sections 4.2 and 4.3.
"""

import functools
from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.checks import real_dtype

_X = np.array([[0, 1], [1, 0]], complex)
_Y = np.array([[0, -1j], [1j, 0]])
_Z = np.array([[1, 0], [0, -1]], complex)
_UP, _DOWN = np.diag([1, 0]), np.diag([0, 1])

PAULIS = MappingProxyType({"I": np.eye(2, dtype=complex), "X": _X, "Y": _Y, "Z": _Z})
"""Pauli matrices, complex128."""


@dataclass(frozen=True)
class GateSpec:
    """What a gate's name stands for.

    A rotation is ``1 + (cos(t/2) - 1) projector_on - i sin(t/2) generator``; a fixed
    gate is ``matrix``.

    Attributes:
        n_qubits: 1 or 2.
        has_angle: whether the gate takes an angle.
        inverse: name of the gate whose matrix at ``-angle`` is the adjoint.
    """

    n_qubits: int
    has_angle: bool
    inverse: str
    matrix: np.ndarray | None = None
    generator: np.ndarray | None = None
    projector_on: np.ndarray | None = None


def _fixed(name: str, matrix: np.ndarray, inverse: str | None = None) -> GateSpec:
    return GateSpec(len(matrix).bit_length() - 1, False, inverse or name, matrix)


def _rotation(name: str, generator: np.ndarray, controlled: bool = False) -> GateSpec:
    on: np.ndarray = np.eye(len(generator))
    if controlled:
        generator, on = np.kron(_DOWN, generator), np.kron(_DOWN, on)
    n_qubits = len(generator).bit_length() - 1
    return GateSpec(n_qubits, True, name, None, generator, on)


def _table() -> dict[str, GateSpec]:
    table = {
        "h": _fixed("h", (_X + _Z) / np.sqrt(2)),
        "x": _fixed("x", _X),
        "y": _fixed("y", _Y),
        "z": _fixed("z", _Z),
        "s": _fixed("s", np.diag([1, 1j]), "sdg"),
        "sdg": _fixed("sdg", np.diag([1, -1j]), "s"),
        "t": _fixed("t", np.diag([1, np.exp(0.25j * np.pi)]), "tdg"),
        "tdg": _fixed("tdg", np.diag([1, np.exp(-0.25j * np.pi)]), "t"),
        "cz": _fixed("cz", np.diag([1, 1, 1, -1]).astype(complex)),
        "cnot": _fixed("cnot", np.kron(_UP, np.eye(2)) + np.kron(_DOWN, _X)),
        "swap": _fixed("swap", np.eye(4, dtype=complex)[[0, 2, 1, 3]]),
    }
    for axis, pauli in (("x", _X), ("y", _Y), ("z", _Z)):
        table[f"r{axis}"] = _rotation(f"r{axis}", pauli)
        table[f"cr{axis}"] = _rotation(f"cr{axis}", pauli, controlled=True)
        table[f"r{axis}{axis}"] = _rotation(f"r{axis}{axis}", np.kron(pauli, pauli))
    return table


GATES = MappingProxyType(_table())
"""Every gate by name."""


def gate_matrix(
    name: str, angle: ArrayLike | None = None, dtype: str = "complex64"
) -> jax.Array:
    """The matrix of a gate.

    Args:
        name: a key of :data:`GATES`.
        angle: radians, a real number; ``None`` for a fixed gate.
        dtype: complex type of the result.

    Returns:
        array of shape (2**k, 2**k) for a k-qubit gate.
    """
    angles = jnp.asarray([0 if angle is None else angle], real_dtype(dtype))
    return gate_matrices((name,), GATES[name].n_qubits, angles)[0]


def gate_matrices(
    names: tuple[str | None, ...], n_qubits: int, angles: jax.Array
) -> jax.Array:
    """The matrices of N gates of one size, by the same few operations.

    Args:
        names: keys of :data:`GATES`, one for all or N; ``None`` is the identity.
        n_qubits: k, on which each of them acts.
        angles (real array of shape (N,)): radians, any number for a fixed gate.

    Returns:
        complex array, as precise as ``angles``, of shape (N, 2**k, 2**k).
    """
    half = angles[:, None, None] / 2
    cos, sin = jnp.cos(half), jnp.sin(half)
    parts = []
    for constant, cosine, sine in _terms(names, n_qubits):
        part = jnp.asarray(constant, half.dtype)
        for coefficient, function in ((cosine, cos), (sine, sin)):
            if coefficient.any():
                part = part + function * jnp.asarray(coefficient, half.dtype)
        parts.append(jnp.broadcast_to(part, (len(angles), *constant.shape[1:])))
    return jax.lax.complex(*parts)


@functools.lru_cache(maxsize=256)
def _terms(names: tuple[str | None, ...], n_qubits: int) -> np.ndarray:
    """Gates as ``constant + cos(t/2) cosine + sin(t/2) sine``.

    Returns:
        the three, first their real and then their imaginary parts:
        (2, 3, N, 2**k, 2**k).
    """
    eye = np.eye(2**n_qubits)
    terms = []
    for spec in (None if name is None else GATES[name] for name in names):
        if spec is None or spec.generator is None or spec.projector_on is None:
            fixed = eye if spec is None else spec.matrix
            terms.append([fixed, 0 * eye, 0 * eye])
        else:
            on = spec.projector_on
            terms.append([eye - on, on, -1j * spec.generator])
    array = np.array(terms, complex).swapaxes(0, 1)
    return np.stack([array.real, array.imag])
