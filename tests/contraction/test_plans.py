"""Plans: what they contract, what files are refused, and where plans are found."""

import dataclasses
import functools
import json
import multiprocessing
import os
import string

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tnqrnn.contraction import (
    Geometry,
    PlanNotFoundError,
    contract,
    find_plan,
    load_plan,
    search_plan,
    store,
)
from tnqrnn.records import RecordError


@st.composite
def geometries(draw, max_tensors=6):
    """Connected or not, with indices of any multiplicity and some in the output."""
    count = draw(st.integers(1, max_tensors))
    names = string.ascii_lowercase[: draw(st.integers(1, 2 * count))]
    axes = st.lists(st.sampled_from(names), unique=True, max_size=4)
    inputs = [draw(axes) for _ in range(count)]
    inputs[0] = inputs[0] or [names[0]]
    used = list(dict.fromkeys(name for tensor in inputs for name in tensor))
    output = draw(st.lists(st.sampled_from(used), unique=True, max_size=3))
    sizes = {name: draw(st.integers(1, 3)) for name in used}
    return Geometry.of(inputs, output, sizes)


def arrays_of(geometry):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in geometry.shapes]


def brute_force(geometry, arrays):
    """One sum over all indices at once."""
    return np.einsum(geometry.equation, *arrays, optimize=False)


@settings(max_examples=60)
@given(geometries(), st.sampled_from(["forward", "reverse"]))
def test_a_plan_contracts_its_network(geometry, objective):
    plan = search_plan(geometry, objective, repeats=2)
    arrays = arrays_of(geometry)
    expected = brute_force(geometry, arrays)
    np.testing.assert_allclose(contract(plan, arrays), expected, atol=1e-12)


@settings(max_examples=30)
@given(geometries())
def test_names_and_files_do_not_matter(tmp_path_factory, geometry):
    renamed = Geometry.of(
        [[("index", i) for i in indices] for indices in geometry.inputs],
        [("index", i) for i in geometry.output],
        {("index", i): size for i, size in geometry.size_of.items()},
    )
    assert renamed == geometry
    plan = search_plan(geometry, repeats=2, seed=3)
    assert plan == search_plan(renamed, repeats=2, seed=3)
    assert load_plan(plan.save(tmp_path_factory.mktemp("plans"))) == plan


def lattice(side=3, bond=3):
    """Tensors on a square, one open index at a corner."""
    inputs = [[] for _ in range(side**2)]
    for i in range(side**2):
        row, column = divmod(i, side)
        for j in [i + 1] * (column + 1 < side) + [i + side] * (row + 1 < side):
            inputs[i].append((i, j))
            inputs[j].append((i, j))
    inputs[0].append("open")
    sizes = {name: bond for tensor in inputs for name in tensor}
    return Geometry.of(inputs, ["open"], sizes)


def test_a_search_is_the_same_every_time():
    geometry = lattice(4, bond=2)
    first = search_plan(geometry)
    assert first == search_plan(geometry)
    assert first.path != search_plan(geometry, seed=1).path
    brief = search_plan(geometry, max_seconds=0.0)
    assert brief == search_plan(geometry, repeats=1)


def test_slices_change_neither_values_nor_gradients():
    geometry = lattice()
    whole, arrays = search_plan(geometry), arrays_of(geometry)
    sliced = whole.sliced(72, "complex64")
    assert whole.log2_width > np.log2(9) >= sliced.log2_width
    assert sliced.n_slices == 3 ** len(sliced.slices) > 1
    assert sliced.fingerprint == whole.fingerprint
    assert whole.sliced(8 * 10**6, "complex64") is whole

    @functools.partial(jax.jit, static_argnums=0)
    def both(plan, arrays):
        loss = lambda arrays: jnp.sum(jnp.sin(contract(plan, arrays)))  # noqa: E731
        return contract(plan, arrays), jax.grad(loss)(arrays)

    for found, expected in zip(
        jax.tree.leaves(both(sliced, arrays)),
        jax.tree.leaves(both(whole, arrays)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-9)
    with pytest.raises(ValueError, match="memory_limit must be an integer >= 24"):
        whole.sliced(16, "complex64")
    assert whole.sliced(24, "complex64").log2_width == np.log2(3)


def test_cost_and_width_of_a_product_of_matrices():
    sizes = dict(a=2, b=16, c=4, d=8)
    geometry = Geometry.of(["ab", "bc", "cd"], "ad", sizes)
    plan = search_plan(geometry)
    assert plan.path[0] == (0, 1)  # 2*16*4 + 2*4*8 multiplications; else 16*4*8 + ...
    np.testing.assert_allclose(plan.log10_cost, np.log10(2 * 16 * 4 + 2 * 4 * 8))
    assert plan.log2_width == np.log2(2 * 8)  # the result; inputs do not count


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(path=[[0, 1], [0, 2]]), "path must name two different tensors of 2"),
        (dict(path=[[0, 0], [0, 1]]), "path must name two different tensors of 3"),
        (dict(path=[[0, 1]]), "path must have 2 contractions for 3 tensors"),
        (dict(path=[[0, 1.0], [0, 1]]), "path must hold pairs of integers"),
        (dict(path=[[1, 2], [0, 1]]), "log10_cost must be 2.88"),
        (dict(log2_width=3.0), "log2_width must be 4.0"),
        (dict(log10_cost=float("nan")), "log10_cost must be of type float"),
        (dict(sizes=dict(a=2, b=2**40, c=4, d=8)), "sizes must be 4 integers"),
        (dict(sizes=dict(a=2, b=16.5, c=4, d=8)), "sizes must be 4 integers"),
        (dict(sizes=dict(a=2, b=16, c=4)), "sizes must be those of the equation"),
        (dict(equation="aab,bc,cd->ad"), "must not repeat an index"),
        (dict(equation="ab,bc,cd->aa"), "must not repeat an index"),
        (dict(equation="ab,bc,cd->ax"), "output must name indices of the inputs"),
        (dict(equation="ab,bc,cd"), "equation must have an arrow"),
        (dict(equation="ac,cb,bd->ad"), "sizes must be those of the equation"),
        (dict(slices=["a"]), "slices must be different summed indices"),
        (dict(slices=["b", "b"]), "slices must be different summed indices"),
        (dict(slices=[3]), "slices must be letters"),
        (dict(slices=["b"]), "log10_cost must be"),
        (
            dict(sizes=dict(a=2, b=2**20, c=2**20, d=8), slices=["b", "c"]),
            "slices must cut a network into at most 1048576 parts",
        ),
        (dict(format=2), "format must be 1, got 2"),
        (dict(format=True), "format must be of type int"),
        (dict(seed="0"), "seed must be of type int"),
        (dict(objective="forward"), "its name should be"),
        (dict(more=1), "it must be an object with the fields"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(tmp_path, change, reason):
    geometry = Geometry.of(["ab", "bc", "cd"], "ad", dict(a=2, b=16, c=4, d=8))
    path = search_plan(geometry).save(tmp_path)
    fields = json.loads(path.read_text()) | change
    path.write_text(json.dumps(fields))
    with pytest.raises(RecordError, match=reason) as error:
        load_plan(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * (2**23 + 1)]
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, content):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"plan\.json cannot be used"):
        load_plan(path)


def test_a_file_cut_short_is_refused(tmp_path):
    path = search_plan(lattice(2)).save(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(RecordError, match="cannot be used"):
            load_plan(path)


def test_arrays_of_another_shape_are_refused():
    plan = search_plan(lattice(2, bond=2))
    with pytest.raises(ValueError, match="arrays must be of shapes"):
        contract(plan, [np.ones((2, 2))] * 4)


def test_plans_are_found_where_they_are_kept(tmp_path, monkeypatch):
    """Shipped plans first, then the cache; what a search finds stays there."""
    shipped, cache = tmp_path / "shipped", tmp_path / "cache"
    shipped.mkdir()
    monkeypatch.setattr(store, "shipped_folder", lambda: shipped)
    monkeypatch.setenv("TNQRNN_PLANS", str(cache))
    geometry = lattice(2)
    with pytest.raises(
        PlanNotFoundError, match="got 'never' for a network of 4 tensors"
    ):
        find_plan(geometry, search="never")
    assert not cache.exists()
    plan = find_plan(geometry)
    assert [path.stem for path in cache.iterdir()] == [plan.fingerprint]

    def refuse(*args, **kwargs):
        raise AssertionError("a stored plan needs no search")

    monkeypatch.setattr(store, "search_plan", refuse)
    assert find_plan(geometry) == find_plan(geometry, search="never") == plan
    other = dataclasses.replace(plan, seed=7)
    other.save(shipped)
    assert find_plan(geometry).seed == 7
    (shipped / f"{plan.fingerprint}.json").write_text("{}")
    with pytest.raises(RecordError, match="shipped"):
        find_plan(geometry)


def search_in_turn(folder, barrier, results):
    os.environ["TNQRNN_PLANS"] = folder
    barrier.wait()
    results.put(find_plan(lattice()).path)


@pytest.mark.slow
def test_processes_that_search_for_the_same_plan_do_no_harm(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    arguments = (str(tmp_path / "cache"), barrier, results)
    processes = [
        context.Process(target=search_in_turn, args=arguments) for _ in range(3)
    ]
    for process in processes:
        process.start()
    paths = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    (file,) = (tmp_path / "cache").iterdir()
    assert load_plan(file).path == paths[0] == paths[1] == paths[2]
