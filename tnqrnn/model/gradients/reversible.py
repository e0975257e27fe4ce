r"""Backpropagation through time that undoes the circuit instead of storing it.

One step is, with psi the state, z its readouts and theta the circuit's angles,

    theta_t = f(x_t, z_{t-1}, c)        the controller
    psi_t   = U(theta_t) psi_{t-1}      the circuit
    z_t     = <psi_t| P |psi_t>         the readouts

The way back carries psi_t, its cotangent lambda_t = dL/d(psi_t) and dz_t = dL/d(z_t),
and makes four moves a step, for t = T, ..., 1:

    1.  lambda_t <- lambda_t + sum_m dz_t[m] d(z_t[m])/d(psi_t),  of a Pauli string P_m
        that is 2 dz_t[m] P_m psi_t
    2.  psi_{t-1} = U(theta_t)^dagger psi_t                         rebuilt, not stored
    3.  lambda_{t-1} = U^dagger lambda_t,   dU = lambda_t psi_{t-1}^dagger,
        d(theta_t) = dU through the matrices of the fused blocks
    4.  dz_{t-1} = d(theta_t) through f   +   what the caller's loss asks of z_{t-1}

So one state is held for any T. Weight gradients are not accumulated inside the loop: it
emits d(theta_t), and one product after it carries all of them to the parameters, the
inputs and the context.

After its last step a sample stands still, psi_t = psi_{t-1} and z_t = z_{t-1}; on the
way back nothing is undone there and both cotangents pass through unchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from tnqrnn.model.base import AbstractCell, Carry, Rollout
from tnqrnn.model.gradients.base import (
    AbstractGradient,
    Moment,
    Samples,
    given,
    moments,
)


@dataclass(frozen=True)
class Reversible(AbstractGradient):
    """Rebuilds each state from the one after it; exact backends alone can."""

    name: ClassVar[str] = "reversible"

    def group_size(self, cell: Any, carry: Carry) -> int:
        return cell.engine.group_size(carry.state)

    def roll(self, cell: AbstractCell, samples: Samples) -> Rollout:
        """The whole roll-out under one derivative rule, since readouts are fed back."""
        params, static = eqx.partition(cell, eqx.is_inexact_array)

        @jax.custom_vjp
        def run(params, samples):
            return _forward(eqx.combine(params, static), samples)

        def forward(params, samples):
            zs, last = _forward(eqx.combine(params, static), samples)
            first = samples.carry.readouts
            inputs = samples._replace(carry=None)  # states are rebuilt
            return (zs, last), (params, inputs, first, zs, last.state)

        def backward(residuals, cotangents):
            return _backward(static, residuals, cotangents)

        run.defvjp(forward, backward)
        zs, last = run(params, samples)
        nothing_lost = jax.vmap(cell.truncation)(last)
        truncation = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf[None], (len(zs), *leaf.shape)),
            nothing_lost,
        )
        return Rollout(zs, last, truncation)


def _forward(cell: Any, samples: Samples) -> tuple[jax.Array, Carry]:
    """Readouts of every step and the last carry.

    Controller and block matrices are computed for the whole batch; states are moved a
    few at a time, so that they stay in the processor's cache.
    """
    backend, ansatz = cell.engine, cell.ansatz

    def move(now):
        operators, state, z, active = now
        moved = backend.apply(ansatz, operators, state)
        read = cell.read(moved)
        if active is None:
            return moved, read
        # Behind a sample's end psi_t = psi_{t-1} and z_t = z_{t-1}.
        return backend.select(active, moved, state), jnp.where(active, read, z)

    def step(carry, moment):
        angles = _angles(cell, moment, carry.readouts, samples.context)
        operators = jax.vmap(lambda a: backend.operators(ansatz, a))(angles)
        z = None if moment.active is None else carry.readouts
        now = (operators, carry.state, z, moment.active)
        state, z = _for_samples(backend, move, now)
        return type(carry)(state, z), z

    carry, zs = jax.lax.scan(step, samples.carry, moments(samples))
    return zs, carry


def _angles(cell: Any, moment: Moment, z: jax.Array, context: Any) -> jax.Array:
    """theta_t of every sample of a batch, of shape (B, P)."""

    def of_a_sample(x, z, context, key):
        return cell.angles(x, z, **given(context=context, key=key))

    return jax.vmap(of_a_sample)(moment.x, z, context, moment.keys)


def _for_samples(backend: Any, function: Callable, arguments: Any) -> Any:
    """``function`` on each sample, as many at once as the backend finds fastest."""
    batch = len(jax.tree.leaves(arguments)[0])
    most = backend.samples_at_once(arguments[1])
    size = max(i for i in range(1, batch + 1) if batch % i == 0 and i <= most)
    if size == batch:
        return jax.vmap(function)(arguments)
    return jax.lax.map(function, arguments, batch_size=size if size > 1 else None)


def _backward(static: Any, residuals: tuple, cotangents: tuple) -> tuple:
    """Cotangents of (params, samples) from those of (zs, last carry).

    The numbers are those of the module's four moves.
    """
    params, samples, first, zs, state = residuals
    dzs, dlast = cotangents
    cell = eqx.combine(params, static)
    backend, ansatz = cell.engine, cell.ansatz
    before = jnp.concatenate([first[None], zs[:-1]])  # z_{t-1} of every step

    def move_back(now):
        operators, state, dstate, dz, active = now
        pulled = backend.pull_back_expectation(cell.observables, state, dz, dstate)  # 1
        undone = backend.undo(ansatz, operators, state, pulled)  # 2, 3
        earlier, dearlier, doperators = undone
        if active is not None:  # behind the end nothing is undone, lambda passes
            earlier = backend.select(active, earlier, state)
            dearlier = backend.select(active, dearlier, dstate)
        return earlier, dearlier, doperators

    def step(carry, inputs):
        state, dstate, dz = carry
        moment, z, dz_out = inputs
        dz = dz + dz_out
        angles, to_z = jax.vjp(lambda z: _angles(cell, moment, z, samples.context), z)
        operators, to_angles = jax.vjp(
            jax.vmap(lambda a: backend.operators(ansatz, a)), angles
        )
        now = (operators, state, dstate, dz, moment.active)
        state, dstate, doperators = _for_samples(backend, move_back, now)
        (dangles,) = to_angles(doperators)  # 3, d(theta_t)
        if moment.active is not None:  # behind the end no angles were applied
            dangles = jnp.where(moment.active[:, None], dangles, 0)
        (fed_back,) = to_z(dangles)  # 4
        if moment.active is not None:  # and dz passes
            fed_back = jnp.where(moment.active[:, None], fed_back, dz)
        return (state, dstate, fed_back), dangles

    start = (state, dlast.state, dlast.readouts)
    steps = moments(samples)
    (_, dstate, dz), dangles = jax.lax.scan(
        step, start, (steps, before, dzs), reverse=True
    )

    def all_angles(params, xs, context):
        cell = eqx.combine(params, static)
        at_a_step = lambda moment, z: _angles(cell, moment, z, context)  # noqa: E731
        return jax.vmap(at_a_step)(steps._replace(x=xs), before)

    _, to_params = jax.vjp(all_angles, params, steps.x, samples.context)
    dparams, dxs, dcontext = to_params(dangles)
    dsamples = Samples(
        jnp.swapaxes(dxs, 0, 1), type(dlast)(dstate, dz), context=dcontext
    )
    return dparams, dsamples
