"""Checkpoints: the state of a training run after an epoch, in one file.

A file is a line that names the format, a line with the SHA-256 of all that follows, a
line of JSON (configuration, epoch, history) and the leaves of model and optimiser state
as equinox serialises them. A folder holds ``last.ckpt`` and ``best.ckpt``. The first is
written first: if a run dies between the two, the last epoch is the best one and nothing
is lost.
"""

import hashlib
import io
import os
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from tnqrnn.records import RecordError, from_json, to_json, write_atomic
from tnqrnn.tasks import Task
from tnqrnn.training.batches import Model
from tnqrnn.training.history import History, best_epoch

_FORMAT = b"tnqrnn checkpoint 1\n"


@dataclass(frozen=True)
class Checkpoint:
    """A training run after an epoch.

    Attributes:
        model: as it was then.
        opt_state: the optimiser's state.
        epoch: finished epochs.
        history: one list a quantity, one entry an epoch.
    """

    model: Model
    opt_state: Any
    epoch: int
    history: History


class CheckpointFolder:
    """The ``last.ckpt`` and ``best.ckpt`` of one configuration.

    Args:
        directory: made if it is missing.
        config: what the run depends on, see :func:`describe`. A file made with another
            one is refused.
    """

    def __init__(self, directory: str | os.PathLike, config: dict[str, Any]):
        self.last = Path(directory) / "last.ckpt"
        self.best = Path(directory) / "best.ckpt"
        self._config = config
        self.last.parent.mkdir(parents=True, exist_ok=True)

    def save(self, state: Checkpoint) -> None:
        """Writes ``last.ckpt``, and ``best.ckpt`` if the last epoch is the best."""
        data = self._encode(state)
        write_atomic(self.last, data)
        if best_epoch(state.history) == state.epoch:
            write_atomic(self.best, data)

    def load(self, start: Checkpoint) -> tuple[Checkpoint, Model]:
        """The run as it was left, and its best model; ``start`` if there is none.

        Args:
            start: the run before its first epoch, whose structure the files share.

        Raises:
            RecordError: a file is corrupt, cut short, missing beside the other, or of
                another configuration.
        """
        if not self.last.exists():
            return start, start.model
        state = self._decode(self.last, start)
        chosen = best_epoch(state.history)
        if chosen == state.epoch:
            write_atomic(self.best, self.last.read_bytes())
            return state, state.model
        if not self.best.exists():
            raise RecordError(self.best, f"it is missing beside {self.last.name}")
        best = self._decode(self.best, start)
        if best.epoch != chosen:
            reason = f"it holds epoch {best.epoch}, by {self.last.name} the best is "
            raise RecordError(self.best, f"{reason}{chosen}")
        return state, best.model

    def _encode(self, state: Checkpoint) -> bytes:
        header = {
            "config": self._config,
            "epoch": state.epoch,
            "history": state.history,
        }
        content = io.BytesIO()
        content.write(to_json(header).encode() + b"\n")
        eqx.tree_serialise_leaves(content, (state.model, state.opt_state))
        digest = hashlib.sha256(content.getbuffer()).hexdigest()
        return _FORMAT + digest.encode() + b"\n" + content.getvalue()

    def _decode(self, path: Path, like: Checkpoint) -> Checkpoint:
        data = path.read_bytes()
        if not data.startswith(_FORMAT):
            raise RecordError(path, "it is no checkpoint of this format, or cut short")
        digest, _, content = data.removeprefix(_FORMAT).partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            raise RecordError(path, "it is cut short or altered (checksum differs)")
        file = io.BytesIO(content)
        header = from_json(file.readline())
        self._check_config(path, header["config"])
        model, opt_state = eqx.tree_deserialise_leaves(
            file, (like.model, like.opt_state)
        )
        return Checkpoint(model, opt_state, header["epoch"], header["history"])

    def _check_config(self, path: Path, there: dict[str, Any]) -> None:
        here = from_json(to_json(self._config))
        differing = [
            f"{key} is {reprlib.repr(there.get(key))} there and "
            f"{reprlib.repr(here.get(key))} here"
            for key in sorted(here.keys() | there.keys())
            if there.get(key) != here.get(key)
        ]
        if differing:
            raise RecordError(
                path, "it belongs to another configuration: " + "; ".join(differing)
            )


def describe(start: Checkpoint, task: Task, settings: dict[str, Any]) -> dict[str, Any]:
    """What the result of a run depends on, as JSON values.

    Structures and arrays enter by digest: the model's layout and static fields, its
    starting parameters, the layout of the optimiser's state, training and validation
    data. The hyperparameters of a user's own optimiser are functions and do not enter.

    Args:
        start: the run before its first epoch.
        task: what it learns.
        settings: the run's own arguments.
    """
    data = [
        array
        for split in (task.train, task.valid)
        for array in (split.inputs, split.targets, split.mask)
    ]
    return settings | {
        "model": _layout_digest(start.model),
        "starting parameters": _array_digest(jax.tree.leaves(start.model)),
        "optimizer state": _layout_digest(start.opt_state),
        "task": task.name,
        "n_classes": task.n_classes,
        "data": _array_digest(data),
    }


def _layout_digest(tree: Any) -> str:
    text = re.sub(r" at 0x[0-9a-f]+", "", eqx.tree_pformat(tree))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _array_digest(leaves: list[Any]) -> str:
    digest = hashlib.sha256()
    for leaf in filter(eqx.is_array_like, leaves):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
