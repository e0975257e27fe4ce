"""Pauli observables: what a circuit's state is asked for at every step.

An observable is a product of Pauli matrices on some qubits, ``((0, "X"), (3, "Z"))``
for X on qubit 0 times Z on qubit 3. The empty product is the identity, written ``"I"``.
"""

import operator
import re
from collections.abc import Iterable, Sequence

PauliString = tuple[tuple[int, str], ...]
Observables = str | Sequence[str]

_FACTOR = re.compile(r"([XYZ])(\d+)")
NAMED = ("xyz", "z", "xyz+zz")


def parse_observables(
    observables: Observables | Sequence[PauliString], n_qubits: int
) -> tuple[PauliString, ...]:
    """Turns what a user writes into Pauli strings with ascending qubits.

    Args:
        observables: ``"xyz"`` is X, Y, Z of every qubit, qubit by qubit (X0, Y0, Z0,
            X1, ...); ``"z"`` is Z of every qubit; ``"xyz+zz"`` is ``"xyz"`` and then
            Z_i Z_{i+1} for every neighbouring pair; a sequence such as
            ``["Z0", "X0 Z3", "I"]`` gives its members. Parsed strings pass unchanged.
        n_qubits: n, the number of qubits there are.

    Returns:
        one Pauli string an observable, M in all.

    Raises:
        ValueError: an unknown name or Pauli, a missing qubit, a qubit named twice, or
            no observable at all.

    >>> parse_observables(["X0 Z3"], 4)
    (((0, 'X'), (3, 'Z')),)
    >>> len(parse_observables("xyz+zz", 4))
    15
    """
    if isinstance(observables, str):
        return _named(observables, n_qubits)
    if not isinstance(observables, Iterable):
        raise ValueError(
            f"observables must be a sequence of Pauli strings, got {observables!r}."
        )
    strings = tuple(_parse_one(item, n_qubits) for item in observables)
    if not strings:
        raise ValueError("observables must name at least one observable, got none.")
    return strings


def _named(name: str, n_qubits: int) -> tuple[PauliString, ...]:
    if name not in NAMED:
        raise ValueError(
            f"observables must be one of {list(NAMED)} or a sequence of Pauli strings "
            f"such as ['Z0', 'X0 Z3'], got {name!r}."
        )
    axes = "Z" if name == "z" else "XYZ"
    single = tuple(((qubit, axis),) for qubit in range(n_qubits) for axis in axes)
    if not name.endswith("+zz"):
        return single
    return single + tuple(((q, "Z"), (q + 1, "Z")) for q in range(n_qubits - 1))


def _parse_one(item: str | PauliString, n_qubits: int) -> PauliString:
    if isinstance(item, str):
        words = item.split()
        matches = [_FACTOR.fullmatch(word) for word in words]
        if words == ["I"]:
            return ()
        if not words or not all(matches):
            raise ValueError(
                "observables must be Pauli strings such as 'Z0', 'X0 Z3' or 'I', "
                f"got {item!r}."
            )
        factors = [(int(m[2]), m[1]) for m in matches if m]
    else:
        try:
            factors = [(operator.index(qubit), axis) for qubit, axis in item]
        except (TypeError, ValueError) as error:
            raise ValueError(
                "observables must be Pauli strings such as 'X0 Z3' or "
                f"((0, 'X'), (3, 'Z')), got {item!r}."
            ) from error
    qubits = [qubit for qubit, _ in factors]
    known = all(axis in ("X", "Y", "Z") for _, axis in factors)
    if not known or len(set(qubits)) < len(qubits):
        raise ValueError(
            f"observables must have X, Y or Z at most once on a qubit, got {item!r}."
        )
    if any(not 0 <= qubit < n_qubits for qubit in qubits):
        raise ValueError(
            f"observables must act on qubits 0 to {n_qubits - 1}, got {item!r}."
        )
    return tuple(sorted(factors))
