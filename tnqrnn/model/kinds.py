"""The classes that descriptions name, and how fields and arguments correspond.

One rule serves every class: a field of a description is the constructor's argument of
the same name, and an object keeps its arguments as attributes of that name. So a class
enters with one line, its name in a table, and a user's own by :func:`register`.
"""

import dataclasses
import inspect
from typing import Any

from tnqrnn import specs
from tnqrnn.backends import MPS, AbstractBackend, Network, Statevector
from tnqrnn.checks import check_instance
from tnqrnn.model import cells
from tnqrnn.model.base import AbstractCell
from tnqrnn.model.cell import QRNNCell
from tnqrnn.model.heads import (
    LanguageModel,
    SequenceClassifier,
    SequenceLabeler,
    SequenceRegressor,
)
from tnqrnn.model.sequence_model import AbstractSequenceModel

BACKENDS: dict[str, type] = {
    "statevector": Statevector,
    "mps": MPS,
    "network": Network,
}
CELLS: dict[str, type] = {
    "qrnn": QRNNCell,
    "rnn": cells.RNN,
    "gru": cells.GRU,
    "lstm": cells.LSTM,
}
MODELS: dict[str, type] = {
    "classifier": SequenceClassifier,
    "labeler": SequenceLabeler,
    "regressor": SequenceRegressor,
    "language_model": LanguageModel,
}
_TABLES: dict[type, dict[str, type]] = {
    AbstractBackend: BACKENDS,
    AbstractCell: CELLS,
    AbstractSequenceModel: MODELS,
}

NAME_FIELD = {specs.Backend: "name", specs.Cell: "kind", specs.Model: "kind"}
"""The field that holds a name of the tables."""

_OTHER_NAMES = {"circuit": ("ansatz",), "n_outputs": ("n_classes", "n_tokens")}
"""What constructors call a field, if not by its own name."""


def register(name: str, cls: type) -> None:
    """Lets descriptions name a user's own backend, cell or model.

    From then on :func:`tnqrnn.build` and :func:`tnqrnn.describe` know the class, and
    models that hold it are saved and loaded like the library's own. An object of the
    class must keep each argument of its constructor but ``key`` as an attribute of the
    same name. Arguments that a description has no field for are its ``options``.

    Args:
        name: what descriptions call it, in :class:`tnqrnn.specs.Backend` as ``name``,
            in :class:`~tnqrnn.specs.Cell` and :class:`~tnqrnn.specs.Model` as ``kind``.
        cls: a class derived from :class:`tnqrnn.AbstractBackend`,
            :class:`tnqrnn.AbstractCell` or ``tnqrnn.model.AbstractSequenceModel``.

    Raises:
        ValueError: another class, or a name that another class has.

    >>> import jax, tnqrnn as tq
    >>> class Slow(tq.cells.AbstractClassicalCell):
    ...     input_size: int
    ...     hidden_size: int
    ...     rate: jax.Array
    ...     def __init__(self, input_size, hidden_size, *, key):
    ...         self.input_size, self.hidden_size = input_size, hidden_size
    ...         self.rate = jax.random.uniform(key, (hidden_size,))
    ...     def init(self):
    ...         return 0 * self.rate
    ...     def __call__(self, carry, x):
    ...         carry = carry + self.rate * (x.mean() - carry)
    ...         return carry, carry
    >>> tq.register("slow", Slow)
    >>> cell = tq.build(tq.specs.Cell("slow", 3, hidden_size=4), jax.random.key(0))
    >>> tq.unroll(cell, jax.numpy.ones((5, 3))).readouts.shape
    (5, 4)
    """
    check_instance("name", name, str)
    check_instance("cls", cls, type)
    for base, table in _TABLES.items():
        if issubclass(cls, base):
            known = table.setdefault(name, cls)
            if (known.__module__, known.__qualname__) != (
                cls.__module__,
                cls.__qualname__,
            ):
                raise ValueError(
                    f"name must be one that no other class has, got {name!r}, which is "
                    f"{known.__qualname__}."
                )
            table[name] = cls  # a class defined anew, as in a notebook
            return
    bases = [base.__name__ for base in _TABLES]
    raise ValueError(
        f"cls must be derived from one of {bases}, got {cls.__qualname__}."
    )


def name_of(thing: Any) -> str | None:
    """What descriptions call an object's class, ``None`` for an unregistered one."""
    for base, table in _TABLES.items():
        if isinstance(thing, base):
            return next((name for name in table if table[name] is type(thing)), None)
    return None


def is_described(module: Any) -> bool:
    """Whether a model or cell consists of classes that descriptions name.

    A backend need not be: its name and fields are described all the same.
    """
    if name_of(module) is None:
        return False
    parts = [getattr(module, field.name) for field in dataclasses.fields(module)]
    return all(is_described(part) for part in parts if isinstance(part, AbstractCell))


def arguments_of(cls: type) -> dict[str, inspect.Parameter]:
    """What a constructor takes beside a key."""
    parameters = dict(inspect.signature(cls).parameters)
    parameters.pop("key", None)
    return parameters


def argument_for(field: str, cls: type) -> str | None:
    """The argument of a constructor that a field stands for, if it takes any."""
    taken = arguments_of(cls)
    names = (field, *_OTHER_NAMES.get(field, ()))
    return next((name for name in names if name in taken), None)
