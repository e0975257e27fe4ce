"""The options of ``tnqrnn train``, read off the descriptions and the tasks' loaders.

Every field of a run's description that a command line can say is an option of the
field's name, and every option of a task's loader is one. Values are words; what they
may be, the description and the loader check.
"""

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, TypedDict

import tyro

from tnqrnn import specs
from tnqrnn.model import Controller
from tnqrnn.tasks.registry import LOADERS
from tnqrnn.training import fit

_LEFT_OUT = {
    "task.name",  # the command's first word
    "task.options",  # options of their own
    "model.kind",  # the task's, as the next two
    "model.n_outputs",
    "model.embedding",
    "model.options",
    "model.cell.context_size",  # no task brings a context
    "model.cell.circuit.gates",
    "model.cell.backend.options",
    "model.cell.options",
}
_OTHER_NAMES = {
    "model.cell.kind": "cell",
    "model.cell.dtype": "cell_dtype",
    "model.cell.backend.name": "backend",
    "task.options.seed": "task_seed",
}
_PARTS = {
    "model.cell.circuit": ("circuit", specs.Circuit),
    "model.cell.backend": ("backend", specs.Backend),
    "model.cell.controller": ("controller", Controller),
    "model.cell": ("cell", specs.Cell),
    "model": ("model", specs.Model),
    "training": ("training", fit),
    "": ("seed", specs.Run),
}
"""The parts of a run, what their options are called together, and what says more."""


@dataclass(frozen=True)
class Option:
    """One option of the command line.

    Attributes:
        path: of the field that it sets, ``model.cell.circuit.n_qubits``, say.
        group: what it belongs to.
        default: of the field; ``MISSING`` if there is none.
        text: what it is, for ``--help``.
    """

    path: str
    group: str
    default: Any
    text: str

    @property
    def annotation(self) -> Any:
        """What the reader of command lines needs to know."""
        hint = "" if self.default is MISSING else f"(default: {_words(self.default)})"
        settings: Any = tyro.conf.arg(
            help=self.text, metavar="VALUE", help_behavior_hint=hint
        )
        return Annotated[str, settings]


def options() -> dict[str, Option]:
    """Every option by its name."""
    listed = {}
    for path, field in specs.fields_of(specs.Run).items():
        if path in _LEFT_OUT:
            continue
        part, _, name = path.rpartition(".")
        group, documented = _PARTS[part]
        text = _said(documented).get(name) or field.rule
        own = f"controller_{name}" if group == "controller" else name
        listed[_OTHER_NAMES.get(path, own)] = Option(path, group, field.default, text)
    for name, owners in _task_options().items():
        path = f"task.options.{name}"
        loaders = [LOADERS[owner] for owner in owners]
        defaults = {
            inspect.signature(load).parameters[name].default for load in loaders
        }
        default = defaults.pop() if len(defaults) == 1 else MISSING
        tasks_of: dict[str, list[str]] = {}
        for owner, load in zip(owners, loaders, strict=True):
            tasks_of.setdefault(_said(load)[name], []).append(owner)
        text = "; ".join(
            f"of {', '.join(tasks)}: {said}" for said, tasks in tasks_of.items()
        )
        listed[_OTHER_NAMES.get(path, name)] = Option(path, "task", default, text)
    return listed


def typed_options() -> Any:
    """A type from which the options are read: a dictionary of given words a group."""
    groups: dict[str, dict[str, Any]] = {}
    for name, option in options().items():
        groups.setdefault(option.group, {})[name] = option.annotation
    make: Any = TypedDict  # of names that are known at run time alone
    parts = {group: make(group, of, total=False) for group, of in groups.items()}
    flat: Any = tyro.conf.OmitArgPrefixes
    return flat[make("Options", parts)]


def described(
    task: str, given: Mapping[str, str], start: specs.Run | None = None
) -> specs.Run:
    """The description of a run.

    Args:
        task: its task; an empty string for that of ``start``.
        given: words by the options' names.
        start: what options change; the defaults unless given.

    Raises:
        ValueError: a word that the field cannot be, or no task.
    """
    plain: dict[str, Any] = {"task": {"name": task}, "model": {"kind": None}}
    plain["model"]["cell"] = {}
    if start is not None:
        plain = specs.to_dict(start)
        if task not in ("", start.task.name):
            plain["task"] = {"name": task}
    if not plain["task"]["name"]:
        raise ValueError(f"task must be one of {sorted(LOADERS)}, got none.")
    known = options()
    for name, words in given.items():
        *parents, field = known[name].path.split(".")
        part = plain
        for parent in parents:
            if part.get(parent) is None:
                part[parent] = {}
            part = part[parent]
        part[field] = _value(words, known[name].default)
    plain |= {"schema": specs.SCHEMA, "describes": "run"}
    run = specs.from_dict(plain)
    assert isinstance(run, specs.Run)
    return run


def _task_options() -> dict[str, list[str]]:
    """The tasks that take each option, but for ``data_dir``, which decides nothing."""
    owners: dict[str, list[str]] = {}
    for task, loader in LOADERS.items():
        for name in inspect.signature(loader).parameters:
            owners.setdefault(name, []).append(task)
    del owners["data_dir"]
    return owners


def _said(documented: Any) -> dict[str, str]:
    """The first sentence on each argument or attribute of a docstring."""
    text = inspect.getdoc(documented) or ""
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.*)*)", text, re.MULTILINE)
    text_of = {}
    for name, words in entries:
        sentence = re.split(r"\. |\.$", " ".join(words.split()))[0]
        plain = re.sub(r":\w+:`~?([^`]*)`", r"\1", sentence).replace("``", "")
        text_of[name] = re.sub(r" \[\w+\d{4}\]", "", plain)
    return text_of


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _value(words: str, default: Any) -> Any:
    """What a word of the command line means; a comma makes several."""
    several = isinstance(default, tuple)
    if words.lower() == "none":
        return () if several else None
    if several or "," in words:
        return [_scalar(word.strip()) for word in words.split(",") if word.strip()]
    return _scalar(words)


def _scalar(word: str) -> Any:
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word
    return value if isinstance(value, int | float) else word
