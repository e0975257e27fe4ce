"""Circuits as plain descriptions: gates, ansaetze, observables, fusion into blocks."""

from tnqrnn.circuits.ansatz import (
    ENTANGLERS,
    TOPOLOGIES,
    Ansatz,
    Gate,
    check_angles,
    hardware_efficient,
)
from tnqrnn.circuits.gates import GATES
from tnqrnn.circuits.observables import Observables, PauliString, parse_observables

__all__ = [
    "ENTANGLERS",
    "GATES",
    "TOPOLOGIES",
    "Ansatz",
    "Gate",
    "Observables",
    "PauliString",
    "check_angles",
    "hardware_efficient",
    "parse_observables",
]
