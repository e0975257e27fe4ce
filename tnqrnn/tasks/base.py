"""Data to learn from, put together for training, validation and test.

Letters: N samples, T steps, F input features, C classes. A task knows nothing of qubits
and starts no device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tnqrnn.checks import check_int, check_shape
from tnqrnn.tasks.objectives import AbstractObjective, Classify, LanguageModelling
from tnqrnn.tasks.splits import Split, Stream

Arrays = Sequence[Any] | Mapping[str, Any]
_NAMES = ("inputs", "targets", "mask", "lengths")


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
    train: Any
    valid: Any
    test: Any
    n_classes: Any = None
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
        n_classes = 0
        if classes:
            n_classes = check_int("n_classes", self.n_classes, minimum=2)
        elif self.n_classes is not None:
            raise ValueError(
                f"n_classes must be None for float targets, got {self.n_classes!r}."
            )
        ids = self.train.inputs.ndim == 2
        if ids and self.n_tokens is None:
            most = max(split.n_tokens for split in self.splits.values())
            object.__setattr__(self, "n_tokens", most)
        for name, split in self.splits.items():
            axes: tuple = ("N", "T") if ids else ("N", "T", self.input_size)
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
            if classes and split.targets.max() >= n_classes:
                raise ValueError(
                    f"{name} targets must be < n_classes = {n_classes}, "
                    f"got {split.targets.max()}."
                )
            if isinstance(split.objective, Classify):
                # All splits ask for the logits of all classes of the task.
                objective = Classify(n_classes)
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
        """What the targets are.

        ``classify``: one class a sequence; ``label``: one class a step; ``regress``:
        numbers; ``language``: the next token of a stream.
        """
        return self.train.kind

    @property
    def input_size(self) -> Any:
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
        carry: bool = True,
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
            carry: whether a window starts where the one before it ended
                (:class:`LanguageModelling`).
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
        objective = LanguageModelling(n_tokens, window, unit, carry)
        splits = {}
        for part, tokens in streams.items():
            try:
                splits[part] = Stream(tokens, objective)
            except ValueError as error:
                raise ValueError(f"{part}: {error}") from error
        return cls(
            name=name,
            train=splits["train"],
            valid=splits["valid"],
            test=splits["test"],
            source=source,
            vocabulary=vocabulary,
        )


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
