"""Classical cells, and their sizes."""

from tnqrnn.model.cells.classical import (
    GRU,
    KINDS,
    LSTM,
    RNN,
    AbstractClassicalCell,
    match_parameters,
    parameter_count,
)

__all__ = [
    "GRU",
    "KINDS",
    "LSTM",
    "RNN",
    "AbstractClassicalCell",
    "match_parameters",
    "parameter_count",
]
