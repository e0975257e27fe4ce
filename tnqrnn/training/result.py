"""What a call of :func:`tnqrnn.fit` gives, also when it is interrupted."""

from dataclasses import dataclass

from tnqrnn.training.history import History
from tnqrnn.training.programs import Model


@dataclass(frozen=True)
class FitResult:
    """What :func:`fit` returns.

    Attributes:
        model: the model after ``best_epoch``; the one given, if no epoch has ended.
        last: the model after the last step.
        history: one list a quantity with one float an epoch: ``train_loss`` (mean over
            the epoch's steps), ``valid_loss`` and the other scores of the task on the
            validation split after the epoch, ``valid_accuracy``, say,
            ``gradient_norm_mean`` and ``gradient_norm_max`` (global norms over the
            epoch's steps, before clipping), ``seconds`` (the epoch's steps alone,
            without compilation and validation).
        best_epoch: the epoch, counted from 1, with the best validation score, of equal
            ones the latest; 0 if no epoch has ended.
        seconds_per_step: median over epochs of ``seconds`` per step.
        compile_seconds: what tracing and compiling took in this call; near 0 when an
            earlier call left the programs behind.
    """

    model: Model
    last: Model
    history: History
    best_epoch: int
    seconds_per_step: float
    compile_seconds: float


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C ended :func:`fit`; the message says what is kept and how to go on.

    Attributes:
        result: the run so far as a :class:`FitResult`.
    """

    def __init__(self, message: str, result: FitResult) -> None:
        super().__init__(message)
        self.result = result
