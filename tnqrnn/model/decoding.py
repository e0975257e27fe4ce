"""Tokens out of a model, one after another."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from tnqrnn.checks import check_instance, check_int, check_number
from tnqrnn.model.heads import LanguageModel

LEAST_TEMPERATURE = 1e-3  # below, l / tau leaves the range of float32


def generate(
    model: LanguageModel,
    prompt: ArrayLike,
    n_steps: int,
    *,
    temperature: float = 1.0,
    key: PRNGKeyArray | None = None,
) -> np.ndarray:
    """Goes on with a text: each token is drawn from what the model expects next.

    With logits l and temperature tau, token v is drawn with probability
    exp(l_v / tau) / sum_u exp(l_u / tau). At tau = 0 it is the most probable one, the
    first of equal ones, and nothing is drawn. The carry goes on from token to token, so
    a model that was trained on windows of W steps, each from its start, is best asked
    for no more than W tokens, the prompt included.

    Args:
        model: the language model.
        prompt (integers of shape (P,) or (B, P)): what comes before, P >= 1.
        n_steps: N >= 1, how many tokens to draw.
        temperature: tau, 0 or at least 1e-3; below 1 likely tokens become likelier.
        key: PRNG key; needed unless the temperature is 0. Sample b of a batch draws
            from the key, b and the step alone.

    Returns:
        int32 of shape (N,) or (B, N), without the prompt.

    Raises:
        ValueError: an argument outside its range, ids that the model does not have, no
            key, or a model whose carry grows (``Network``).

    >>> import tnqrnn as tq
    >>> cell = tq.QRNNCell(4, tq.hardware_efficient(2), key=jax.random.key(0))
    >>> model = tq.LanguageModel(cell, 5, key=jax.random.key(1))
    >>> tq.generate(model, [[0, 3], [4, 1]], 6, key=jax.random.key(2)).shape
    (2, 6)
    """
    check_instance("model", model, LanguageModel)
    check_int("n_steps", n_steps, minimum=1)
    if temperature != 0:
        check_number("temperature", temperature, minimum=LEAST_TEMPERATURE)
    if temperature and key is None:
        raise ValueError(f"key must be given for temperature={temperature}, got None.")
    if model.cell.grows:
        raise ValueError(
            "model must have a carry of fixed size to generate, got one on a backend "
            "whose state grows."
        )
    ids = np.asarray(prompt)
    integers = np.issubdtype(ids.dtype, np.integer)
    if not integers or ids.ndim not in (1, 2) or ids.size == 0:
        raise ValueError(
            "prompt must be token ids, integers of shape (P,) or (B, P) with P >= 1, "
            f"got {ids.dtype} values of shape {ids.shape}."
        )
    batch = ids if ids.ndim == 2 else ids[None]
    model.check_inputs(batch)
    first = jax.random.key(0) if key is None else key  # at 0 nothing is drawn
    samples = jnp.arange(len(batch), dtype=jnp.int32)
    keys = jax.vmap(lambda b: jax.random.fold_in(first, b))(samples)
    tokens = _generated(
        model, jnp.asarray(batch, jnp.int32), keys, float(temperature), n_steps
    )
    return np.asarray(tokens if ids.ndim == 2 else tokens[0])


@eqx.filter_jit
def _generated(
    model: LanguageModel,
    prompt: jax.Array,
    keys: PRNGKeyArray,
    temperature: float,
    n_steps: int,
) -> jax.Array:
    """Tokens of shape (B, N)."""

    def chosen(logits: jax.Array, t: jax.Array) -> jax.Array:
        if temperature == 0:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        scaled = logits / jnp.asarray(temperature, logits.dtype)
        draw = lambda key, row: jax.random.categorical(  # noqa: E731
            jax.random.fold_in(key, t), row
        )
        return jax.vmap(draw)(keys, scaled).astype(jnp.int32)

    def step(now: tuple, t: jax.Array) -> tuple[tuple, jax.Array]:
        logits, carry = now
        token = chosen(logits, t)
        outputs, rollout = model.run(token[:, None], carry=carry)
        return (outputs[:, -1], rollout.carry), token

    outputs, rollout = model.run(prompt)
    start: Any = (outputs[:, -1], rollout.carry)
    _, tokens = jax.lax.scan(step, start, jnp.arange(n_steps, dtype=jnp.int32))
    return tokens.T
