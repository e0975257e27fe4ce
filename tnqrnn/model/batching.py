"""Batches cut into groups that run one after another, and spread over devices.

A group is small enough for its states to stay in a processor's cache. Groups run one
after another on a device (``lax.map``), and side by side on several of them
(``jax.shard_map``): on GPUs, or on a CPU whose cores JAX was told to treat as devices.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tnqrnn.checks import check_int

AXIS = "batch"
"""Name of the mesh axis over which batches are spread."""


def batch_over_devices(
    n_devices: int | None = None,
) -> contextlib.AbstractContextManager[Any]:
    """Within it, batches of roll-outs and their gradients run on several devices.

    Every :func:`tnqrnn.unroll`, and so every model and :func:`tnqrnn.fit`, cuts its
    batch into equal parts, one a device; parameters are on all of them and gradients
    are added up. Results are the same up to rounding. A CPU is one device unless JAX is
    told otherwise before its first computation::

        jax.config.update("jax_num_cpu_devices", 2)
        with tq.batch_over_devices():
            model, history = tq.fit(...)

    It is a mesh with an axis ``"batch"`` (``jax.set_mesh``); a mesh of your own that
    has such an axis works as well.

    Args:
        n_devices: how many; ``None`` is all of ``jax.devices()``.

    Raises:
        ValueError: JAX has fewer devices.
    """
    devices = jax.devices()
    if n_devices is None:
        n_devices = len(devices)
    n_devices = check_int("n_devices", n_devices, minimum=1)
    if n_devices > len(devices):
        raise ValueError(
            f"n_devices must be at most JAX's {len(devices)} devices, got {n_devices}; "
            f"jax.config.update('jax_num_cpu_devices', {n_devices}) before the first "
            "computation makes that many of a CPU's cores."
        )
    mesh = jax.make_mesh(
        (n_devices,),
        (AXIS,),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=devices[:n_devices],
    )
    return jax.set_mesh(mesh)


def in_groups(function: Callable, shared: Any, batch: Any, size: int) -> Any:
    """``function(shared, batch)``, groups of at most ``size`` samples at a time.

    The last group is filled up with copies of the last sample, whose results are left
    out.

    Args:
        function: takes and returns pytrees whose arrays have a leading axis of samples.
        shared: pytree of arrays that every group needs.
        batch: pytree of arrays with leading axis B.
        size: samples a group, at least 1.

    Returns:
        what ``function`` returns for the whole batch.
    """
    n_samples = len(jax.tree.leaves(batch)[0])
    n_devices = _n_devices()
    if n_samples < n_devices:
        n_devices = 1
    n_groups = n_devices * -(-n_samples // (n_devices * size))
    if n_groups == 1:
        return function(shared, batch)
    width = -(-n_samples // n_groups)
    n_missing = n_groups * width - n_samples

    def cut(leaf: jax.Array) -> jax.Array:
        if n_missing:
            copies = jnp.broadcast_to(leaf[-1:], (n_missing, *leaf.shape[1:]))
            leaf = jnp.concatenate([leaf, copies])
        return leaf.reshape(n_groups, width, *leaf.shape[1:])

    def each(shared: Any, groups: Any) -> Any:
        if len(jax.tree.leaves(groups)[0]) > 1:
            return jax.lax.map(lambda group: function(shared, group), groups)
        only = function(shared, jax.tree.map(lambda leaf: leaf[0], groups))
        return jax.tree.map(lambda leaf: leaf[None], only)

    if n_devices > 1:
        each = _spread(each)
    result = each(shared, jax.tree.map(cut, batch))
    return jax.tree.map(
        lambda leaf: leaf.reshape(n_groups * width, *leaf.shape[2:])[:n_samples], result
    )


def _spread(function: Callable) -> Callable:
    """A function of (shared, groups) that runs on every device on its share of groups.

    All else of a program stays whole on every device, arguments and results included:
    XLA must not find ways of its own to partition it.
    """
    here = jax.P(AXIS)
    spread = jax.shard_map(
        function, in_specs=(jax.P(), here), out_specs=here, check_vma=False
    )

    def whole(tree: Any) -> Any:
        return jax.tree.map(
            lambda leaf: jax.lax.with_sharding_constraint(leaf, jax.P()), tree
        )

    return lambda shared, groups: whole(spread(shared, whole(groups)))


def _n_devices() -> int:
    """Devices to spread a batch over: 1 without a mesh that has the axis."""
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS not in mesh.axis_names or AXIS in mesh.manual_axes:
        return 1
    return mesh.shape[AXIS]
