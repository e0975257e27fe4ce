"""What the result of a training run depends on, as plain values.

A checkpoint holds them, so that a run is never resumed as another one. Structures enter
by value, large arrays by digest.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from tnqrnn.layout import layout
from tnqrnn.tasks import Stream, Task


def identity(
    model: Any, opt_state: Any, task: Task, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What a run's result depends on, as JSON values.

    Args:
        model: before the first step.
        opt_state: the optimiser's state then.
        task: what it learns; the test split does not enter.
        settings: the run's own arguments.
    """
    data = []
    for split in (task.train, task.valid):
        data += (
            [split.tokens]
            if isinstance(split, Stream)
            else [split.inputs, split.targets, split.mask, split.lengths]
        )
    return dict(settings) | {
        "model": layout(model),
        "starting parameters": array_digest(jax.tree.leaves(model)),
        "optimizer state": layout(jax.tree.leaves(opt_state)),
        "task": task.name,
        "objective": layout(task.objective),
        "data": array_digest(data),
    }


def array_digest(leaves: list[Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of arrays, their shapes and dtypes."""
    digest = hashlib.sha256()
    for leaf in filter(eqx.is_array_like, leaves):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
