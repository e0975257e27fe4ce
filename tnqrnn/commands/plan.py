"""``tnqrnn plan``: makes contraction plans, says what they are and checks them."""

from pathlib import Path
from typing import Literal

import jax

from tnqrnn.backends.network.readout import network_geometries
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

AGREEMENT = 1e-10
"""Largest relative error in complex128 that ``verify`` accepts."""

PURPOSES = {"forward": "values", "reverse": "values and gradients"}
"""What plans of an objective are for."""

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


def show(plan: str, /) -> int:
    """Says what a plan contracts, what it is for and what it costs.

    Args:
        plan: a file, or the beginning of a stored plan's fingerprint.

    Raises:
        ValueError: no stored plan, or several, begin so.
    """
    found = _find(plan)
    geometry = found.geometry
    for title, text in (
        ("plan", found.fingerprint),
        ("network", f"{len(geometry.inputs)} tensors, {len(geometry.sizes)} indices"),
        ("result", f"{len(geometry.output)} indices"),
        ("for", f"{PURPOSES[found.objective]} (objective {found.objective!r})"),
        ("cost", f"10^{found.log10_cost:.2f} multiplications"),
        ("width", f"2^{found.log2_width:.1f} entries, the largest result"),
        ("slices", f"{found.n_slices}"),
        ("found by", f"cotengra {found.cotengra_version}, seed {found.seed}"),
    ):
        print(f"{title:10}{text}")
    return 0


def verify(*, folder: Path | None = None) -> int:
    """Contracts random tensors by every plan and compares with another order's result.

    Every tree is rebuilt, its cost and width computed again, and its result compared in
    complex128 with what cotengra finds by a greedy order of its own.

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
