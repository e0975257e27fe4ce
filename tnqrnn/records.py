"""Files that no killed process leaves half written, and what a result was made with.

A record is JSON of the form ``{"sha256": ..., "payload": ...}``. The checksum covers
the payload in canonical form (sorted keys, no spaces), so a record may be reformatted
but not edited or cut short. JSON has no NaN or infinity: those floats are stored as the
strings ``"nan"``, ``"inf"`` and ``"-inf"`` and come back as floats. A string that reads
so itself is stored with a backslash before it.
"""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_LIBRARIES = ("jax", "jaxlib", "tnqrnn", "numpy", "optax", "equinox")


class RecordError(ValueError):
    """A file is not what was written: corrupt, cut short, or of another origin.

    Args:
        path: the file.
        reason: what is wrong with it, kept as an attribute.
    """

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        super().__init__(f"{os.fspath(path)} cannot be used: {reason}.")
        self.reason = reason


def write_atomic(path: str | os.PathLike, data: bytes) -> None:
    """Writes ``data`` so that ``path`` holds either its old content or all of the new.

    The bytes go to a temporary file in the same folder, are flushed to disk, and
    replace ``path`` in one step. The folder must exist.

    Args:
        path: the file to make or replace.
        data: its content.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"path must be in a folder that exists, got {str(path)!r}."
        )
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """The canonical JSON text of ``value``: sorted keys, no spaces.

    Args:
        value: nested mappings with string keys, lists, tuples, strings, numbers,
            ``None``, NumPy or JAX arrays and scalars. Tuples and arrays become lists.

    Raises:
        TypeError: a key is no string or a value has no JSON form.
    """
    plain = _to_plain(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str | bytes) -> Any:
    """The value that :func:`to_json` wrote, with NaN and infinities as floats."""
    return _from_plain(json.loads(text))


def write_json(path: str | os.PathLike, obj: Any) -> None:
    """Writes ``obj`` as a record, atomically.

    Args:
        path: the file to make or replace; its folder must exist.
        obj: what :func:`to_json` takes.
    """
    payload = to_json(obj)
    record = {"sha256": _sha256(payload), "payload": json.loads(payload)}
    write_atomic(path, (json.dumps(record, indent=1) + "\n").encode())


def read_json(path: str | os.PathLike) -> Any:
    """Reads a record written by :func:`write_json`.

    Raises:
        RecordError: the file is no record, is cut short, or was edited.
        FileNotFoundError: there is no such file.
    """
    try:
        record = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise RecordError(path, f"it is no complete JSON ({error})") from error
    if not isinstance(record, dict) or set(record) != {"sha256", "payload"}:
        raise RecordError(path, "it is JSON but no record with a checksum")
    payload = json.dumps(record["payload"], sort_keys=True, separators=(",", ":"))
    if _sha256(payload) != record["sha256"]:
        raise RecordError(path, "its content does not match its checksum")
    return _from_plain(record["payload"])


def provenance() -> dict[str, Any]:
    """What a result was made with: versions, commit, device and settings.

    Returns:
        ``python`` and one entry a library (``None`` for one that is not installed),
        ``commit`` (of the checkout that holds this package, with ``-dirty`` when files
        differ from it, or ``None``), ``device``, ``processor``, ``platform``,
        ``cpu_count``, ``x64``.
    """
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
        "commit": _commit(Path(__file__).resolve().parent.parent),
        "device": jax.devices()[0].device_kind,
        "processor": processor_name(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "x64": bool(jax.config.read("jax_enable_x64")),
    }


def processor_name() -> str:
    """The processor's name as the system gives it, or its architecture."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """The number of cores this process may use, a good number of workers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"Keys of a record must be strings, got {key!r}.")
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str) and _reads_as_float(value):
        return "\\" + value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"A record must hold JSON values, got {value!r}.")


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _from_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_plain(item) for item in value]
    if isinstance(value, str) and _reads_as_float(value):
        return value[1:] if value[0] == "\\" else _NON_FINITE[value]
    return value


def _reads_as_float(text: str) -> bool:
    """Whether a string names a float that JSON lacks, after any backslashes."""
    return text.lstrip("\\") in _NON_FINITE


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit(root: Path) -> str | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return None
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
