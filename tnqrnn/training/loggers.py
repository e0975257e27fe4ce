"""Thin adapters to TensorBoard and Weights & Biases.

Neither is a dependency: a TensorBoard writer or a W&B run is made by the user, with the
package that they have, and handed over. Any object with the methods of
:class:`tnqrnn.training.callbacks.Logger` is a logger as well.
"""

from collections.abc import Mapping
from typing import Any

from tnqrnn.records import to_json


class TensorBoardLogger:
    """Writes to a TensorBoard ``SummaryWriter``.

    Args:
        writer: of ``tensorboardX`` or ``torch.utils.tensorboard``::

            writer = tensorboardX.SummaryWriter("runs/mnist")
            tq.fit(model, task, loggers=[TensorBoardLogger(writer)])

    Raises:
        ValueError: an object without ``add_scalar``.
    """

    def __init__(self, writer: Any) -> None:
        if not callable(getattr(writer, "add_scalar", None)):
            raise ValueError(
                f"writer must be a SummaryWriter, with add_scalar, got {writer!r}."
            )
        self._writer = writer

    def start(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings as text."""
        self._writer.add_text("settings", to_json(settings))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one scalar a name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        """Flushes the writer, which stays open: it is the user's."""
        self._writer.flush()


class WandbLogger:
    """Writes to a run of Weights & Biases.

    Args:
        run: what ``wandb.init(...)`` returned::

            with wandb.init(project="qrnn") as run:
                tq.fit(model, task, loggers=[WandbLogger(run)])

    Raises:
        ValueError: an object without ``log`` and ``config``.
    """

    def __init__(self, run: Any) -> None:
        if not callable(getattr(run, "log", None)) or not hasattr(run, "config"):
            raise ValueError(f"run must be what wandb.init() returned, got {run!r}.")
        self._run = run

    def start(self, settings: Mapping[str, Any]) -> None:
        """Adds the settings to the run's configuration."""
        self._run.config.update(dict(settings))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Logs the numbers at this step."""
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        """Nothing: the run is the user's to finish."""
