"""From a circuit, backend, cell, model or task to its description."""

import dataclasses
import itertools
from typing import Any, overload

import equinox as eqx

from tnqrnn import specs
from tnqrnn.backends import AbstractBackend
from tnqrnn.circuits import Ansatz, PauliString, hardware_efficient, parse_observables
from tnqrnn.circuits.ansatz import ENTANGLERS, HEISENBERG, ROTATIONS, TOPOLOGIES
from tnqrnn.circuits.observables import NAMED
from tnqrnn.layout import layout
from tnqrnn.model.base import AbstractCell, parameter_dtype
from tnqrnn.model.controller import Controller
from tnqrnn.model.kinds import NAME_FIELD, argument_for, arguments_of, name_of
from tnqrnn.model.sequence_model import AbstractSequenceModel
from tnqrnn.tasks import Task


@overload
def describe(thing: Ansatz) -> specs.Circuit: ...
@overload
def describe(thing: AbstractBackend) -> specs.Backend: ...
@overload
def describe(thing: Controller) -> specs.Controller: ...
@overload
def describe(thing: AbstractCell) -> specs.Cell: ...
@overload
def describe(thing: AbstractSequenceModel) -> specs.Model: ...
@overload
def describe(thing: eqx.Module) -> specs.AbstractDescription: ...
@overload
def describe(thing: Task) -> specs.Task: ...
def describe(thing: Any) -> specs.AbstractDescription:
    """Says what an object is, so that :func:`tnqrnn.build` makes another like it.

    What is built has the same structure and static fields; of a cell or a model the
    parameters are drawn anew. A circuit of layers is described as such, whoever made
    it, any other by its gates. A backend of an unregistered class is described by the
    class's name and fields; to build it, register the class (:func:`tnqrnn.register`).

    Args:
        thing: an ansatz, a backend, a controller, a cell, a model or a task of
            :func:`tnqrnn.load_task`.

    Raises:
        ValueError: anything else, or a cell or model of a class that is not registered.

    >>> import tnqrnn as tq
    >>> tq.describe(tq.hardware_efficient(5, topology="ring")).topology
    'ring'
    >>> tq.describe(tq.MPS(8, cutoff=1e-6)).max_bond
    8
    """
    if isinstance(thing, Ansatz):
        return _circuit(thing)
    if isinstance(thing, AbstractBackend) and name_of(thing) is None:
        return _own_backend(thing)
    if isinstance(thing, Task):
        return specs.Task(thing.name, thing.options)
    kinds: dict[type, type[specs.AbstractDescription]] = {
        AbstractBackend: specs.Backend,
        Controller: specs.Controller,
        AbstractCell: specs.Cell,
        AbstractSequenceModel: specs.Model,
    }
    for base, kind in kinds.items():
        if isinstance(thing, base):
            return _by_arguments(thing, kind)
    raise ValueError(
        "thing must be an Ansatz, a backend, a Controller, a cell, a model or a Task, "
        f"got {type(thing).__name__}."
    )


def observable_names(
    strings: tuple[PauliString, ...], n_qubits: int
) -> str | list[str]:
    """Parsed observables as :func:`parse_observables` reads them.

    Args:
        strings: what it returned.
        n_qubits: n.

    Returns:
        a name such as ``"xyz"`` if one stands for them, or Pauli strings.
    """
    for name in NAMED:
        if parse_observables(name, n_qubits) == strings:
            return name
    words = [[f"{axis}{qubit}" for qubit, axis in string] for string in strings]
    return [" ".join(factors) if factors else "I" for factors in words]


def _by_arguments(thing: Any, kind: type) -> specs.AbstractDescription:
    """A description of the arguments that an object was made from."""
    cls = type(thing)
    values: dict[str, Any] = {}
    if kind in NAME_FIELD:
        name = name_of(thing)
        if name is None:
            raise ValueError(
                "thing must be of registered classes (tnqrnn.register) to be "
                f"described, got {cls.__name__}."
            )
        values[NAME_FIELD[kind]] = name
    of_arguments = {}
    for field in dataclasses.fields(kind):
        if (argument := argument_for(field.name, cls)) is not None:
            of_arguments[argument] = field.name
    options = {}
    for argument in arguments_of(cls):
        value = _value(thing, argument)
        if argument in of_arguments:
            values[of_arguments[argument]] = value
        else:
            options[argument] = value
    if options:
        values["options"] = options
    return kind(**values)


def _value(thing: Any, argument: str) -> Any:
    """What a description says of an argument."""
    if argument == "dtype" and isinstance(thing, AbstractCell):
        return str(parameter_dtype(thing))
    if not hasattr(thing, argument):
        raise ValueError(
            f"thing must keep its argument {argument!r} as an attribute to be "
            f"described, got {type(thing).__name__}, which does not."
        )
    value = getattr(thing, argument)
    if isinstance(value, eqx.nn.Embedding):
        return value.num_embeddings
    if argument == "observables":
        return observable_names(value, thing.ansatz.n_qubits)
    parts = (Ansatz, AbstractBackend, Controller, AbstractCell)
    return describe(value) if isinstance(value, parts) else value


def _circuit(ansatz: Ansatz) -> specs.Circuit:
    layers = _layers(ansatz)
    if layers is not None:
        return layers
    gates = [
        (gate.name, gate.qubits, *(() if gate.angle is None else (gate.angle,)))
        for gate in ansatz.gates
    ]
    return specs.Circuit(ansatz.n_qubits, gates=gates)


def _layers(ansatz: Ansatz) -> specs.Circuit | None:
    """The arguments of :func:`hardware_efficient` that give a circuit, if any do.

    Rotations and entangler are read off the first gates. Every topology, and every
    number of layers that divides the number of gates, is then tried.
    """
    n, gates = ansatz.n_qubits, ansatz.gates
    is_single = lambda gate: len(gate.qubits) == 1  # noqa: E731
    singles = [gate.name for gate in itertools.takewhile(is_single, gates)]
    doubles = [gate.name for gate in gates[len(singles) :][:3]]
    pair = doubles[0] if doubles else "crx"
    if tuple(doubles) == HEISENBERG:
        pair = "heisenberg"
    if not gates or pair not in ENTANGLERS or not set(singles) <= set(ROTATIONS):
        return None
    for topology in TOPOLOGIES:
        for n_layers in range(len(gates), 0, -1):  # of equal circuits the most layers
            if len(gates) % n_layers:
                continue
            # A single qubit has no entangler: its first layer is not seen to end.
            n_singles = len(singles) if n > 1 else len(gates) // n_layers
            rotations = singles[:n_singles:n]
            if n * len(rotations) != n_singles:
                continue
            arguments = (n, n_layers, rotations, pair, topology)
            if _n_gates(n, topology, rotations, pair) * n_layers != len(gates):
                continue
            if hardware_efficient(*arguments) == ansatz:
                return specs.Circuit(*arguments)
    return None


def _n_gates(n_qubits: int, topology: str, rotations: list[str], pair: str) -> int:
    """Gates of one layer."""
    return len(hardware_efficient(n_qubits, 1, rotations, pair, topology).gates)


def _own_backend(backend: AbstractBackend) -> specs.Backend:
    """An unregistered backend by the name of its class and its fields.

    A value that JSON does not hold is described by its class: such a backend is given
    to :func:`tnqrnn.load` and :func:`tnqrnn.build`, never built from this.
    """
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for field in dataclasses.fields(backend):
        value = getattr(backend, field.name)
        is_own = field.name in specs.fields_of(specs.Backend)
        (values if is_own else options)[field.name] = value
    return specs.Backend(type(backend).__name__, **values, options=layout(options))
