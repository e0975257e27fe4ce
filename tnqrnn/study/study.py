"""A study: a grid over named axes, one run and one record for each point."""

import dataclasses
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from tnqrnn.checks import check_int
from tnqrnn.records import RecordError, read_json, write_json
from tnqrnn.study.execution import Job, perform, perform_all
from tnqrnn.study.points import Grid, Point, Scalar, describe_point, grid_points

if TYPE_CHECKING:
    import xarray

SCHEMA = 1


class Outcome(NamedTuple):
    """What one call of `Study.execute` did.

    Attributes:
        computed: points that were run now, successfully.
        reused: points that had a record already.
        failed: points whose run raised or died; each has a file in ``failures/``.
    """

    computed: list[Point]
    reused: list[Point]
    failed: list[Point]


@dataclasses.dataclass(frozen=True)
class Study:
    """A grid of runs whose results are kept in a directory, one file each.

    ``study.json`` in the directory says which configuration the records belong to: the
    name, the axes' names and the settings. A directory of another configuration is
    refused. The values of the axes may grow from one call to the next; finished runs
    are never computed again.

    Attributes:
        name: of the study, as in figures and reports.
        axes: values for each axis name, or several such grids over the same names
            whose union is the study (`grid_points`). Strings, numbers, bools.
        run: ``run(point, settings)`` returns the metrics of a point: real numbers or
            arrays of them. Their names differ from those of axes and dimensions and
            from ``wall_seconds`` and ``peak_memory_bytes``, and have no ``/``. A run
            that returns others fails, and so does one that ends its process. A function
            of a module if it is to run in other processes.
        settings: a frozen dataclass, what all points share. A field declared with
            ``field(metadata={"identity": False})`` does not change results (where data
            lie, say) and may differ between calls.
        directory: where records are kept; created on first use.
        skip: true for points of the grid that are left out.
        dims: names for the axes of array metrics, such as
            ``{"gradient_norm": ("time_step",)}``; other arrays get names of their own.
        coords: values along such axes, such as ``{"n_steps": (2, 4, 8)}``.

    >>> import dataclasses, tempfile
    >>> from pathlib import Path
    >>> @dataclasses.dataclass(frozen=True)
    ... class Settings:
    ...     power: int = 2
    >>> def run(point, settings):
    ...     return {"value": point["x"] ** settings.power}
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     study = Study("powers", {"x": [1, 2, 3]}, run, Settings(), Path(directory))
    ...     outcome = study.execute(progress=False)
    ...     study.dataset()["value"].values.tolist()
    [1, 4, 9]
    """

    name: str
    axes: Grid | Sequence[Grid]
    run: Callable[[Point, Any], Mapping[str, Any]]
    settings: Any
    directory: Path
    skip: Callable[[Point], bool] | None = None
    dims: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    coords: Mapping[str, Sequence[Scalar]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not dataclasses.is_dataclass(self.settings):
            raise TypeError(f"settings must be a dataclass, got {self.settings!r}.")
        object.__setattr__(self, "directory", Path(self.directory))
        if not self.points():
            raise ValueError("skip must leave at least one point, got none.")

    @property
    def configuration(self) -> dict[str, Any]:
        """What every record of the directory shares, as plain values."""
        return {
            "schema": SCHEMA,
            "study": self.name,
            "axes": sorted(self.points()[0]),
            "settings": _plain_settings(self.settings),
        }

    def points(self) -> list[Point]:
        """The points of the study, the last axis running fastest."""
        points = grid_points(self.axes)
        return [point for point in points if not (self.skip and self.skip(point))]

    def execute(self, *, workers: int = 1, progress: bool = True) -> Outcome:
        """Computes the points that have no record yet.

        A point that fails does not stop the others: its traceback is printed and kept
        in ``failures/``, and it is tried again on the next call.

        Args:
            workers: 1 runs in this process, with all its threads; more start that many
                processes, each of one thread.
            progress: shows a bar with points done and time left.

        Raises:
            ValueError: the directory belongs to another configuration, a record cannot
                be trusted, or ``run`` cannot be sent to another process.
        """
        check_int("workers", workers, minimum=1)
        job = self._open()
        reused = [entry["point"] for entry in self.records()]
        pending = [p for p in self.points() if not job.record_path(p).exists()]
        computed: list[Point] = []
        failed: list[Point] = []
        if workers > 1:
            _check_picklable(job)
            results = perform_all(job, pending, workers)
        else:
            results = ((point, perform(job, point)) for point in pending)
        bar = tqdm(
            total=len(reused) + len(pending),
            initial=len(reused),
            desc=self.name,
            unit="run",
            smoothing=0,  # time left from the mean of all runs
            disable=not progress,
        )
        with bar:
            for point, error in results:
                (failed if error else computed).append(point)
                if error:
                    tqdm.write(f"{describe_point(point)} failed:\n{error}", sys.stderr)
                    bar.set_postfix(failed=len(failed))
                bar.update()
        return Outcome(computed, reused, failed)

    def records(self) -> list[dict[str, Any]]:
        """The records of the study's finished points, in the points' order.

        Raises:
            RecordError: a record is corrupt or belongs to another point or study.
        """
        job = self._open()
        paths = [(point, job.record_path(point)) for point in self.points()]
        return [self._read(path, point) for point, path in paths if path.exists()]

    def failures(self) -> dict[str, str]:
        """Tracebacks of the points that failed when last tried, by description."""
        job = self._open()
        paths = [(point, job.failure_path(point)) for point in self.points()]
        return {
            describe_point(point): read_json(path)["traceback"]
            for point, path in paths
            if path.exists()
        }

    def dataset(self) -> "xarray.Dataset":
        """The finished points as labelled arrays (`tnqrnn.study.to_dataset`)."""
        from tnqrnn.study.dataset import to_dataset

        return to_dataset(
            self.records(), self.points(), dims=self.dims, coords=self.coords
        )

    def _open(self) -> Job:
        directory = Path(self.directory)
        path = directory / "study.json"
        if path.exists():
            self._compare(read_json(path), path)
        elif (directory / "records").exists():
            reason = (
                "it is missing beside a folder of records; choose another directory"
            )
            raise RecordError(path, reason)
        else:
            directory.mkdir(parents=True, exist_ok=True)
            write_json(path, self.configuration)
        for name in ("records", "failures"):
            (directory / name).mkdir(exist_ok=True)
        header = self.configuration
        reserved = frozenset(header["axes"]).union(self.coords, *self.dims.values())
        return Job(self.run, self.settings, header, directory, reserved)

    def _read(self, path: Path, point: Point) -> dict[str, Any]:
        advice = "delete the file to run its point again"
        try:
            record = read_json(path)
        except RecordError as error:
            raise RecordError(path, f"{error.reason}; {advice}") from error
        self._compare(record, path)
        if record["point"] != point:
            found = f"it must hold the point {point}, got {record['point']}"
            raise RecordError(path, f"{found}; {advice}")
        return record

    def _compare(self, found: Mapping[str, Any], path: Path) -> None:
        wanted = _flatten(self.configuration)
        have = _flatten({name: found.get(name) for name in self.configuration})
        for field in sorted(wanted | have):
            want, got = wanted.get(field, "absent"), have.get(field, "absent")
            if want != got:
                raise RecordError(
                    path,
                    f"it belongs to another configuration: {field} must be {want!r}, "
                    f"got {got!r}; choose another directory",
                )


def _plain_settings(settings: Any) -> dict[str, Any]:
    """Fields that define the results, as values that JSON gives back unchanged."""
    plain = {}
    for field in dataclasses.fields(settings):
        if field.metadata.get("identity", True):
            value = getattr(settings, field.name)
            plain[field.name] = _plain(f"settings.{field.name}", value)
    return plain


def _plain(name: str, value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain_settings(value)
    if isinstance(value, Mapping):
        return {
            str(key): _plain(f"{name}.{key}", entry) for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(name, entry) for entry in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(
        f"{name} must be made of strings, numbers, lists and mappings, got {value!r}."
    )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"settings": {"epochs": 2}}`` to ``{"settings.epochs": 2}``."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _check_picklable(job: Job) -> None:
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            "run and settings must be picklable for workers > 1 (functions and classes "
            f"of a module, no lambda), got {error}."
        ) from error
