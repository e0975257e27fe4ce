"""Every tolerance of the suite, with its reason."""

EXACT = {"complex128": 1e-10, "complex64": 1e-5}
"""Values that agree up to rounding, a few hundred operations deep."""

GRADIENT = {"complex128": 1e-8, "complex64": 1e-4}
"""Relative error of gradients that agree up to rounding: they sum many such values."""

FINITE_DIFFERENCE = 1e-5
"""Relative error against central differences, step 1e-5, complex128."""

REVERSIBLE_OPEN = {"complex128": 1e-10, "complex64": 1e-4}
"""Relative error between gradient modes without feedback, T=256."""

REVERSIBLE_CLOSED = {"complex128": 1e-9, "complex64": 1e-3}
"""The same with feedback, T=32: the closed loop amplifies rounding."""
