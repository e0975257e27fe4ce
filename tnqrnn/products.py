"""Products of arrays, computed in all the bits of their type.

On a GPU JAX rounds the factors of float32 and complex64 products to 10 bits (TF32)
unless it is told otherwise. A recurrence that feeds its readouts back amplifies such
errors, so everything between input and readouts is multiplied by the functions here.
"""

import functools

import jax
import jax.numpy as jnp

PRECISION = "highest"
"""The name of full precision in JAX."""

einsum = functools.partial(jnp.einsum, precision=PRECISION)
matmul = functools.partial(jnp.matmul, precision=PRECISION)
tensordot = functools.partial(jnp.tensordot, precision=PRECISION)
vdot = functools.partial(jnp.vdot, precision=PRECISION)
dot_general = functools.partial(jax.lax.dot_general, precision=PRECISION)


def on_accelerator() -> bool:
    """Whether JAX computes on an accelerator, a GPU say, and not on a CPU.

    That is where ``jax.default_device`` says, under which programs are traced anew, or
    else JAX's default backend. A choice made while a program is lowered
    (``jax.lax.platform_dependent``) would not do: block widths and group sizes, which
    are chosen by this too, decide the shapes of arrays.
    """
    # None, a device, or a platform's name
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    if device is None:
        return jax.default_backend() != "cpu"
    return getattr(device, "platform", device) != "cpu"
