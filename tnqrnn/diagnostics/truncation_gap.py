"""What a model scores once its truncation is taken away."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tnqrnn.backends import MPS, AbstractBackend, Statevector
from tnqrnn.checks import check_int
from tnqrnn.model import QRNNCell
from tnqrnn.tasks import Split, Stream
from tnqrnn.training import evaluate


def truncation_gap(
    model: Any,
    split: Split | Stream,
    *,
    exact_up_to: int = 14,
    batch_size: int = 64,
    own: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Scores the same parameters on a bond twice as large and on exact states.

    Training on a matrix product state can learn to exploit its truncation. A model that
    did scores differently where less is truncated; one whose scores agree did not.

    Args:
        model: with a :class:`tnqrnn.QRNNCell` as ``cell`` and ``with_backend``.
        split: what to score.
        exact_up_to: largest number of qubits for exact states.
        batch_size: see :func:`tnqrnn.evaluate`.
        own: the model's own scores on the split, if they are known.

    Returns:
        for each score ``s`` of :func:`tnqrnn.evaluate` (``loss``, ``accuracy``):
        ``double_bond_s`` and ``exact_s``, and their differences to the model's own,
        ``double_bond_minus_own_s`` and ``exact_minus_own_s``. The first of each pair is
        missing on an exact backend, the second above ``exact_up_to`` qubits.

    Raises:
        TypeError: a model without a quantum state.
        ValueError: exact_up_to or batch_size below 1.
    """
    cell = getattr(model, "cell", None)
    if not isinstance(cell, QRNNCell):
        raise TypeError(
            f"model must have a QRNNCell as its cell, got {type(cell).__name__}."
        )
    check_int("exact_up_to", exact_up_to, minimum=1)
    others: dict[str, AbstractBackend] = {}
    if isinstance(cell.backend, MPS):
        others["double_bond"] = dataclasses.replace(
            cell.backend, max_bond=2 * cell.backend.max_bond, on_truncation="ignore"
        )
    if cell.ansatz.n_qubits <= exact_up_to:
        others["exact"] = Statevector(cell.backend.dtype)
    if own is None:
        own = evaluate(model, split, batch_size=batch_size)
    gaps = {}
    for name, backend in others.items():
        scores: Mapping[str, float] = own
        if backend != cell.backend:
            other = model.with_backend(backend)
            scores = evaluate(other, split, batch_size=batch_size)
        for what, score in scores.items():
            if what.removesuffix("_max") in model.lost_names:
                continue
            gaps[f"{name}_{what}"] = score
            gaps[f"{name}_minus_own_{what}"] = score - own[what]
    return gaps
