"""What happens when a roll-out loses more of its state than it may.

The loss is ``1 - exp(log_fidelity)`` at the end, the estimated infidelity. Where its
value is known when Python runs, the error or warning comes at once and names it. Inside
a caller's ``jax.jit``, ``jax.vmap`` or ``jax.grad`` it is not known yet, and the check
becomes a part of the program. Training and evaluation look at the totals that their
programs return.
"""

import functools
import warnings
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
        check_budget(float(worst), on_truncation, budget)
        return value
    if on_truncation == "raise":
        message = _message(None, budget)
        return eqx.error_if(value, ~(worst <= budget), message)
    warn = functools.partial(check_budget, on_truncation="warn", budget=budget)
    jax.debug.callback(lambda worst: warn(float(worst)), worst)
    return value


def check_budget(worst: float, on_truncation: str, budget: float) -> None:
    """Warns or raises if the largest infidelity is over budget, or NaN.

    Args:
        worst: the largest infidelity of a batch.
        on_truncation: one of :data:`ON_TRUNCATION`.
        budget: largest infidelity that passes in silence.

    Raises:
        TruncationError: ``on_truncation="raise"`` and a larger loss, or NaN.

    Warns:
        RuntimeWarning: ``on_truncation="warn"`` and a larger loss.
    """
    if on_truncation != "ignore" and not worst <= budget:
        _complain(on_truncation, _message(worst, budget))


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
