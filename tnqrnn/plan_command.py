"""``tnqrnn plan``: makes contraction plans, says what they are and what they cost."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import jax

from tnqrnn.backends.network_readout import network_geometries
from tnqrnn.checks import check_int, check_number
from tnqrnn.circuits import hardware_efficient
from tnqrnn.circuits.observables import NAMED
from tnqrnn.contraction import (
    ContractionPlan,
    cache_folder,
    load_plan,
    plan_error,
    search_plan,
    shipped_folder,
    stored_plan,
)
from tnqrnn.records import RecordError
from tnqrnn.study import use_one_thread
from tnqrnn.study.plan_prices import measure_rates, price_plan

AGREEMENT = 1e-10
"""Largest relative error in complex128 that ``verify`` accepts."""

ROWS, BAR = 24, 40
"""Lines and characters of a profile drawn as text."""

Topology = Literal["chain", "ring", "brickwork", "all_to_all"]


def build(
    *,
    n_qubits: list[int],
    n_layers: int = 2,
    topology: Topology = "chain",
    n_steps: int = 1,
    observables: str = "xyz",
    folder: Path | None = None,
    max_seconds: float = 60.0,
) -> int:
    """Makes the plans of ``tq.Network`` for circuits of ``tq.hardware_efficient``.

    Plans that are stored already are left as they are.

    Args:
        n_qubits: numbers of qubits.
        n_layers: layers of the circuit.
        topology: of the circuit.
        n_steps: T; plans of every step up to it are made.
        observables: what is read: xyz, z, xyz+zz, or Pauli strings with commas between.
        folder: where to put the plans; the user's cache unless given.
        max_seconds: budget of the search for one plan.

    Raises:
        ValueError: an argument out of range.
    """
    n_steps = check_int("n_steps", n_steps, minimum=1)
    if not n_qubits:
        raise ValueError("n_qubits must be at least one number, got none.")
    check_number("max_seconds", max_seconds, minimum=0)
    read = observables if observables in NAMED else observables.split(",")
    folder = cache_folder() if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    for n in n_qubits:
        ansatz = hardware_efficient(n, n_layers, topology=topology)
        for geometry in network_geometries(ansatz, n_steps, read):
            known = folder / f"{geometry.fingerprint('reverse')}.json"
            found = known if known.is_file() else stored_plan(geometry)
            if found:
                print(f"{_line(load_plan(found))}  stored in {found.parent}")
                continue
            plan = search_plan(geometry, max_seconds=max_seconds, progress=None)
            plan.save(folder)
            print(f"{_line(plan)}  new")
    return 0


def list_plans() -> int:
    """Lists the plans that are shipped and those in the user's cache."""
    for title, folder in (("shipped", shipped_folder()), ("cache", cache_folder())):
        paths = _paths(folder)
        print(f"{title}: {len(paths)} plans in {folder}")
        for path in paths:
            try:
                print(f"  {_line(load_plan(path))}")
            except RecordError as error:
                print(f"  {error}")
    return 0


def show(plan: str, /, *, out: Path | None = None) -> int:
    """Draws what each contraction of a plan writes and costs.

    Args:
        plan: a file, or the beginning of a stored plan's fingerprint.
        out: a folder for the picture, profile.png.

    Raises:
        ValueError: no stored plan, or several, begin so.
    """
    found = _find(plan)
    tree = found.tree()
    sizes, costs = [], []
    for parent, _, _ in tree.traverse():
        sizes.append(math.log2(tree.get_size(parent)))
        costs.append(math.log2(tree.get_flops(parent)))
    print(_line(found))
    print(f"{len(sizes)} contractions, {found.n_slices} slices, {found.objective}\n")
    print("contraction  log2 entries written")
    for first, last, size in _profile(sizes):
        span = str(first) if first == last else f"{first}-{last}"
        bar = "#" * round(BAR * size / max(1.0, max(sizes)))
        print(f"{span:>11}  {size:5.1f} {bar}")
    if out is not None:
        from tnqrnn.study.plan_figures import plot_profile

        print(f"\n{plot_profile(sizes, costs).save(out)}")
    return 0


def verify(*, folder: Path | None = None) -> int:
    """Contracts random tensors by every plan and compares with NumPy's own answer.

    Every tree is rebuilt, its cost and width computed again, and its result compared in
    complex128 with one that NumPy finds without the plan.

    Args:
        folder: of the plans; the shipped ones unless given.

    Returns:
        1 if a plan is wrong or cannot be used, or there is none, else 0.

    Raises:
        ValueError: there is no such folder.
    """
    jax.config.update("jax_enable_x64", True)
    folder = shipped_folder() if folder is None else folder
    if not folder.is_dir():
        raise ValueError(f"folder must be a folder of plans, got {str(folder)!r}.")
    paths = _paths(folder)
    wrong = 0
    for path in paths:
        try:
            plan = load_plan(path)
        except RecordError as error:
            print(f"refused  {error}")
            wrong += 1
            continue
        off = plan_error(plan)
        wrong += off > AGREEMENT
        verdict = "agrees" if off <= AGREEMENT else "WRONG"
        print(f"{verdict:7}  {off:.0e}  {_line(plan)}")
    print(f"{len(paths) - wrong} of {len(paths)} plans agree")
    return int(wrong > 0 or not paths)


def price(
    plan: str,
    /,
    *,
    memory_limit: int | None = None,
    dtype: Literal["complex64", "complex128"] = "complex64",
) -> int:
    """Says what one contraction by a plan costs on this machine, one thread.

    Args:
        plan: a file, or the beginning of a stored plan's fingerprint.
        memory_limit: bytes that the largest intermediate result may take.
        dtype: complex type of the entries.

    Raises:
        ValueError: no stored plan, or several, begin so; a limit below the network's
            own result.
    """
    use_one_thread()  # before JAX starts
    jax.config.update("jax_enable_x64", dtype == "complex128")
    found = _find(plan)
    cost = price_plan(found, measure_rates(dtype), dtype, memory_limit)
    print(_line(found))
    for title, text in (
        ("operations", f"{cost.flops:.3g} floating-point operations"),
        ("width", f"2^{cost.log2_width:.1f} entries, the largest result"),
        ("memory", f"{cost.n_bytes / 2**20:.3g} MiB held at once, {dtype}"),
        ("slices", f"{cost.n_slices}"),
        ("seconds", f"{cost.seconds:.2g} for the value, predicted from three rates"),
    ):
        print(f"{title:12}{text}")
    return 0


def _line(plan: ContractionPlan) -> str:
    return (
        f"{plan.fingerprint}  {len(plan.geometry.inputs):4} tensors  "
        f"cost 10^{plan.log10_cost:.1f}  width 2^{plan.log2_width:.0f}"
    )


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _find(plan: str) -> ContractionPlan:
    if Path(plan).is_file():
        return load_plan(plan)
    folders = (shipped_folder(), cache_folder())
    names = {path.stem: path for f in folders for path in _paths(f)}
    found = [path for name, path in names.items() if name.startswith(plan)]
    if len(found) != 1:
        raise ValueError(
            "plan must be a file or the beginning of one stored plan's fingerprint, "
            f"got {plan!r}, which {len(found)} of {len(names)} begin with."
        )
    return load_plan(found[0])


def _profile(sizes: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    """The largest size of each run of contractions: first, last (from 1), size."""
    length = math.ceil(len(sizes) / ROWS)
    for start in range(0, len(sizes), length):
        run = sizes[start : start + length]
        yield start + 1, start + len(run), max(run)
