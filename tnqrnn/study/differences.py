"""How far gradients and states are apart, exact also where that is tiny."""

import numpy as np


def relative_error(a: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Norm of the difference of vectors (..., N), relative to the exact one's."""
    return np.linalg.norm(a - exact, axis=-1) / np.linalg.norm(exact, axis=-1)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - cosine of the angle between vectors (..., N), not by subtraction from 1.

    >>> bool(cosine_distance(np.array([1.0, 0.0]), np.array([1.0, 1e-9])) > 0)
    True
    """
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    return np.sum((a - b) ** 2, axis=-1) / 2


def infidelity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - |<a|b>|^2 of states (..., 2**n) of norm 1: the part of b orthogonal to a.

    >>> bool(infidelity(np.array([1.0, 0.0]), np.array([1.0, 1e-9])) > 0)
    True
    """
    along = np.sum(a.conj() * b, axis=-1, keepdims=True)
    return np.sum(np.abs(b - along * a) ** 2, axis=-1)
