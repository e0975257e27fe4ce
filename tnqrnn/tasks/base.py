"""Data to learn from: arrays with their checks made once, when they are put together.

Letters: N samples, T steps, F input features, C classes, K numbers. All arrays are
NumPy's; a task knows nothing of qubits and starts no device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from tnqrnn.checks import (
    check_finite,
    check_instance,
    check_int,
    check_real,
    check_shape,
)
from tnqrnn.tasks.objectives import (
    AbstractObjective,
    Classify,
    LanguageModelling,
    Regress,
)

Arrays = Sequence[Any] | Mapping[str, Any]
_NAMES = ("inputs", "targets", "mask", "lengths")

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
    objective: AbstractObjective | None = None

    def __post_init__(self) -> None:
        inputs = np.asarray(self.inputs)
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
        for name, value in changed.items():
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
            if _is_a_step(targets, n_steps):
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
        if not _is_a_step(self.targets, self.inputs.shape[1]):
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


AnySplit = Split | Stream


@dataclass(frozen=True, eq=False)
class Task:
    """What a model is trained, selected and judged on.

    Attributes:
        name: what messages and records call it.
        train: samples for the gradient.
        valid: samples to choose the checkpoint by.
        test: samples that training never looks at.
        n_classes: C, the logits a model gives; all classes are below it. ``None`` for
            numbers to predict.
        n_tokens: token ids of inputs are below it; ``None`` for features.
        options: what the task was loaded with.
        source: where the data or the protocol comes from.
        baseline: the loss in nats of a model without memory, where it is known.
        vocabulary: what each token id stands for, where it is known.

    Raises:
        ValueError: the splits differ in features or kind, a class is >= C, or a token
            id >= n_tokens.
    """

    name: str
    train: AnySplit
    valid: AnySplit
    test: AnySplit
    n_classes: int | None = None
    n_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    baseline: float | None = None
    vocabulary: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        kinds = {type(split) for split in self.splits.values()}
        if len(kinds) > 1:
            names = sorted(kind.__name__ for kind in kinds)
            raise ValueError(f"splits must be of one type, got {', '.join(names)}.")
        if isinstance(self.train, Stream):
            object.__setattr__(self, "n_tokens", self.train.n_tokens)
            object.__setattr__(self, "n_classes", self.train.n_tokens)
            self._check_streams()
        else:
            self._check_samples()

    def _check_streams(self) -> None:
        for name, split in self.splits.items():
            if split.n_tokens != self.n_tokens:
                raise ValueError(
                    f"{name} must have the {self.n_tokens} tokens of train, "
                    f"got {split.n_tokens}."
                )

    def _check_samples(self) -> None:
        classes = self.train.targets.dtype == np.int32
        if classes:
            check_int("n_classes", self.n_classes, minimum=2)
        elif self.n_classes is not None:
            raise ValueError(
                f"n_classes must be None for float targets, got {self.n_classes!r}."
            )
        ids = self.train.inputs.ndim == 2
        if ids and self.n_tokens is None:
            most = max(split.n_tokens for split in self.splits.values())
            object.__setattr__(self, "n_tokens", most)
        for name, split in self.splits.items():
            axes = ("N", "T") if ids else ("N", "T", self.input_size)
            check_shape(f"{name} inputs", split.inputs, axes)
            if ids and split.n_tokens > self.n_tokens:
                raise ValueError(
                    f"{name} inputs must be token ids < n_tokens = {self.n_tokens}, "
                    f"got {split.inputs.max()}."
                )
            if split.targets.ndim != self.train.targets.ndim:
                raise ValueError(
                    f"{name} targets must have as many axes as train targets "
                    f"({self.train.targets.ndim}), got {split.targets.ndim}."
                )
            if split.targets.dtype != self.train.targets.dtype:
                raise ValueError(
                    f"{name} targets must be {self.train.targets.dtype} as train "
                    f"targets are, got {split.targets.dtype}."
                )
            if classes and split.targets.max() >= self.n_classes:
                raise ValueError(
                    f"{name} targets must be < n_classes = {self.n_classes}, "
                    f"got {split.targets.max()}."
                )
            if isinstance(split.objective, Classify):
                # All splits ask for the logits of all classes of the task.
                objective = Classify(self.n_classes)
                object.__setattr__(self, name, replace(split, objective=objective))

    @property
    def splits(self) -> dict[str, Any]:
        """``train``, ``valid`` and ``test`` by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    @property
    def objective(self) -> AbstractObjective:
        """What is asked of a model: batches, loss and scores."""
        return self.train.objective

    @property
    def kind(self) -> str:
        """What the targets are: ``classify``, one class a sequence; ``label``, one
        class a step; ``regress``, numbers; ``language``, the next token of a stream.
        """
        return self.train.kind

    @property
    def input_size(self) -> int | None:
        """F, the features of an input at one step; ``None`` for token ids."""
        if isinstance(self.train, Stream) or self.train.inputs.ndim == 2:
            return None
        return self.train.inputs.shape[2]

    @property
    def n_outputs(self) -> int:
        """The size of what a model gives: C classes, or K numbers."""
        if self.n_classes is not None:
            return self.n_classes
        targets = self.train.targets
        n_steps = self.train.inputs.shape[1]
        single = targets.ndim == 1 or targets.shape[1:] == (n_steps,)
        return 1 if single else targets.shape[-1]

    @classmethod
    def from_arrays(
        cls,
        train: Arrays,
        valid: Arrays,
        test: Arrays,
        *,
        n_classes: int | None = None,
        n_tokens: int | None = None,
        objective: AbstractObjective | None = None,
        name: str = "custom",
        source: str = "",
    ) -> "Task":
        """A task from a user's own arrays.

        Args:
            train: ``(inputs, targets)``, ``(inputs, targets, mask)``, or a mapping with
                ``inputs``, ``targets`` and, if wanted, ``mask`` and ``lengths``, with
                the shapes that :class:`Split` names. Integer inputs (N, T) are token
                ids; float targets are numbers to predict.
            valid: the same for validation.
            test: the same for the test.
            n_classes: C; by default one more than the largest class of all splits.
            n_tokens: size of the vocabulary; by default one more than the largest id.
            objective: what is asked of a model, in place of the default.
            name: what messages and records call it.
            source: where the data comes from.

        Raises:
            ValueError: an array breaks a rule of :class:`Split` or :class:`Task`; the
                message starts with the split.

        >>> xs, ys = np.zeros((6, 5, 2)), np.array([0, 1, 2, 0, 1, 2])
        >>> task = Task.from_arrays((xs, ys), (xs, ys), (xs, ys))
        >>> task.kind, task.n_classes, task.input_size
        ('classify', 3, 2)
        >>> sentences = {"inputs": [[3, 1, 2], [4, 0, 0]], "targets": [1, 0],
        ...              "lengths": [3, 1]}
        >>> task = Task.from_arrays(sentences, sentences, sentences)
        >>> task.n_tokens, task.input_size
        (5, None)
        """
        splits = {}
        for part, arrays in {"train": train, "valid": valid, "test": test}.items():
            named = _named(part, arrays)
            try:
                splits[part] = Split(**named, objective=objective)
            except ValueError as error:
                raise ValueError(f"{part}: {error}") from error
        targets = [split.targets for split in splits.values()]
        if n_classes is None and all(array.dtype == np.int32 for array in targets):
            n_classes = max(2, 1 + max(int(array.max()) for array in targets))
        return cls(
            name=name,
            train=splits["train"],
            valid=splits["valid"],
            test=splits["test"],
            n_classes=n_classes,
            n_tokens=n_tokens,
            source=source,
        )

    @classmethod
    def from_stream(
        cls,
        train: Any,
        valid: Any,
        test: Any,
        *,
        n_tokens: int | None = None,
        window: int = 100,
        unit: str = "character",
        name: str = "custom",
        source: str = "",
        vocabulary: tuple[str, ...] | None = None,
    ) -> "Task":
        """A language modelling task from one stream of token ids a split.

        Args:
            train: (N,) integers.
            valid: the same for validation.
            test: the same for the test.
            n_tokens: size of the vocabulary; by default one more than the largest id.
            window: W, steps between two truncations of the gradient.
            unit: what a token is, ``"character"`` or ``"word"``.
            name: what messages and records call it.
            source: where the data comes from.
            vocabulary: what each token id stands for.

        Raises:
            ValueError: a stream breaks a rule of :class:`Stream`; the message starts
                with the split.

        >>> task = Task.from_stream([0, 1] * 50, [1, 0] * 9, [0, 1] * 9, window=8)
        >>> task.kind, task.n_tokens
        ('language', 2)
        """
        streams = {"train": train, "valid": valid, "test": test}
        if n_tokens is None:
            most = [int(np.max(tokens, initial=0)) for tokens in streams.values()]
            n_tokens = max(2, 1 + max(most))
        objective = LanguageModelling(n_tokens, window, unit)
        splits = {}
        for part, tokens in streams.items():
            try:
                splits[part] = Stream(tokens, objective)
            except ValueError as error:
                raise ValueError(f"{part}: {error}") from error
        return cls(name=name, source=source, vocabulary=vocabulary, **splits)


def _named(part: str, arrays: Arrays) -> dict[str, Any]:
    """The arrays of a split by name."""
    if isinstance(arrays, Mapping):
        unknown = sorted(map(str, set(arrays) - set(_NAMES)))
        if unknown or not {"inputs", "targets"} <= set(arrays):
            raise ValueError(
                f"{part} must be a mapping with inputs and targets, and mask and "
                f"lengths if wanted, got the keys {sorted(map(str, arrays))}."
            )
        return dict(arrays)
    if not isinstance(arrays, Sequence) or len(arrays) not in (2, 3):
        got = f"{len(arrays)} entries" if isinstance(arrays, Sequence) else repr(arrays)
        raise ValueError(
            f"{part} must be (inputs, targets) or (inputs, targets, mask), or a "
            f"mapping of {', '.join(_NAMES)}, got {got}."
        )
    return dict(zip(_NAMES, arrays, strict=False))


def _is_a_step(targets: np.ndarray, n_steps: int) -> bool:
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
    if not _is_a_step(targets, n_steps):
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
