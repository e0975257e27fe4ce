"""Looking on while a model trains: callbacks, and loggers.

A callback is any function of one :class:`Progress`; it is called between two chunks of
steps, about once a second, and after every epoch. A logger is any object with three
methods (:class:`Logger`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        epoch: the epoch that runs or has just ended, counted from 1.
        epochs: how many there will be.
        step: finished steps over the whole run.
        steps: how many there will be.
        loss: of the last step, before its update; at an epoch's end its mean.
        gradient_norm: of the last step, before clipping; at an epoch's end the mean.
        scores: on the validation split, at the end of an epoch; else empty.
        model: as it is now.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    gradient_norm: float
    scores: Mapping[str, float]
    model: Any


Callback = Callable[[Progress], bool | None]
"""Looks at the run; ``True`` ends it at once. An epoch it breaks off is not scored."""


@runtime_checkable
class Logger(Protocol):
    """What :func:`tnqrnn.fit` asks of a logger."""

    def start(self, settings: Mapping[str, Any]) -> None:
        """Called once before the first step, with what the run depends on."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Called with numbers by name after ``step`` steps of the whole run.

        During an epoch ``loss`` and ``gradient_norm`` of the last step, at its end the
        epoch's entry of ``history``.
        """

    def finish(self) -> None:
        """Called once at the end, also after an error or Ctrl-C."""


def check_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """The callbacks, if all of them can be called.

    Raises:
        ValueError: one cannot.
    """
    for i, callback in enumerate(_listed("callbacks", callbacks)):
        if not callable(callback):
            raise ValueError(
                f"callbacks[{i}] must be a function of one Progress, got {callback!r}."
            )
    return tuple(callbacks)


def check_loggers(loggers: Sequence[Logger]) -> tuple[Logger, ...]:
    """The loggers, if all of them have the three methods.

    Raises:
        ValueError: one lacks a method.
    """
    for i, logger in enumerate(_listed("loggers", loggers)):
        if not isinstance(logger, Logger) or isinstance(logger, type):
            raise ValueError(
                f"loggers[{i}] must have the methods start, log and finish, "
                f"got {logger!r}."
            )
    return tuple(loggers)


def _listed(name: str, values: Any) -> Sequence[Any]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{name} must be a sequence, got {values!r}.")
    return values


def wants_to_stop(callbacks: Sequence[Callback], progress: Progress) -> bool:
    """Whether a callback ends the run.

    Raises:
        ValueError: one gave something else than ``None``, ``True`` or ``False``.
    """
    answers = []
    for i, callback in enumerate(callbacks):
        answer = callback(progress)
        if answer is not None and not isinstance(answer, bool):
            raise ValueError(
                f"callbacks[{i}] must return None, True to stop, or False, "
                f"got {answer!r}."
            )
        answers.append(answer)
    return any(answers)


class LoggerError(ValueError, RuntimeError):
    """A logger raised; the message says which, where, and what is kept.

    Attributes:
        result: the run so far as a :class:`tnqrnn.training.FitResult`.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result
