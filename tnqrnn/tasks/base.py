"""Data to learn from: arrays with their checks made once, when they are put together.

Letters: N samples, T steps, F input features, C classes. All arrays are NumPy's; a task
knows nothing of qubits and starts no device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tnqrnn.checks import check_finite, check_int, check_real, check_shape

Arrays = Sequence[Any]


@dataclass(frozen=True, eq=False)
class Split:
    """Samples of one kind: for training, validation or test.

    Attributes:
        inputs: (N, T, F) float32; any real array is converted.
        targets: (N,) int32, one class a sequence, or (N, T) int32, one class a step.
        mask: (N, T) float32, how much each step counts in loss and accuracy, or
            ``None`` when all count alike. Only with targets at every step; each sample
            has at least one step that counts.

    Raises:
        ValueError: a shape, a type or a value breaks one of these rules, there is no
            sample or no step, or an input is NaN or infinite (also once in float32).
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        inputs = _real("inputs", self.inputs)
        n_samples, n_steps, _ = check_shape("inputs", inputs, ("N", "T", "F"))
        for axis, size in zip(("N", "T", "F"), inputs.shape, strict=True):
            if size == 0:
                raise ValueError(
                    f"inputs must have {axis} >= 1 in their shape (N, T, F), "
                    f"got {inputs.shape}."
                )
        targets = np.asarray(self.targets)
        if not np.issubdtype(targets.dtype, np.integer):
            raise ValueError(f"targets must be integers, got {targets.dtype} values.")
        labelled = targets.ndim == 2
        check_shape("targets", targets, (n_samples, n_steps)[: 1 + labelled])
        if targets.min() < 0:
            raise ValueError(f"targets must be >= 0, got {targets.min()}.")
        if targets.max() >= 2**31:
            raise ValueError(f"targets must be < 2^31, got {targets.max()}.")
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "targets", targets.astype(np.int32))
        if self.mask is None:
            return
        if not labelled:
            raise ValueError(
                "mask must be None unless targets are given at every step, "
                f"got targets of shape {targets.shape}."
            )
        mask = _real("mask", self.mask)
        check_shape("mask", mask, (n_samples, n_steps))
        if mask.min() < 0 or not (mask.sum(axis=1) > 0).all():
            raise ValueError(
                "mask must be >= 0 with a step that counts in every sample, got a "
                f"minimum of {mask.min():g} and a smallest sum over steps of "
                f"{mask.sum(axis=1).min():g}."
            )
        object.__setattr__(self, "mask", mask)

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class Task:
    """What a model is trained, selected and judged on.

    Attributes:
        name: what messages and records call it.
        train: samples for the gradient.
        valid: samples to choose the checkpoint by.
        test: samples that training never looks at.
        n_classes: C; all targets are below it.
        options: what the task was loaded with.
        source: where the data or the protocol comes from.
        baseline: the loss in nats of a model without memory, where it is known.

    Raises:
        ValueError: the splits differ in features or kind, or a target is >= C.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    n_classes: int
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    baseline: float | None = None

    def __post_init__(self) -> None:
        check_int("n_classes", self.n_classes, minimum=2)
        for name, split in self.splits.items():
            check_shape(f"{name} inputs", split.inputs, ("N", "T", self.input_size))
            if split.targets.ndim != self.train.targets.ndim:
                raise ValueError(
                    f"{name} targets must have as many axes as train targets "
                    f"({self.train.targets.ndim}), got {split.targets.ndim}."
                )
            if split.targets.max() >= self.n_classes:
                raise ValueError(
                    f"{name} targets must be < n_classes = {self.n_classes}, "
                    f"got {split.targets.max()}."
                )

    @property
    def splits(self) -> dict[str, Split]:
        """``train``, ``valid`` and ``test`` by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    @property
    def kind(self) -> Literal["classify", "label"]:
        """``classify``: one class a sequence; ``label``: one class a step."""
        return "classify" if self.train.targets.ndim == 1 else "label"

    @property
    def input_size(self) -> int:
        """F, the features of an input at one step."""
        return self.train.inputs.shape[2]

    @classmethod
    def from_arrays(
        cls,
        train: Arrays,
        valid: Arrays,
        test: Arrays,
        *,
        n_classes: int | None = None,
        name: str = "custom",
        source: str = "",
    ) -> "Task":
        """A task from a user's own arrays.

        Args:
            train: ``(inputs, targets)`` or ``(inputs, targets, mask)``, with the shapes
                that :class:`Split` names.
            valid: the same for validation.
            test: the same for the test.
            n_classes: C; by default one more than the largest target of all splits.
            name: what messages and records call it.
            source: where the data comes from.

        Raises:
            ValueError: an array breaks a rule of :class:`Split` or :class:`Task`; the
                message starts with the split.

        >>> xs, ys = np.zeros((6, 5, 2)), np.array([0, 1, 2, 0, 1, 2])
        >>> task = Task.from_arrays((xs, ys), (xs, ys), (xs, ys))
        >>> task.kind, task.n_classes, task.input_size
        ('classify', 3, 2)
        """
        splits = {}
        for part, arrays in {"train": train, "valid": valid, "test": test}.items():
            if len(arrays) not in (2, 3):
                raise ValueError(
                    f"{part} must be (inputs, targets) or (inputs, targets, mask), "
                    f"got {len(arrays)} entries."
                )
            try:
                splits[part] = Split(*arrays)
            except ValueError as error:
                raise ValueError(f"{part}: {error}") from error
        if n_classes is None:
            n_classes = 1 + max(int(split.targets.max()) for split in splits.values())
        return cls(
            name=name,
            train=splits["train"],
            valid=splits["valid"],
            test=splits["test"],
            n_classes=n_classes,
            source=source,
        )


def _real(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    check_real(name, array)
    check_finite(name, array)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    check_finite(f"{name} in float32", array)
    return array
