"""Parametrized quantum circuits as plain, hashable descriptions.

One layer of the default ansatz on three qubits, time running to the right; every box
takes its own angle, numbered in the order the gates act::

    0: -[ry 0]-[rz 3]---o--------------
                        |
    1: -[ry 1]-[rz 4]-[rx 6]---o-------
                               |
    2: -[ry 2]-[rz 5]--------[rx 7]----
"""

import dataclasses
import functools
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tnqrnn.checks import (
    check_choice,
    check_dtype,
    check_finite,
    check_int,
    check_memory,
    check_real,
)
from tnqrnn.circuits.gates import GATES, gate_matrix
from tnqrnn.products import einsum


@dataclass(frozen=True)
class Gate:
    """One gate of a circuit.

    Attributes:
        name: a key of :data:`tnqrnn.circuits.gates.GATES`.
        qubits: the qubits it acts on, control first.
        angle: index of its angle in the circuit's angle vector; ``None`` for a gate
            that takes none. Gates may share an angle.
    """

    name: str
    qubits: tuple[int, ...]
    angle: int | None = None


@dataclass(frozen=True, init=False)
class Ansatz:
    """A circuit of one- and two-qubit gates, applied in order.

    Args:
        n_qubits: number of qubits n >= 1.
        gates: :class:`Gate` objects or tuples of their fields, such as
            ``("crx", (0, 1), 4)``.

    Raises:
        ValueError: an unknown gate, a qubit out of range or used twice by a gate, an
            angle missing or superfluous, or angle indices that leave one out.

    >>> bell = Ansatz(2, [("h", (0,)), ("cnot", (0, 1))])
    >>> bell.n_params
    0
    """

    n_qubits: int
    gates: tuple[Gate, ...]

    def __init__(self, n_qubits: int, gates: Sequence[Gate | tuple]) -> None:
        n_qubits = check_int("n_qubits", n_qubits, minimum=1)
        checked = tuple(_check_gate(gate, n_qubits) for gate in gates)
        object.__setattr__(self, "n_qubits", n_qubits)
        object.__setattr__(self, "gates", checked)
        used = {gate.angle for gate in checked if gate.angle is not None}
        if used != set(range(len(used))):
            raise ValueError(
                "gates must use every angle index from 0 up without a gap, got "
                f"{sorted(used)}."
            )

    @functools.cached_property
    def n_params(self) -> int:
        """Number of angles P."""
        return 1 + max((g.angle for g in self.gates if g.angle is not None), default=-1)

    def inverse(self) -> "Ansatz":
        """The circuit with ``inverse().unitary(-angles) == unitary(angles)^dagger``."""
        return Ansatz(
            self.n_qubits,
            [Gate(GATES[g.name].inverse, g.qubits, g.angle) for g in self.gates[::-1]],
        )

    def unitary(self, angles: ArrayLike, dtype: str = "complex64") -> jax.Array:
        """The circuit's matrix, no global phase dropped.

        Args:
            angles (array of shape (P,)): radians.
            dtype: ``"complex64"`` or ``"complex128"``.

        Returns:
            array of shape (2**n, 2**n); qubit 0 is the most significant bit.

        Raises:
            ValueError: angles of another shape, or an unknown dtype.
            MemoryError: the matrix is larger than this machine's memory.
        """
        angles = check_angles(self, angles)
        dim = 2**self.n_qubits
        check_dtype(dtype)
        check_memory(
            f"n_qubits={self.n_qubits}: a unitary",
            2 * jnp.dtype(dtype).itemsize * dim**2,
        )
        matrix = jnp.eye(dim, dtype=dtype)
        for qubits, small in self.matrices(angles, dtype):
            matrix = apply_matrix(small, matrix, qubits, self.n_qubits)
        return matrix

    def matrices(
        self, angles: ArrayLike, dtype: str = "complex64"
    ) -> Iterator[tuple[tuple[int, ...], jax.Array]]:
        """The gates in order, each as its qubits and its matrix.

        Args:
            angles (array of shape (P,)): radians.
            dtype: ``"complex64"`` or ``"complex128"``.

        Yields:
            k qubits, and an array of shape (2**k, 2**k) whose first tensor factor is
            the first of them.

        Raises:
            ValueError: angles of another shape, or an unknown dtype.
        """
        angles = check_angles(self, angles)
        for gate in self.gates:
            angle = None if gate.angle is None else angles[gate.angle]
            yield gate.qubits, gate_matrix(gate.name, angle, dtype)

    def draw(self) -> str:
        """The circuit as text, one line a qubit, one column a moment in time.

        >>> print(hardware_efficient(2, n_layers=1).draw())
        0: -[ry 0]-[rz 2]----o----
        1: -[ry 1]-[rz 3]-[crx 4]-
        """
        columns: list[dict[int, str]] = []
        busy = [0] * self.n_qubits
        for gate in self.gates:
            low, high = min(gate.qubits), max(gate.qubits)
            at = max(busy[low : high + 1])
            if at == len(columns):
                columns.append({})
            columns[at].update({qubit: "|" for qubit in range(low, high + 1)})
            columns[at].update(_symbols(gate))
            busy[low : high + 1] = [at + 1] * (high - low + 1)
        lines = []
        margin = len(str(self.n_qubits - 1))
        for qubit in range(self.n_qubits):
            line = f"{qubit:>{margin}}: -"
            for column in columns:
                width = max(map(len, column.values()))
                line += column.get(qubit, "").center(width, "-") + "-"
            lines.append(line)
        return "\n".join(lines)


def check_angles(ansatz: Ansatz, angles: ArrayLike) -> jax.Array:
    """``angles`` as an array, if its length is the circuit's.

    Raises:
        ValueError: any other shape, or values that are not real and finite.
    """
    if np.shape(angles) != (ansatz.n_params,):
        raise ValueError(
            f"angles must be of shape ({ansatz.n_params},), one for each of the "
            f"circuit's angles, got {np.shape(angles)}."
        )
    check_real("angles", angles)
    check_finite("angles", angles)
    return jnp.asarray(angles)


def apply_matrix(
    matrix: jax.Array, columns: jax.Array, qubits: Sequence[int], n_qubits: int
) -> jax.Array:
    """Applies a matrix on some qubits to vectors of 2**n_qubits entries.

    Args:
        matrix (array of shape (2**k, 2**k)): its first tensor factor is ``qubits[0]``.
        columns (array of shape (2**n, R)): R vectors as columns.
        qubits: k different qubits, in any order.
        n_qubits: n.

    Returns:
        array like ``columns``.
    """
    before = list(range(n_qubits + 1))
    outputs = [n_qubits + 1 + i for i in range(len(qubits))]
    renamed = dict(zip(qubits, outputs, strict=True))
    after = [renamed.get(axis, axis) for axis in before]
    tensor = columns.reshape(*(2,) * n_qubits, -1)
    small = matrix.reshape((2,) * (2 * len(qubits)))
    result = einsum(small, [*outputs, *qubits], tensor, before, after)
    return result.reshape(columns.shape)


def hardware_efficient(
    n_qubits: int,
    n_layers: int = 2,
    rotations: Sequence[str] = ("ry", "rz"),
    entangler: str = "crx",
    topology: str = "chain",
) -> Ansatz:
    """Layers of rotations on every qubit, each followed by an entangler on pairs.

    One layer is the first rotation on qubits 0..n-1, then the second on 0..n-1, and so
    on, then the entangler on each pair of the topology, control first. Angles are
    numbered in the order the gates act [sim2019].

    Args:
        n_qubits: n >= 1; a single qubit has no entangler.
        n_layers: L >= 1.
        rotations: any of ``"rx"``, ``"ry"``, ``"rz"``, in the order they act; one name
            for one of them.
        entangler: ``crx cry crz rxx ryy rzz`` take an angle, ``cz cnot`` none;
            ``heisenberg`` is ``rxx``, ``ryy``, ``rzz`` on the pair with an angle each:
            exp(-i (a XX + b YY + c ZZ) / 2), at a = b = c = pi / 2 a swap,
            up to a phase.
        topology: ``chain`` is (0,1), (1,2), ...; ``ring`` is the chain, then (n-1, 0)
            when n > 2; ``brickwork`` is the chain's pairs that start at even qubits,
            then those at odd ones; ``all_to_all`` is (i, j) for i < j in lexicographic
            order.

    Returns:
        the circuit; P = L (n len(rotations) + A number of pairs), A the angles a pair.

    Raises:
        ValueError: a number below 1 or an unknown name.

    >>> hardware_efficient(4, n_layers=1).n_params
    11
    """
    n_qubits = check_int("n_qubits", n_qubits, minimum=1)
    n_layers = check_int("n_layers", n_layers, minimum=1)
    rotations = (rotations,) if isinstance(rotations, str) else tuple(rotations)
    for rotation in rotations:
        check_choice("rotations", rotation, ROTATIONS)
    check_choice("entangler", entangler, ENTANGLERS)
    check_choice("topology", topology, TOPOLOGIES)
    single = [(name, (qubit,)) for name in rotations for qubit in range(n_qubits)]
    names = HEISENBERG if entangler == "heisenberg" else (entangler,)
    double = [(name, pair) for pair in _pairs(n_qubits, topology) for name in names]
    gates: list[Gate] = []
    angle = 0
    for name, qubits in (single + double) * n_layers:
        has_angle = GATES[name].has_angle
        gates.append(Gate(name, qubits, angle if has_angle else None))
        angle += has_angle
    return Ansatz(n_qubits, gates)


ROTATIONS = ("rx", "ry", "rz")
ENTANGLERS = ("crx", "cry", "crz", "rxx", "ryy", "rzz", "cz", "cnot", "heisenberg")
HEISENBERG = ("rxx", "ryy", "rzz")
TOPOLOGIES = ("chain", "ring", "brickwork", "all_to_all")


def _pairs(n_qubits: int, topology: str) -> list[tuple[int, int]]:
    if topology == "all_to_all":
        return [(i, j) for i in range(n_qubits) for j in range(i + 1, n_qubits)]
    chain = [(i, i + 1) for i in range(n_qubits - 1)]
    if topology == "brickwork":
        return chain[0::2] + chain[1::2]
    if topology == "ring" and n_qubits > 2:
        return [*chain, (n_qubits - 1, 0)]
    return chain


def _check_gate(gate: Gate | tuple, n_qubits: int) -> Gate:
    entry = dataclasses.astuple(gate) if isinstance(gate, Gate) else gate
    if not isinstance(entry, Sequence) or len(entry) not in (2, 3):
        raise ValueError(
            "gates must hold (name, qubits) or (name, qubits, angle index), "
            f"got {entry!r}."
        )
    name, qubits, angle = (*entry, None)[:3]
    check_choice("gates: name", name, GATES)
    spec = GATES[name]
    qubits = (qubits,) if isinstance(qubits, numbers.Integral) else tuple(qubits)
    if len(qubits) != spec.n_qubits or len(set(qubits)) < len(qubits):
        raise ValueError(
            f"gates: {name} must act on {spec.n_qubits} different qubits, got {qubits}."
        )
    qubits = tuple(
        check_int("gates: qubit", q, minimum=0, maximum=n_qubits - 1) for q in qubits
    )
    if spec.has_angle:
        angle = check_int(f"gates: angle index of {name}", angle, minimum=0)
    elif angle is not None:
        raise ValueError(f"gates: {name} must have no angle, got {angle!r}.")
    return Gate(name, qubits, angle)


def _symbols(gate: Gate) -> dict[int, str]:
    label = gate.name if gate.angle is None else f"{gate.name} {gate.angle}"
    first, *others = gate.qubits
    control = gate.name.startswith("c")
    symbols = {first: "o" if control else f"[{label}]"}
    return symbols | {qubit: f"[{label}]" for qubit in others}
