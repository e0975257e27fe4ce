"""The descriptions: what a run is made of, from the circuit up to the seed.

A size that is ``None`` is the task's. Every field is written to JSON, defaults too, so
that a file keeps its meaning when a default changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tnqrnn.specs.base import (
    AbstractDescription,
    Count,
    NonNegative,
    Options,
    Share,
    Whole,
)

Gate = tuple[str, Sequence[Whole]] | tuple[str, Sequence[Whole], Whole]


@dataclass(frozen=True)
class Circuit(AbstractDescription):
    """A :func:`tnqrnn.hardware_efficient` circuit, or one of any gates.

    Attributes:
        n_qubits: n, the number of qubits.
        n_layers: of the layered circuit, as are the next three.
        rotations: names of rotations in the order they act.
        entangler: name of the two-qubit gate, or ``heisenberg``.
        topology: which pairs it acts on.
        gates: ``(name, qubits)`` or ``(name, qubits, angle index)`` each, in place of
            layers; the four fields before must be left alone then.

    Raises:
        ValueError: a field of another type or out of range, or layers beside gates.

    >>> import tnqrnn as tq
    >>> tq.build(tq.specs.Circuit(4, n_layers=1)).n_params
    11
    >>> tq.build(tq.specs.Circuit(2, gates=[("h", [0]), ("cnot", [0, 1])])).n_params
    0
    """

    n_qubits: Count
    n_layers: Count = 2
    rotations: Sequence[str] = ("ry", "rz")
    entangler: str = "crx"
    topology: str = "chain"
    gates: Sequence[Gate] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gates is None:
            return
        for field in fields(self):
            if field.name in ("n_qubits", "gates"):
                continue
            value = getattr(self, field.name)
            if value != field.default:
                raise ValueError(
                    f"{field.name} must be left alone, {field.default!r}, beside "
                    f"gates, got {value!r}."
                )


@dataclass(frozen=True)
class Backend(AbstractDescription):
    """A representation of the quantum state.

    Attributes:
        name: ``"statevector"``, ``"mps"``, ``"network"``, or a user's own: the name it
            was registered under (:func:`tnqrnn.register`) or else its class's.
        dtype: ``"complex64"`` or ``"complex128"``.
        max_bond: chi of an MPS, a number; ``None`` for the others.
        cutoff: of an MPS, the relative size below which Schmidt values are discarded.
        on_truncation: of an MPS, what follows if it loses more than ``budget``:
            ``"ignore"``, ``"warn"`` or ``"raise"``.
        budget: of an MPS, the infidelity that is no cause for that.
        search: of a network, ``"auto"``, or ``"never"`` to use stored plans alone.
        memory_limit: of a network, bytes of the largest intermediate results.
        options: further arguments, of a user's own backend.

    Raises:
        ValueError: a field of another type or out of range.

    >>> import tnqrnn as tq
    >>> tq.build(tq.specs.Backend("mps", max_bond=16)).max_bond
    16
    """

    name: str = "statevector"
    dtype: str = "complex64"
    max_bond: Count | None = None
    cutoff: Share = 0.0
    on_truncation: str = "ignore"
    budget: Share = 0.01
    search: str = "auto"
    memory_limit: Count | None = None
    options: Mapping[str, Any] = Options()


@dataclass(frozen=True)
class Controller(AbstractDescription):
    """The classical network before a circuit; fields as :class:`tnqrnn.Controller`.

    Raises:
        ValueError: a field of another type or out of range.

    >>> Controller(hidden=[8]).hidden
    (8,)
    """

    activation: str = "gelu"
    hidden: Sequence[Count] = (64,)
    embedding_size: Count | None = None
    init_scale: NonNegative = 0.1
    dropout: Share = 0.0


@dataclass(frozen=True)
class Cell(AbstractDescription):
    """One step of a recurrence, quantum or classical.

    A field that the kind of cell does not take must be left alone: a hidden size for
    ``"qrnn"``, a circuit for ``"gru"``. A cell with a circuit has a backend and a
    controller, by default ``Backend()`` and ``Controller()``.

    Attributes:
        kind: ``"qrnn"``, ``"rnn"``, ``"gru"``, ``"lstm"``, or what a user's own class
            was registered under, see :func:`tnqrnn.register`.
        input_size: F, features of a step, or the length of a token's vector; ``None``
            for the task's features.
        context_size: length of what every step may read beside its input.
        circuit: of a quantum cell, as are the next five fields.
        backend: the representation of the state.
        controller: what gives the circuit its angles.
        observables: ``"xyz"``, ``"z"``, ``"xyz+zz"``, or Pauli strings.
        readout: ``"unit"``, ``"haar"``, ``"learned"`` or a number.
        feedback: whether the controller receives the last readouts.
        hidden_size: of a classical cell, the length of its hidden vector.
        dtype: of a classical cell's weights; a quantum cell's follow its backend.
        options: further arguments, of a user's own cell.

    Raises:
        ValueError: a field of another type or out of range.

    >>> Cell(circuit=Circuit(4)).backend.name
    'statevector'
    """

    kind: str = "qrnn"
    input_size: Count | None = None
    context_size: Whole = 0
    circuit: Circuit | None = None
    backend: Backend | None = None
    controller: Controller | None = None
    observables: str | Sequence[str] = "xyz"
    readout: str | float = "unit"
    feedback: bool = True
    hidden_size: Count | None = None
    dtype: str = "float32"
    options: Mapping[str, Any] = Options()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.circuit is not None:
            if self.backend is None:
                object.__setattr__(self, "backend", Backend())
            if self.controller is None:
                object.__setattr__(self, "controller", Controller())


@dataclass(frozen=True)
class Model(AbstractDescription):
    """A cell with what stands before and behind it.

    Attributes:
        kind: ``"classifier"``, ``"labeler"``, ``"regressor"``, ``"language_model"``, or
            what a user's own class was registered under, see :func:`tnqrnn.register`;
            ``None`` for what the task's targets ask for.
        cell: the recurrence.
        n_outputs: classes, targets or tokens, whatever the kind of model gives;
            ``None`` for the task's.
        embedding: number of tokens of a learned embedding, each of the cell's input
            size; ``None`` for the task's, and no embedding if its inputs are features.
        pool: how a sequence's steps become one, see the kind's class.
        dropout: the share of values that training sets to 0.
        tied: whether head and embedding share their matrix.
        gradient: mode of :func:`tnqrnn.unroll`.
        options: further arguments, of a user's own model.

    Raises:
        ValueError: a field of another type or out of range.

    >>> model = Model("labeler", Cell("gru", input_size=3, hidden_size=8), 4)
    >>> model.cell.hidden_size
    8
    """

    kind: str | None
    cell: Cell
    n_outputs: Count | None = None
    embedding: Count | None = None
    pool: str | None = "last"
    dropout: Share = 0.0
    tied: bool = False
    gradient: str = "auto"
    options: Mapping[str, Any] = Options()


@dataclass(frozen=True)
class Task(AbstractDescription):
    """What is learned: the arguments of :func:`tnqrnn.load_task`.

    Attributes:
        name: a task of :func:`tnqrnn.load_task`.
        options: the loader's options.

    Raises:
        ValueError: a field of another type.

    >>> import tnqrnn as tq
    >>> tq.build(tq.specs.Task("copying", {"delay": 5, "n_train": 64})).kind
    'label'
    """

    name: str
    options: Mapping[str, Any] = Options()


@dataclass(frozen=True)
class Training(AbstractDescription):
    """The arguments of :func:`tnqrnn.fit` that decide its result, for Adam.

    They have its names and meaning, ``None`` and ``"auto"`` too. The defaults are what
    its defaults come to, in numbers, so that a file keeps its meaning.

    Raises:
        ValueError: a field of another type or out of range.

    >>> Training(epochs=5, learning_rate=1e-2).batch_size
    64
    """

    epochs: Count = 40
    batch_size: Count = 64
    learning_rate: NonNegative | None = 3e-3
    schedule: str | None = "cosine"
    warmup_epochs: Whole = 0
    clip_norm: NonNegative | None = 1.0
    update_limit: NonNegative | str | None = 0.02
    patience: Count | None = None


@dataclass(frozen=True)
class Run(AbstractDescription):
    """All that decides a result: what is learned, by what, how, and by which chance.

    Attributes:
        task: the data.
        model: what is trained.
        training: how.
        seed: of the model's initial weights and of the batches.

    Raises:
        ValueError: a field of another type or out of range.

    >>> cell = Cell(circuit=Circuit(4), backend=Backend("mps", max_bond=2))
    >>> run = Run(Task("digits"), Model("classifier", cell))
    >>> run.training.epochs, run.seed
    (40, 0)
    """

    task: Task
    model: Model
    training: Training = Training()
    seed: Whole = 0
