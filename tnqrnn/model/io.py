"""Saving and loading a model in one line each.

A file is a NumPy ``.npz`` archive: a JSON header that describes the model, and one
array a parameter under its path in the model, ``model.head.weight``. It holds no code
and no class paths, so that it can be read by later versions and inspected with NumPy
alone. A model of classes that no description names is written with its layout, and is
read into a model of the same structure that the caller brings.
"""

import functools
import importlib.metadata
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn import specs
from tnqrnn.backends import AbstractBackend
from tnqrnn.checks import check_instance
from tnqrnn.layout import difference, layout
from tnqrnn.model.build import build
from tnqrnn.model.describe import describe
from tnqrnn.model.format_1 import FORMAT_1, names_of_format_1, to_description
from tnqrnn.model.kinds import BACKENDS, is_described
from tnqrnn.records import write_atomic

FORMAT = "tnqrnn model 2"

_UNREADABLE = (
    zipfile.BadZipFile,
    NotImplementedError,  # a zip version or flag that Python does not know
    TypeError,  # a single array, .npy
    KeyError,
    EOFError,
    ValueError,
    RecursionError,
)
"""What NumPy, zipfile and json raise for damaged files and for other ones."""


def save(model: eqx.Module, path: str | Path) -> Path:
    """Writes a model, or a cell alone, to one file, atomically.

    Args:
        model: any equinox module. One of the library's classes, or of registered ones
            (:func:`tnqrnn.register`), is described and needs nothing else to be loaded;
            on an unregistered backend it is loaded with ``backend=``. Any other module
            is loaded with ``like=``.
        path: the file; an existing one is replaced.

    Returns:
        the path.

    Raises:
        ValueError: no module, or one with arrays that hold no numbers, such as PRNG
            keys.
        FileNotFoundError: the file's folder does not exist.

    >>> import os, tempfile
    >>> import jax, tnqrnn as tq
    >>> cell = tq.cells.GRU(8, 16, key=jax.random.key(0))
    >>> model = tq.SequenceClassifier(cell, 10, key=jax.random.key(1))
    >>> path = tq.save(model, os.path.join(tempfile.mkdtemp(), "gru.npz"))
    >>> tq.load(path).cell.hidden_size
    16
    """
    check_instance("model", model, eqx.Module)
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": importlib.metadata.version("tnqrnn"),
    }
    if is_described(model):
        header["description"] = specs.to_dict(describe(model))
    else:
        header["layout"] = layout(model)
    arrays = {name: _entries(name, array) for name, array in _arrays(model).items()}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    path = Path(path)
    write_atomic(path, buffer.getvalue())
    return path


def load(
    path: str | Path,
    *,
    backend: AbstractBackend | None = None,
    like: eqx.Module | None = None,
) -> Any:
    """Reads what :func:`save` wrote: the same model, parameters bit for bit.

    Args:
        path: the file; those of tnqrnn 0.1.0 too.
        backend: where the model shall run; ``None`` for where it ran. It must be given
            for a model that ran on an unregistered backend. One of another precision
            rounds the parameters.
        like: a model of the same structure, which must be given for classes that are
            not registered. Shapes, dtypes and static fields must agree with the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is corrupt, of another format or of a later version;
            ``backend`` or ``like`` is needed or does not fit; complex128 while JAX's
            64-bit mode is off.
    """
    if backend is not None:
        check_instance("backend", backend, AbstractBackend)
    if like is not None:
        check_instance("like", like, eqx.Module)
    header, arrays = _read(path)
    if "layout" in header:
        return _load_like(path, header, arrays, like, backend)
    description = _description(path, header)
    if like is not None:
        if not is_described(like):
            raise ValueError(
                f"like must be of registered classes, as the model in {str(path)!r}, "
                f"got {type(like).__name__}."
            )
        _check_like(path, specs.to_dict(description), specs.to_dict(describe(like)))
    _check_backend(path, description, backend)
    model = _shapes(description, backend)
    if header["format"] == FORMAT_1:
        arrays = names_of_format_1(arrays, list(_arrays(model)))
    return _filled(path, model, arrays, is_rounded=backend is not None)


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a file."""
    data = Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = dict(archive)
        header = json.loads(arrays.pop("header").tobytes())
    except _UNREADABLE as error:
        raise ValueError(
            f"path must be a model file written by tnqrnn.save, got {str(path)!r}, "
            f"which cannot be read: {error}"
        ) from error
    written = header.get("format") if isinstance(header, dict) else header
    if written not in (FORMAT, FORMAT_1):
        raise ValueError(
            f"path must be a model file of format {FORMAT!r}, got {str(path)!r} of "
            f"format {written!r}."
        )
    return header, arrays


def _description(path: str | Path, header: dict[str, Any]) -> specs.AbstractDescription:
    """The description in a header of either format."""
    try:
        if header["format"] == FORMAT_1:
            return to_description(header)
        description = specs.from_dict(header["description"])
        if not isinstance(description, specs.Model | specs.Cell):
            raise ValueError(f"a model, with a {type(description).__name__}")
        return description
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"path must be a model file with a whole header, got {str(path)!r}, "
            f"which lacks or misplaces {error}."
        ) from error


def _check_backend(
    path: str | Path,
    description: specs.AbstractDescription,
    backend: AbstractBackend | None,
) -> None:
    there = getattr(getattr(description, "cell", description), "backend", None)
    if backend is None and there is not None and there.name not in BACKENDS:
        raise ValueError(
            f"backend must be given to load {str(path)!r}, whose model ran on "
            f"{there.name!r}, a backend that was not registered under that name, got "
            "None."
        )


def _shapes(
    description: specs.AbstractDescription, backend: AbstractBackend | None
) -> Any:
    """What a description builds, with shapes and dtypes in place of the arrays.

    Nothing is drawn, which would take seconds of compiling.
    """
    make = functools.partial(build, description, backend=backend)
    try:
        return eqx.filter_eval_shape(make, jax.random.key(0))
    except jax.errors.JAXTypeError:  # a user's constructor that computes with numbers
        return make(jax.random.key(0))


def _load_like(
    path: str | Path,
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    like: eqx.Module | None,
    backend: AbstractBackend | None,
) -> Any:
    """A module of unregistered classes, by one of the same structure."""
    if like is None:
        raise ValueError(
            f"like must be given to load {str(path)!r}, a model whose classes are not "
            "all registered, got None."
        )
    _check_like(path, header["layout"], layout(like))
    model = _filled(path, like, arrays, is_rounded=False)
    return model if backend is None else model.with_backend(backend)


def _check_like(path: str | Path, there: Any, given: Any) -> None:
    """Refuses a model of another structure than the file's."""
    differing = difference(there, given)
    if differing:
        name, in_file, in_like = differing
        raise ValueError(
            f"like must be of the structure that {str(path)!r} holds, with "
            f"{name} = {in_file!r}, got {in_like!r}."
        )


def _filled(
    path: str | Path, model: Any, arrays: dict[str, np.ndarray], *, is_rounded: bool
) -> Any:
    """A model with the arrays of a file in place of its own.

    Args:
        path: the file.
        model: of the structure that the file describes.
        arrays: the file's, by their names in the model.
        is_rounded: whether they may be of another precision than the model's.
    """
    own = _arrays(model)
    dtypes = {name: array.dtype for name, array in own.items()}
    if is_rounded:
        floats = {name: a for name, a in arrays.items() if a.dtype.kind == "f"}
        dtypes |= {name: a.dtype for name, a in floats.items() if name in own}
    wanted = {name: (own[name].shape, str(dtypes[name])) for name in own}
    given = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    if wanted != given:
        name = next(n for n in wanted | given if wanted.get(n) != given.get(n))
        raise ValueError(
            f"path must hold the arrays that its header describes, {name} of shape and "
            f"dtype {wanted.get(name)}, got {str(path)!r} with {given.get(name)}."
        )
    new = [
        arrays[name]
        if isinstance(old, np.ndarray)
        else jnp.asarray(arrays[name], old.dtype)
        for name, old in own.items()
    ]
    arrays_of_model, static = eqx.partition(model, _is_array)
    tree = jax.tree.structure(arrays_of_model)
    return eqx.combine(jax.tree.unflatten(tree, new), static)


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _arrays(model: Any) -> dict[str, Any]:
    """Every array in a module by its path, in the order of its leaves."""
    filtered = eqx.filter(model, _is_array)
    leaves, _ = jax.tree_util.tree_flatten_with_path(filtered)
    names = [jax.tree_util.keystr(p, simple=True, separator=".") for p, _ in leaves]
    return {
        f"model.{name}": leaf for name, (_, leaf) in zip(names, leaves, strict=True)
    }


def _entries(name: str, array: Any) -> np.ndarray:
    """An array as NumPy's, if NumPy has its dtype."""
    is_known = isinstance(array.dtype, np.dtype) and array.dtype.kind in "biufc"
    if not is_known:
        raise ValueError(
            f"model must hold arrays of NumPy's numbers, got {name} of dtype "
            f"{array.dtype}."
        )
    return np.asarray(array)
