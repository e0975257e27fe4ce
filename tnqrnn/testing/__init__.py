"""Property tests for circuits and backends, ready made, for a user's own as well.

Strategies draw circuits, angles and states for hypothesis; checks assert one property
each and work on any :class:`tnqrnn.Ansatz` and any backend::

    from hypothesis import given, settings
    import tnqrnn as tq
    from tnqrnn import testing

    @settings(deadline=None)  # the first example compiles
    @given(testing.angles(my_circuit))
    def test_my_circuit(angles):
        testing.check_unitary(my_circuit, angles)
        testing.check_norm_preserved(tq.MPS(max_bond=8), my_circuit, angles)

:func:`check_backend` runs all that a backend must pass.

Every circuit of another structure compiles anew, so :func:`ansaetze` draws from a small
pool and leaves the angles free: a search then runs thousands of angles a minute.

Tolerances are ``scale`` times the dtype's, which is 1e-10 for complex128 and 1e-5 for
complex64; a failed check is an ``AssertionError`` that states both numbers, also where
Python leaves ``assert`` out (``python -O``).
"""

from tnqrnn.testing.backend import check_backend
from tnqrnn.testing.properties import (
    TOLERANCES,
    amplitudes,
    angles,
    ansaetze,
    check_backends_agree,
    check_inner_products,
    check_inverse,
    check_norm_preserved,
    check_parameters_finite,
    check_readouts,
    check_unitary,
    circuits,
    evolve,
    pool,
    read,
)

__all__ = [
    "TOLERANCES",
    "amplitudes",
    "angles",
    "ansaetze",
    "check_backend",
    "check_backends_agree",
    "check_inner_products",
    "check_inverse",
    "check_norm_preserved",
    "check_parameters_finite",
    "check_readouts",
    "check_unitary",
    "circuits",
    "evolve",
    "pool",
    "read",
]
