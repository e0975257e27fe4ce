"""The tensor networks of circuits: state vectors, density matrices, overlaps.

A ket is the circuit's blocks, each a tensor with an output and an input leg for every
qubit it acts on; the first block on a qubit that starts in 0 has no input leg there,
as its tensor is the block's column for 0. A bra has the same shape. The legs at the end
of both are joined where a qubit is traced out, joined through an operator where a Pauli
matrix is inserted, and left open otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tnqrnn.contraction.geometry import Geometry

Leg = tuple[str, int | str, int]
"""Side, qubit or bond, and the number of the block it comes from."""


@dataclass(frozen=True)
class Start:
    """The shape of an initial state other than 0...0, as a tensor network.

    Attributes:
        legs: of each tensor: numbers are qubits, texts are bonds.
        bonds: the size of each bond, by its name.
    """

    legs: tuple[tuple[int | str, ...], ...] = ()
    bonds: tuple[tuple[str, int], ...] = ()


PRODUCT = Start()
"""All qubits in 0, which takes no tensor."""


@dataclass(frozen=True)
class Side:
    """The legs of a ket or a bra.

    Attributes:
        inputs: of the start's tensors and then of each block.
        ends: the last leg of each qubit that has any.
        sizes: of all legs.
        fresh: for each block, which of its qubits start there.
    """

    inputs: tuple[tuple[Leg, ...], ...]
    ends: Mapping[int, Leg]
    sizes: Mapping[Leg, int]
    fresh: tuple[tuple[bool, ...], ...]


def side(slots: Sequence[Sequence[int]], name: str, start: Start = PRODUCT) -> Side:
    """The legs of a circuit's blocks.

    Args:
        slots: the qubits of each block, in order.
        name: makes the legs of two sides different.
        start: the initial state.
    """
    inputs: list[tuple[Leg, ...]]
    inputs = [tuple((name, leg, 0) for leg in legs) for legs in start.legs]
    sizes: dict[Leg, int] = {(name, bond, 0): size for bond, size in start.bonds}
    ends: dict[int, Leg] = {
        leg: (name, leg, 0) for legs in start.legs for leg in legs if type(leg) is int
    }
    fresh = []
    for time, slot in enumerate(slots, start=1):
        before = tuple(ends[qubit] for qubit in slot if qubit in ends)
        fresh.append(tuple(qubit not in ends for qubit in slot))
        ends.update({qubit: (name, qubit, time) for qubit in slot})
        inputs.append((*(ends[qubit] for qubit in slot), *before))
    legs = {leg for tensor in inputs for leg in tensor}
    return Side(tuple(inputs), ends, {**dict.fromkeys(legs, 2), **sizes}, tuple(fresh))


def vector(ket: Side, qubits: Sequence[int]) -> Geometry:
    """The network of a ket's amplitudes, an axis a qubit."""
    return Geometry.of(ket.inputs, [ket.ends[qubit] for qubit in qubits], ket.sizes)


def sandwich(
    ket: Side, bra: Side, opened: Sequence[int] = (), inserted: Sequence[int] = ()
) -> Geometry:
    """The network of a bra and a ket, ``sum <bra| ... |ket>``.

    Args:
        ket: of the same qubits as ``bra``; its tensors come first, then the bra's, then
            one matrix <bra leg| P |ket leg> for each inserted operator.
        bra: its tensors are to be conjugated by the caller.
        opened: qubits left open: the result's axes are their ket legs, then bra legs.
        inserted: qubits with an operator; all others are traced out.
    """
    apart = {*opened, *inserted}
    traced = {
        leg: ket.ends[qubit] for qubit, leg in bra.ends.items() if qubit not in apart
    }
    return Geometry.of(
        [
            *ket.inputs,
            *(tuple(traced.get(leg, leg) for leg in legs) for legs in bra.inputs),
            *((bra.ends[qubit], ket.ends[qubit]) for qubit in inserted),
        ],
        [half.ends[qubit] for half in (ket, bra) for qubit in opened],
        {**ket.sizes, **bra.sizes},
    )
