"""Checkpoints: the state of a training run between two steps, in one file.

A file is a line that names the format, a line with the SHA-256 of all that follows, a
line of JSON (identity, epoch, step, history) and the leaves of the run's state as
equinox serialises them. A folder holds ``last.ckpt`` and ``best.ckpt``. At the end of
an epoch the first is written first: if a run dies between the two, the last epoch is
the best one and nothing is lost.
"""

import hashlib
import io
import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import filelock
import jax
import jax.numpy as jnp

from tnqrnn.layout import difference
from tnqrnn.records import RecordError, from_json, to_json, write_atomic
from tnqrnn.tasks import AbstractObjective
from tnqrnn.training.history import History, best_epoch
from tnqrnn.training.programs import Model, Running

_FORMAT = b"tnqrnn checkpoint 2\n"
_OLDER = b"tnqrnn checkpoint 1\n"


@dataclass(frozen=True)
class Checkpoint:
    """A training run between two steps.

    Attributes:
        running: model, optimiser's state, carry, and what this epoch's steps measured.
        epoch: finished epochs.
        step: finished steps of the epoch that runs.
        seconds: what they took.
        history: one list a quantity, one entry an epoch.
    """

    running: Running
    epoch: int
    step: int
    seconds: float
    history: History


class CheckpointFolder:
    """The ``last.ckpt`` and ``best.ckpt`` of one run.

    While it is open no other run may write there: a file ``.lock`` is held, which the
    system releases however a process ends.

    Args:
        directory: made if it is missing.
        identity: what the run depends on, see
            :func:`tnqrnn.training.identity.identity`. A file made with another one is
            refused.
        objective: says which epoch is the best.

    Raises:
        ValueError: another run holds the folder.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        identity: dict[str, Any],
        objective: AbstractObjective,
    ):
        self.last = Path(directory) / "last.ckpt"
        self.best = Path(directory) / "best.ckpt"
        self._identity = from_json(to_json(identity))
        self._objective = objective
        self._holds: tuple[int, int] | None = None
        self.last.parent.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.last.with_name(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise ValueError(
                "directory must not be in use by another run, got "
                f"{str(directory)!r}, which is."
            ) from None

    def close(self) -> None:
        """Lets other runs write there."""
        self._lock.release()

    def save(self, state: Checkpoint) -> None:
        """Writes ``last.ckpt``, and ``best.ckpt`` if the best epoch has just ended."""
        data = self._encode(state)
        write_atomic(self.last, data)
        self._holds = (state.epoch, state.step)
        if state.step == 0 and self._best_epoch(state) == state.epoch:
            write_atomic(self.best, data)

    def load(self, start: Checkpoint) -> tuple[Checkpoint, Model]:
        """The run as it was left, and its best model; ``start`` if there is none.

        Args:
            start: the run before its first step, whose structure the files share.

        Raises:
            RecordError: a file is corrupt, cut short, missing beside the other, or of
                another run.
        """
        if not self.last.exists():
            return start, start.running.model
        state = self._decode(self.last, start)
        self._holds = (state.epoch, state.step)
        chosen = self._best_epoch(state)
        if chosen == 0:
            return state, start.running.model
        if chosen == state.epoch and state.step == 0:
            write_atomic(self.best, self.last.read_bytes())
            return state, state.running.model
        if not self.best.exists():
            raise RecordError(self.best, f"it is missing beside {self.last.name}")
        best = self._decode(self.best, start)
        if best.epoch != chosen:
            reason = f"it holds epoch {best.epoch}, by {self.last.name} the best is "
            raise RecordError(self.best, f"{reason}{chosen}")
        return state, best.running.model

    def kept(self) -> str:
        """A sentence on what the folder holds."""
        if self._holds is None:
            return "No checkpoint has been written."
        epoch, step = self._holds
        rest = f" and {step} steps of the next" if step else ""
        return f"{self.last} holds epoch {epoch}{rest}."

    def _best_epoch(self, state: Checkpoint) -> int:
        return best_epoch(state.history, self._objective)

    def _encode(self, state: Checkpoint) -> bytes:
        header = {
            "identity": self._identity,
            "epoch": state.epoch,
            "step": state.step,
            "seconds": state.seconds,
            "history": state.history,
        }
        content = io.BytesIO()
        content.write(to_json(header).encode() + b"\n")
        eqx.tree_serialise_leaves(content, _without_keys(state.running))
        digest = hashlib.sha256(content.getbuffer()).hexdigest()
        return _FORMAT + digest.encode() + b"\n" + content.getvalue()

    def _decode(self, path: Path, like: Checkpoint) -> Checkpoint:
        data = path.read_bytes()
        if data.startswith(_OLDER):
            raise RecordError(path, "it was written by tnqrnn 0.1: start anew")
        if not data.startswith(_FORMAT):
            raise RecordError(path, "it is no checkpoint of this format, or cut short")
        digest, _, content = data.removeprefix(_FORMAT).partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            raise RecordError(path, "it is cut short or altered (checksum differs)")
        file = io.BytesIO(content)
        header = from_json(file.readline())
        self._check_identity(path, header["identity"])
        plain = eqx.tree_deserialise_leaves(file, _without_keys(like.running))
        return Checkpoint(
            _with_keys(plain, like.running),
            header["epoch"],
            header["step"],
            header["seconds"],
            header["history"],
        )

    def _check_identity(self, path: Path, identity: dict[str, Any]) -> None:
        """Names the first difference under every argument that differs."""
        differing = []
        for name in sorted(identity.keys() | self._identity.keys()):
            pair = identity.get(name), self._identity.get(name)
            if found := difference(*pair, path=name):
                where, there, here = found
                differing.append(
                    f"{where} is {reprlib.repr(there)} there and "
                    f"{reprlib.repr(here)} here"
                )
        if differing:
            what = "it belongs to another configuration: "
            raise RecordError(path, what + "; ".join(differing))


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _without_keys(tree: Any) -> Any:
    """PRNG keys as the integers they are made of, which can be written."""
    return jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree
    )


def _with_keys(tree: Any, like: Any) -> Any:
    """The reverse of :func:`_without_keys`; ``like`` says what was a key."""

    def key(leaf: Any, old: Any) -> Any:
        if not _is_key(old):
            return leaf
        return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(old))

    return jax.tree.map(key, tree, like)
