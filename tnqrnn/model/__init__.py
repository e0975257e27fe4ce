"""The recurrence: cells, the loop over time, and models with a head."""

from tnqrnn.model import cells
from tnqrnn.model.base import AbstractCell, Rollout
from tnqrnn.model.batching import batch_over_devices
from tnqrnn.model.build import build
from tnqrnn.model.cell import QRNNCarry, QRNNCell
from tnqrnn.model.controller import Controller
from tnqrnn.model.decoding import generate
from tnqrnn.model.describe import describe
from tnqrnn.model.heads import (
    LanguageModel,
    SequenceClassifier,
    SequenceLabeler,
    SequenceRegressor,
)
from tnqrnn.model.io import load, save
from tnqrnn.model.kinds import register
from tnqrnn.model.rnn import unroll
from tnqrnn.model.sequence_model import AbstractSequenceModel

__all__ = [
    "AbstractCell",
    "AbstractSequenceModel",
    "Controller",
    "LanguageModel",
    "QRNNCarry",
    "QRNNCell",
    "Rollout",
    "SequenceClassifier",
    "SequenceLabeler",
    "SequenceRegressor",
    "batch_over_devices",
    "build",
    "cells",
    "describe",
    "generate",
    "load",
    "register",
    "save",
    "unroll",
]
