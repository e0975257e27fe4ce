"""Saving and loading a model in one line each.

A file is a NumPy ``.npz`` archive: a JSON header that describes the model in our own
names, and one array a trainable leaf. It holds no code and no class paths, so that it
can be read by later versions and inspected with NumPy alone.
"""

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from tnqrnn.backends import BACKENDS, AbstractBackend
from tnqrnn.checks import check_instance
from tnqrnn.circuits import Ansatz, Gate
from tnqrnn.model.base import AbstractCell
from tnqrnn.model.cell import QRNNCell
from tnqrnn.model.cells import KINDS
from tnqrnn.model.controller import Controller
from tnqrnn.model.heads import (
    AbstractSequenceModel,
    SequenceClassifier,
    SequenceLabeler,
)
from tnqrnn.records import write_atomic

FORMAT = "tnqrnn model 1"

_UNREADABLE = (
    zipfile.BadZipFile,
    NotImplementedError,  # a zip version or flag that Python does not know
    TypeError,  # a single array, .npy
    KeyError,
    EOFError,
    ValueError,
)
"""What NumPy and zipfile raise for damaged files and for other ones."""

_MODELS = {"classifier": SequenceClassifier, "labeler": SequenceLabeler}
_CELLS: dict[str, type[AbstractCell]] = {"qrnn": QRNNCell, **KINDS}


def save(model: AbstractSequenceModel, path: str | Path) -> Path:
    """Writes a model to one file, atomically.

    Args:
        model: a :class:`SequenceClassifier` or :class:`SequenceLabeler`.
        path: the file; an existing one is replaced.

    Returns:
        the path.

    Raises:
        ValueError: another kind of model.
        FileNotFoundError: the file's folder does not exist.
    """
    check_instance("model", model, AbstractSequenceModel)
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    arrays = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    header = json.dumps({"format": FORMAT, **_describe(model)})
    buffer = io.BytesIO()
    arrays["header"] = np.frombuffer(header.encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **arrays)
    path = Path(path)
    write_atomic(path, buffer.getvalue())
    return path


def load(path: str | Path) -> AbstractSequenceModel:
    """Reads what :func:`save` wrote: the same model, parameters bit for bit.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is corrupt, of another format or version, or holds
            complex128 parameters while JAX's 64-bit mode is off.
    """
    data = Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = dict(archive)
        header = json.loads(arrays.pop("header").tobytes())
        leaves = [arrays.pop(f"leaf_{i}") for i in range(len(arrays))]
    except _UNREADABLE as error:
        raise ValueError(
            f"path must be a model file written by tnqrnn.save, got {str(path)!r}, "
            f"which cannot be read: {error}"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else header
        raise ValueError(
            f"path must be a model file of format {FORMAT!r}, got {str(path)!r} of "
            f"format {found!r}."
        )
    try:
        model = _build(header)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"path must be a model file with a whole header, got {str(path)!r}, "
            f"which lacks or misplaces {error}."
        ) from error
    params, static = eqx.partition(model, eqx.is_inexact_array)
    wanted, tree = jax.tree.flatten(params)
    kinds = [[(leaf.shape, str(leaf.dtype)) for leaf in ls] for ls in (wanted, leaves)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"path must hold arrays of shapes and dtypes {kinds[0]} for its header, "
            f"got {str(path)!r} with {kinds[1]}."
        )
    loaded = jax.tree.unflatten(tree, map(jax.numpy.asarray, leaves))
    return eqx.combine(loaded, static)


def _describe(model: AbstractSequenceModel) -> dict[str, Any]:
    cell = model.cell
    names = {kind: name for name, kind in {**_MODELS, **_CELLS}.items()}
    if type(model) not in names or type(cell) not in names:
        raise ValueError(
            "model must be a SequenceClassifier or SequenceLabeler over one of "
            f"{sorted(_CELLS)}, got {type(model).__name__} over {type(cell).__name__}."
        )
    fields: dict[str, Any] = {"input_size": cell.input_size}
    if isinstance(cell, QRNNCell):
        for name in ("observables", "readout", "feedback"):
            fields[name] = getattr(cell, name)
        fields["ansatz"] = dataclasses.asdict(cell.ansatz)
        fields["controller"] = dataclasses.asdict(cell.controller)
        fields["backend"] = {
            "name": type(cell.backend).__name__,
            **dataclasses.asdict(cell.backend),
        }
    else:
        fields["hidden_size"] = cell.output_size
        fields["dtype"] = str(model.head.weight.dtype)
    return {
        "model": names[type(model)],
        "n_classes": model.n_classes,
        "gradient": model.gradient,
        "cell": names[type(cell)],
        "fields": fields,
    }


def _build(header: dict[str, Any]) -> AbstractSequenceModel:
    """A model with the header's structure and parameters yet to be filled in."""
    fields = dict(header["fields"])
    if header["cell"] == "qrnn":
        gates = [Gate(**gate) for gate in fields["ansatz"]["gates"]]
        fields["ansatz"] = Ansatz(fields["ansatz"]["n_qubits"], gates)
        fields["controller"] = Controller(**fields["controller"])
        fields["backend"] = _backend(fields["backend"])
    make: Callable[..., AbstractCell] = _CELLS[header["cell"]]
    key = jax.random.key(0)
    cell = make(**fields, key=key)
    model = _MODELS[header["model"]]
    return model(cell, header["n_classes"], gradient=header["gradient"], key=key)


def _backend(fields: dict[str, Any]) -> AbstractBackend:
    return BACKENDS[fields["name"]](
        **{name: value for name, value in fields.items() if name != "name"}
    )
