"""From a description to what it describes."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, overload

import jax
from jaxtyping import PRNGKeyArray

from tnqrnn import specs
from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_instance
from tnqrnn.circuits import Ansatz, hardware_efficient
from tnqrnn.model.base import AbstractCell
from tnqrnn.model.controller import Controller
from tnqrnn.model.kinds import (
    BACKENDS,
    CELLS,
    MODELS,
    NAME_FIELD,
    argument_for,
    arguments_of,
)
from tnqrnn.model.sequence_model import AbstractSequenceModel
from tnqrnn.tasks import Task, load_task


@overload
def build(description: specs.Circuit) -> Ansatz: ...
@overload
def build(description: specs.Backend) -> AbstractBackend: ...
@overload
def build(description: specs.Controller) -> Controller: ...
@overload
def build(description: specs.Task) -> Task: ...
@overload
def build(
    description: specs.Cell,
    key: PRNGKeyArray,
    *,
    task: Task | None = None,
    backend: AbstractBackend | None = None,
) -> AbstractCell: ...
@overload
def build(
    description: specs.Model,
    key: PRNGKeyArray,
    *,
    task: Task | None = None,
    backend: AbstractBackend | None = None,
) -> AbstractSequenceModel: ...
@overload
def build(
    description: specs.Run,
    *,
    task: Task | None = None,
    backend: AbstractBackend | None = None,
) -> tuple[AbstractSequenceModel, Task, dict[str, Any]]: ...
def build(
    description: specs.AbstractDescription,
    key: PRNGKeyArray | None = None,
    *,
    task: Task | None = None,
    backend: AbstractBackend | None = None,
) -> Any:
    """Makes what a description describes.

    Args:
        description: of a circuit, backend, controller, cell, model, task or run.
        key: PRNG key of the initial weights, for a cell or a model. A model's cell gets
            the first half of ``jax.random.split(key)``, its head the second. A run's
            model has the key of its seed.
        task: where what is ``None`` for "the task's" comes from: sizes, and the kind of
            a model. For a run, its task where that is loaded already.
        backend: one in place of the described one, for a cell, a model or a run.

    Returns:
        an :class:`~tnqrnn.Ansatz`, a backend, a :class:`~tnqrnn.Controller`, a cell, a
        model or a :class:`~tnqrnn.Task`; of a run ``(model, task, arguments)``, so that
        ``fit(model, task, **arguments)`` is the run.

    Raises:
        ValueError: a name that is not registered, a field that the kind does not take
            or cannot do without, a value that its class refuses, or no key; the message
            begins with the field's path.

    >>> import jax, tnqrnn as tq
    >>> cell = tq.specs.Cell(circuit=tq.specs.Circuit(3), input_size=8)
    >>> model = tq.build(tq.specs.Model("classifier", cell, 10), jax.random.key(0))
    >>> model(jax.numpy.ones((5, 8, 8))).shape
    (5, 10)
    >>> run = tq.specs.Run(tq.specs.Task("digits"), tq.specs.Model(None, cell))
    >>> model, task, arguments = tq.build(run)
    >>> model.n_classes, len(task.train), arguments["batch_size"]
    (10, 1257, 64)
    """
    if task is not None:
        check_instance("task", task, Task)
    if isinstance(description, specs.Run):
        return _run(description, key, task, backend)
    if task is not None:
        description = _sized(description, task)
    match description:
        case specs.Circuit():
            return _circuit(description)
        case specs.Backend():
            return _made(_named_class(description, BACKENDS), description)
        case specs.Controller():
            return _made(Controller, description)
        case specs.Task():
            return load_task(description.name, **dict(description.options))
        case specs.Cell() | specs.Model():
            if key is None:
                kind = type(description).__name__
                raise ValueError(f"key must be given to build a {kind}, got None.")
            if isinstance(description, specs.Cell):
                return _cell(description, key, backend)
            return _model(description, key, backend)
    raise ValueError(
        "description must be a Circuit, Backend, Controller, Cell, Model, Task or Run, "
        f"got {type(description).__name__}."
    )


def _run(
    run: specs.Run,
    key: PRNGKeyArray | None,
    task: Task | None,
    backend: AbstractBackend | None,
) -> tuple[AbstractSequenceModel, Task, dict[str, Any]]:
    if key is not None:
        raise ValueError(
            f"key must be left out for a Run, which has a seed, got {key}."
        )
    if task is None:
        with _inside("task"):
            task = build(run.task)
    with _inside("model"):
        key = jax.random.key(run.seed)
        model = build(run.model, key, task=task, backend=backend)
    return model, task, {**_fields(run.training), "seed": run.seed}


def _circuit(description: specs.Circuit) -> Ansatz:
    if description.gates is not None:
        return Ansatz(description.n_qubits, description.gates)
    arguments = _fields(description)
    del arguments["gates"]
    return hardware_efficient(**arguments)


def _cell(
    description: specs.Cell, key: PRNGKeyArray, backend: AbstractBackend | None
) -> AbstractCell:
    cls = _named_class(description, CELLS)
    given: dict[str, Any] = {"key": key}
    if backend is not None and "backend" in arguments_of(cls):
        given["backend"] = check_instance("backend", backend, AbstractBackend)
    cell = _made(cls, description, **given)
    if backend is not None and "backend" not in given:
        return cell.with_backend(backend)  # which says why not
    return cell


def _model(
    description: specs.Model, key: PRNGKeyArray, backend: AbstractBackend | None
) -> AbstractSequenceModel:
    cls = _named_class(description, MODELS)
    keys = jax.random.split(key)
    with _inside("cell"):
        cell = _cell(description.cell, keys[0], backend)
    given = {"cell": cell, "key": keys[1]}
    if description.embedding is not None and "embedding" in arguments_of(cls):
        given["embedding"] = (description.embedding, cell.input_size)
    return _made(cls, description, **given)


def _made(cls: type, description: specs.AbstractDescription, **given: Any) -> Any:
    """An object of a class from the fields of its description.

    Args:
        cls: the class; each field is the argument that :func:`argument_for` says.
        description: of such an object.
        given: arguments that are made already.
    """
    taken = arguments_of(cls)
    arguments = dict(given)
    for field in dataclasses.fields(description):
        if field.name in (NAME_FIELD.get(type(description)), "options"):
            continue
        value = getattr(description, field.name)
        argument = argument_for(field.name, cls)
        if argument is None:
            if value != field.default:
                raise ValueError(
                    f"{field.name} must be left alone, {field.default!r}, for "
                    f"{cls.__name__}, which does not take it, got {value!r}."
                )
        elif argument not in given:
            required = taken[argument].default is taken[argument].empty
            if value is None and required:
                raise ValueError(
                    f"{field.name} must be given to build a {cls.__name__}, as a value "
                    "or, for a size, by task=, got None."
                )
            arguments[argument] = _argument(field.name, value)
    for name, value in dict(getattr(description, "options", {})).items():
        if name not in taken or name in arguments:
            free = sorted(taken.keys() - arguments.keys())
            raise ValueError(
                f"options.{name} must be an argument of {cls.__name__} without a field "
                f"of its own, one of {free}, got {value!r}."
            )
        arguments[name] = value
    return cls(**arguments)


def _argument(name: str, value: Any) -> Any:
    """A field's value as a constructor takes it: parts are built."""
    if not isinstance(value, specs.AbstractDescription):
        return value
    with _inside(name):
        return build(value)  # type: ignore[call-overload]


def _named_class(
    description: specs.AbstractDescription, table: dict[str, type]
) -> type:
    field = NAME_FIELD[type(description)]
    name = getattr(description, field)
    if name not in table:
        raise ValueError(
            f"{field} must be one of {sorted(table)}, or registered by "
            f"tnqrnn.register, got {name!r}."
        )
    return table[name]


def _sized(description: Any, task: Task) -> Any:
    """A description in which the task's sizes stand where ``None`` stood."""
    if isinstance(description, specs.Model):
        if description.kind is None:
            description = dataclasses.replace(description, kind=_kind_for(task))
        sizes = {"n_outputs": description.n_outputs or task.n_outputs}
        if "embedding" in arguments_of(_named_class(description, MODELS)):
            sizes["embedding"] = description.embedding or task.n_tokens
        cell = _sized(description.cell, task)
        return dataclasses.replace(description, cell=cell, **sizes)
    if isinstance(description, specs.Cell):
        input_size = description.input_size or task.input_size
        return dataclasses.replace(description, input_size=input_size)
    return description


def _kind_for(task: Task) -> str:
    """The first kind of model whose first kind of targets is the task's."""
    learns = {name: getattr(cls, "learns", ("",))[0] for name, cls in MODELS.items()}
    return next(name for name, targets in learns.items() if targets == task.kind)


@contextlib.contextmanager
def _inside(name: str) -> Iterator[None]:
    """Puts a part's name before a message that begins with one of its fields."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from error


def _fields(description: specs.AbstractDescription) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(description)]
    return {name: getattr(description, name) for name in names}
