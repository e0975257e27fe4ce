"""Descriptions: plain frozen values that say what a circuit, a model or a run is.

They hold no arrays, are compared and hashed by value, go to JSON and back
(:func:`to_json`, :func:`from_json`), and are what :func:`tnqrnn.build` builds. What a
description cannot be is refused when it is made, wherever it comes from.
"""

from tnqrnn.specs.base import AbstractDescription, Options
from tnqrnn.specs.paths import Field, fields_of, replace
from tnqrnn.specs.text import SCHEMA, from_dict, from_json, to_dict, to_json
from tnqrnn.specs.values import (
    Backend,
    Cell,
    Circuit,
    Controller,
    Model,
    Run,
    Task,
    Training,
)

__all__ = [
    "SCHEMA",
    "AbstractDescription",
    "Backend",
    "Cell",
    "Circuit",
    "Controller",
    "Field",
    "Model",
    "Options",
    "Run",
    "Task",
    "Training",
    "fields_of",
    "from_dict",
    "from_json",
    "replace",
    "to_dict",
    "to_json",
]
