"""Parts of a task: samples or a stream, with their checks made once.

Letters: N samples or tokens, T steps, F input features, K numbers. All arrays are
NumPy's.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tnqrnn.checks import check_finite, check_instance, check_real, check_shape
from tnqrnn.tasks.objectives import (
    AbstractObjective,
    Classify,
    LanguageModelling,
    Regress,
)

TARGETS = {
    "classify": "one class a sequence",
    "label": "one class a step",
    "regress": "numbers",
    "language": "the next token",
}
"""What the targets of each kind of split are, in words."""


@dataclass(frozen=True, eq=False)
class Split:
    """Independent samples of one kind: for training, validation or test.

    Attributes:
        inputs: (N, T, F) float32 features, any real array is converted; or (N, T) int32
            token ids, from integers.
        targets: integers, (N,) int32 with one class a sequence or (N, T) int32 with one
            class a step; or real numbers to predict, (N,) or (N, K) a sequence, (N, T)
            or (N, T, K) a step, float32.
        mask: (N, T) float32, how much each step counts, or ``None`` when all count
            alike. Only with targets at every step; each sample has at least one step
            that counts.
        lengths: (N,) int32 in [1, T], the steps of each sample; ``None`` when all have
            T. Later entries of inputs, targets and mask may hold anything: they are
            replaced by 0.
        objective: what is asked of a model; by default :class:`Classify` for integer
            targets, :class:`Regress` for real ones.

    Raises:
        ValueError: a shape, a type or a value breaks one of these rules, there is no
            sample or no step, or an input is NaN or infinite (also once in float32).
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray | None = None
    lengths: np.ndarray | None = None
    objective: Any = None

    def __post_init__(self) -> None:
        inputs = np.asarray(self.inputs)
        # Kinds are told by shape and dtype: nobody names them.
        ids = inputs.ndim == 2 and np.issubdtype(inputs.dtype, np.integer)
        axes = ("N", "T") if ids else ("N", "T", "F")
        try:
            n_samples, n_steps = check_shape("inputs", inputs, axes)[:2]
        except ValueError as error:
            raise ValueError(
                f"{str(error)[:-1]}; integers of shape (N, T) are token ids."
            ) from None
        for axis, size in zip(axes, inputs.shape, strict=True):
            if size == 0:
                raise ValueError(
                    f"inputs must have {axis} >= 1 in their shape "
                    f"({', '.join(axes)}), got {inputs.shape}."
                )
        lengths = self.lengths
        if lengths is not None:
            lengths = _lengths(lengths, n_samples, n_steps)
        padding = _padding(lengths, n_samples, n_steps)
        # Padding may hold anything, NaN too: it is replaced before values are checked.
        inputs = _without(padding, inputs)
        inputs = _ids("inputs", inputs) if ids else _real("inputs", inputs)
        targets = self._checked_targets(padding, n_samples, n_steps)
        mask = self.mask
        if mask is not None:
            mask = _mask(_without(padding, np.asarray(mask)), targets, n_steps)
        objective = self.objective
        if objective is None:
            objective = Regress()
            if targets.dtype == np.int32:
                objective = Classify(max(2, 1 + int(targets.max())))
        check_instance("objective", objective, AbstractObjective)
        changed = {
            "inputs": inputs,
            "targets": targets,
            "mask": mask,
            "lengths": lengths,
            "objective": objective,
        }
        for name, value in changed.items():  # the class is frozen
            object.__setattr__(self, name, value)

    def _checked_targets(
        self, padding: np.ndarray, n_samples: int, n_steps: int
    ) -> np.ndarray:
        targets = np.asarray(self.targets)
        if np.issubdtype(targets.dtype, np.floating):
            if targets.ndim not in (1, 2, 3) or len(targets) != n_samples:
                raise ValueError(
                    f"targets must be of shape ({n_samples},), ({n_samples}, K) or "
                    f"({n_samples}, {n_steps}, K), got {targets.shape}."
                )
            if targets.ndim == 3:
                check_shape("targets", targets, (n_samples, n_steps, "K"))
            if is_a_step(targets, n_steps):
                targets = _without(padding, targets)
            return _real("targets", targets)
        if not np.issubdtype(targets.dtype, np.integer):
            raise ValueError(
                "targets must be integers, classes, or floats, numbers to predict, got "
                f"{targets.dtype} values."
            )
        labelled = targets.ndim == 2
        check_shape("targets", targets, (n_samples, n_steps)[: 1 + labelled])
        if labelled:
            targets = _without(padding, targets)
        return _ids("targets", targets)

    @property
    def weights(self) -> np.ndarray:
        """How much each target counts, float32 of shape (N,) or (N, T)."""
        if not is_a_step(self.targets, self.inputs.shape[1]):
            return np.ones(len(self), np.float32)
        shape = self.inputs.shape[:2]
        weights = np.ones(shape, np.float32) if self.mask is None else self.mask
        return _without(_padding(self.lengths, *shape), weights)

    @property
    def kind(self) -> str:
        """What the targets are: a key of :data:`TARGETS`."""
        if self.targets.dtype != np.int32:
            return "regress"
        return "classify" if self.targets.ndim == 1 else "label"

    @property
    def n_tokens(self) -> int | None:
        """One more than the largest token id; ``None`` for features."""
        return None if self.inputs.ndim == 3 else 1 + int(self.inputs.max())

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class Stream:
    """One long sequence of tokens, of which each is predicted from those before it.

    Attributes:
        tokens: (N,) int32 token ids.
        objective: :class:`LanguageModelling`, with the size of the vocabulary and of a
            window.

    Raises:
        ValueError: tokens that are no integers in [0, n_tokens), or fewer than a window
            and one more.
    """

    tokens: np.ndarray
    objective: LanguageModelling
    kind: ClassVar[str] = "language"

    def __post_init__(self) -> None:
        objective = check_instance("objective", self.objective, LanguageModelling)
        tokens = np.asarray(self.tokens)
        check_shape("tokens", tokens, ("N",))
        if len(tokens) <= objective.window:
            raise ValueError(
                f"tokens must be at least {objective.window + 1}, one more than the "
                f"window of {objective.window} steps, got a stream of {len(tokens)}."
            )
        tokens = _ids("tokens", tokens)
        if tokens.max() >= objective.n_tokens:
            raise ValueError(
                f"tokens must be < n_tokens = {objective.n_tokens}, got {tokens.max()}."
            )
        object.__setattr__(self, "tokens", tokens)

    @property
    def n_tokens(self) -> int:
        """Size of the vocabulary."""
        return self.objective.n_tokens

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens)


def is_a_step(targets: np.ndarray, n_steps: int) -> bool:
    """Whether targets are given at every step, (N, T) or (N, T, K)."""
    return targets.ndim == 3 or (targets.ndim == 2 and targets.shape[1] == n_steps)


def _lengths(lengths: Any, n_samples: int, n_steps: int) -> np.ndarray:
    array = np.asarray(lengths)
    check_shape("lengths", array, (n_samples,))
    integral = np.issubdtype(array.dtype, np.integer)
    if not integral or array.min() < 1 or array.max() > n_steps:
        got = f"values from {array.min()} to {array.max()}" if integral else array.dtype
        raise ValueError(f"lengths must be integers in [1, {n_steps}], got {got}.")
    return array.astype(np.int32)


def _padding(lengths: np.ndarray | None, n_samples: int, n_steps: int) -> np.ndarray:
    """Which steps come after a sample's last one, bool of shape (N, T)."""
    if lengths is None:
        return np.zeros((n_samples, n_steps), bool)
    return np.arange(n_steps)[None, :] >= lengths[:, None]


def _without(padding: np.ndarray, array: np.ndarray) -> np.ndarray:
    """The array with 0 in place of whatever stands in padding; itself without any."""
    if array.shape[:2] != padding.shape or not padding.any():
        return array
    spread = padding.reshape(*padding.shape, *(1,) * (array.ndim - 2))
    return np.where(spread, np.zeros((), array.dtype), array)


def _mask(mask: np.ndarray, targets: np.ndarray, n_steps: int) -> np.ndarray:
    if not is_a_step(targets, n_steps):
        raise ValueError(
            "mask must be None unless targets are given at every step, "
            f"got targets of shape {targets.shape}."
        )
    array = _real("mask", mask)
    check_shape("mask", array, targets.shape[:2])
    if array.min() < 0 or not (array.sum(axis=1) > 0).all():
        raise ValueError(
            "mask must be >= 0 with a step that counts in every sample, got a "
            f"minimum of {array.min():g} and a smallest sum over steps of "
            f"{array.sum(axis=1).min():g}."
        )
    return array


def _ids(name: str, values: np.ndarray) -> np.ndarray:
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got {values.dtype} values.")
    if values.min() < 0:
        raise ValueError(f"{name} must be >= 0, got {values.min()}.")
    if values.max() >= 2**31:
        raise ValueError(f"{name} must be < 2^31, got {values.max()}.")
    return values.astype(np.int32)


def _real(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    check_real(name, array)
    check_finite(name, array)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    check_finite(f"{name} in float32", array)
    return array
