"""What happens when a roll-out loses more of its state than it may.

The loss is ``1 - exp(log_fidelity)`` at the end, the estimated infidelity. Where its
value is known when Python runs, the error or warning comes at once and names it. Inside
a caller's ``jax.jit``, ``jax.vmap`` or ``jax.grad`` it is not known yet, and the check
becomes a part of the program.
"""

import contextlib
import functools
import re
import warnings
from collections.abc import Iterator
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from tnqrnn.backends.base import Truncation

ON_TRUNCATION = ("ignore", "warn", "raise")
T = TypeVar("T")


class TruncationError(RuntimeError):
    """A roll-out lost more of its state than its backend's ``budget``."""


def within_budget(
    value: T, truncation: Truncation, on_truncation: str, budget: float
) -> T:
    """``value``, after a look at what was lost.

    Args:
        value: pytree of arrays that the check is tied to under ``jax.jit``.
        truncation: running totals, with any leading axes.
        on_truncation: one of :data:`ON_TRUNCATION`.
        budget: largest infidelity that passes in silence.

    Returns:
        ``value`` itself.

    Raises:
        TruncationError: ``on_truncation="raise"`` and a larger loss, or NaN. Under
            ``equinox.filter_jit`` the compiled program raises
            ``equinox.EquinoxRuntimeError``, under ``jax.jit`` JAX's own error.

    Warns:
        RuntimeWarning: ``on_truncation="warn"`` and a larger loss; under ``jax.jit``
            each time the compiled program finds one.
    """
    if on_truncation == "ignore":
        return value
    lost = -jnp.expm1(jax.lax.stop_gradient(truncation.log_fidelity))
    worst = jnp.max(lost)
    if not isinstance(worst, jax.core.Tracer):
        if not worst <= budget:
            _complain(on_truncation, _message(float(worst), budget))
        return value
    if on_truncation == "raise":
        message = _message(None, budget)
        return eqx.error_if(value, ~(worst <= budget), message)
    jax.debug.callback(functools.partial(_warn_if_over, budget=budget), worst)
    return value


@contextlib.contextmanager
def named_truncation_errors() -> Iterator[None]:
    """Makes a :class:`TruncationError` of what a compiled program raises instead."""
    try:
        yield
    except RuntimeError as error:
        if found := _OVER.search(str(error)):
            raise TruncationError(found[0]) from None
        raise


_OVER = re.compile(r"truncation lost .*? on_truncation='ignore'\.")


def _warn_if_over(worst: jax.Array, budget: float) -> None:
    if not float(worst) <= budget:
        _complain("warn", _message(float(worst), budget))


def _complain(on_truncation: str, message: str) -> None:
    if on_truncation == "raise":
        raise TruncationError(message)
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def _message(worst: float | None, budget: float) -> str:
    lost = "too much" if worst is None else f"{worst:.3g}"
    return (
        f"truncation lost {lost} of the state's weight, budget={budget:g} is allowed: "
        "take a larger max_bond or budget, or on_truncation='ignore'."
    )
