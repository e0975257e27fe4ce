"""Checks of what a user passes in, with one wording.

Every message reads ``<name> must be <rule>, got <value>.`` so that a reader of a log
knows which argument to mend. Checks run in public functions only and look at values
only where values exist: an array that is being traced by JAX has a shape and a dtype
but no entries, and is checked for those alone.
"""

import math
import numbers
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil

_REAL = {"complex64": "float32", "complex128": "float64"}


def check_int(
    name: str, value: Any, *, minimum: int, maximum: int | None = None
) -> int:
    """Returns ``value`` as an ``int`` in ``[minimum, maximum]``.

    Raises:
        ValueError: ``value`` is no integer or lies outside the range.
    """
    rule = f"an integer >= {minimum}"
    if maximum is not None:
        rule = f"an integer in [{minimum}, {maximum}]"
    integral = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integral or value < minimum or (maximum is not None and value > maximum):
        raise ValueError(f"{name} must be {rule}, got {value!r}.")
    return int(value)


def check_number(
    name: str, value: Any, *, minimum: float = -math.inf, maximum: float = math.inf
) -> float:
    """Returns ``value`` as a finite ``float`` in ``[minimum, maximum]``.

    Raises:
        ValueError: ``value`` is no real number, not finite, or outside the range.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        finite = real and math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        finite = False
    if not finite or not minimum <= value <= maximum:
        bounds = f" in [{minimum:g}, {maximum:g}]"
        rule = "a finite number" + (bounds if bounds != " in [-inf, inf]" else "")
        raise ValueError(f"{name} must be {rule}, got {value!r}.")
    return float(value)


def check_bool(name: str, value: Any) -> bool:
    """Returns ``value`` as a ``bool``.

    Raises:
        ValueError: it is neither ``True`` nor ``False``.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def check_instance(name: str, value: Any, kind: type) -> Any:
    """Returns ``value`` if it is an instance of ``kind``.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, kind):
        what = value.__name__ if isinstance(value, type) else type(value).__name__
        raise ValueError(
            f"{name} must be an instance of {kind.__name__}, got "
            f"{'the class ' if isinstance(value, type) else ''}{what}."
        )
    return value


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Returns ``value`` if it is one of ``choices``.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {sorted(choices)}, got {value!r}.")
    return value


def check_shape(name: str, array: Any, shape: Sequence[int | str]) -> tuple[int, ...]:
    """Returns ``array.shape`` if it fits ``shape``.

    Args:
        name: the argument's name in the message.
        array: anything with a shape (NumPy, JAX, a tracer).
        shape: one entry an axis, an ``int`` to match or a letter for any size.

    Raises:
        ValueError: the number of axes or a fixed size differs.
    """
    actual = tuple(np.shape(array))
    fits = len(actual) == len(shape) and all(
        isinstance(want, str) or want == have
        for want, have in zip(shape, actual, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(size) for size in shape)
        wanted += "," if len(shape) == 1 else ""
        raise ValueError(f"{name} must be of shape ({wanted}), got {actual}.")
    return actual


def check_real(name: str, array: Any) -> None:
    """Refuses complex numbers and what is no number.

    Raises:
        ValueError: another dtype than integers, bools and floating numbers.
    """
    dtype = array.dtype if isinstance(array, jax.Array) else np.asarray(array).dtype
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    if not any(jnp.issubdtype(dtype, kind) for kind in kinds):
        raise ValueError(f"{name} must be real numbers, got {dtype} values.")


def check_finite(name: str, array: Any) -> None:
    """Refuses NaN and infinity in an array whose entries are known.

    Raises:
        ValueError: an entry is not finite; the message counts them.
    """
    if isinstance(array, jax.core.Tracer):
        return
    values = np.asarray(array)
    if jnp.issubdtype(values.dtype, jnp.inexact) and not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite of {values.size} values."
        )


def check_dtype(dtype: Any) -> str:
    """Returns ``dtype`` if it names a complex type that JAX can hold right now.

    Raises:
        ValueError: an unknown name, or ``complex128`` without JAX's 64-bit mode.
    """
    check_choice("dtype", dtype, _REAL)
    if dtype == "complex128" and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            "dtype must be 'complex64' while JAX's 64-bit mode is off, got "
            "'complex128'. Switch the mode on before anything else: "
            "jax.config.update('jax_enable_x64', True)."
        )
    return dtype


def real_dtype(dtype: str) -> str:
    """The real type of a complex one: ``complex64`` to ``float32``."""
    return _REAL[dtype]


def memory_limit(*, host: bool = False) -> tuple[str, int]:
    """The memory that arrays are made in: whose it is, and its bytes.

    Args:
        host: whether NumPy's arrays are meant. JAX's are made in the memory of the
            accelerator where there is one.

    Returns:
        ``"this machine"`` or ``"the accelerator"``, and its total memory.
    """
    device = None if host else jax.local_devices()[0].memory_stats()
    if device and "bytes_limit" in device:
        return "the accelerator", device["bytes_limit"]
    return "this machine", psutil.virtual_memory().total


def check_memory(what: str, n_bytes: int, *, host: bool = False) -> None:
    """Refuses an array that cannot fit into memory, before it is made.

    Args:
        what: the argument and what it asks for, the start of the message.
        n_bytes: the estimate in bytes, of any magnitude.
        host: whether it is a NumPy array. JAX's are made in the memory of the
            accelerator where there is one.

    Raises:
        MemoryError: the estimate exceeds the memory; both are in the message.
    """
    owner, total = memory_limit(host=host)
    if n_bytes > total:
        size = (
            f"{n_bytes / 2**30:.3g} GiB"
            if n_bytes < 2**90
            else f"2^{n_bytes.bit_length() - 31} GiB"
        )
        raise MemoryError(
            f"{what} must fit into {owner}'s {total / 2**30:.1f} GiB of memory, "
            f"got a request for about {size}."
        )
