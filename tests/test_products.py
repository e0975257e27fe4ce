"""Which algorithms are chosen: those of the device that JAX computes on."""

import types

import jax
import jax.numpy as jnp

from tnqrnn.products import on_accelerator


def test_the_default_device_decides_and_then_the_default_backend(monkeypatch):
    assert not on_accelerator()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert on_accelerator()
    for cpu in (jax.devices("cpu")[0], "cpu"):
        with jax.default_device(cpu):
            assert not on_accelerator()
    assert on_accelerator()


def test_a_gpu_as_the_default_device_counts(monkeypatch):
    for device in ("cuda", types.SimpleNamespace(platform="gpu")):
        config = types.SimpleNamespace(jax_default_device=device)
        with monkeypatch.context() as patch:
            patch.setattr(jax, "config", config)
            assert on_accelerator()


def test_a_program_is_traced_anew_under_another_default_device():
    seen = []

    @jax.jit
    def program(x):
        seen.append(on_accelerator())
        return x

    program(jnp.ones(2))
    program(jnp.ones(2))
    with jax.default_device("cpu"):
        program(jnp.ones(2))
    assert len(seen) == 2
