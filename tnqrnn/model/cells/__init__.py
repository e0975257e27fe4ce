"""Classical cells, and their sizes."""

from tnqrnn.model.cells.base import AbstractClassicalCell
from tnqrnn.model.cells.gru import GRU
from tnqrnn.model.cells.lstm import LSTM
from tnqrnn.model.cells.matching import KINDS, match_parameters, parameter_count
from tnqrnn.model.cells.rnn import RNN

__all__ = [
    "GRU",
    "KINDS",
    "LSTM",
    "RNN",
    "AbstractClassicalCell",
    "match_parameters",
    "parameter_count",
]
