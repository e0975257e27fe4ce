"""Steps in chunks of about a second, and Ctrl-C between two of them.

A compiled program cannot be interrupted: Python hears of Ctrl-C when it returns. So
steps run a few at a time, as many as take about :data:`SECONDS_A_CHUNK`.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp

SECONDS_A_CHUNK = 1.0


def compiled(program: Any, *arguments: Any) -> Callable[..., Any]:
    """A jitted program, traced and compiled ahead of its first call.

    With ``jax_disable_jit`` there is nothing to compile, and the program itself runs.
    """
    if jax.config.values["jax_disable_jit"]:
        return program
    return program.lower(*arguments).compile()


class Pace:
    """How many steps make a chunk, from how long the last one took."""

    def __init__(self) -> None:
        self._steps = 1

    def chunk(self, start: int, n_steps: int) -> tuple[jax.Array, jax.Array]:
        """The next chunk's first step, and the step after its last."""
        stop = min(start + self._steps, n_steps)
        return jnp.asarray(start, jnp.int32), jnp.asarray(stop, jnp.int32)

    def took(self, n_steps: int, seconds: float) -> None:
        """Notes a chunk; the next one is at most four times as long."""
        wanted = int(n_steps * SECONDS_A_CHUNK / max(seconds, 1e-9))
        self._steps = max(1, min(wanted, 4 * n_steps))


def in_chunks(
    run: Callable[[jax.Array, jax.Array], Any],
    n_steps: int,
    between: Callable[[], bool | None],
) -> Any:
    """What ``run(start, stop)`` returns for the last chunk.

    Args:
        run: takes a chunk and returns a pytree of arrays.
        n_steps: S.
        between: called after every chunk; ``True`` leaves out the rest. May raise.
    """
    pace, done, result = Pace(), 0, None
    while done < n_steps:
        start, stop = pace.chunk(done, n_steps)
        begun = time.perf_counter()
        result = jax.block_until_ready(run(start, stop))
        pace.took(int(stop) - done, time.perf_counter() - begun)
        done = int(stop)
        if between():
            break
    return result


class Interrupts:
    """Whether Ctrl-C was pressed since the last look."""

    def __init__(self) -> None:
        self._pressed = False

    def note(self, signum: int, frame: FrameType | None) -> None:
        """The handler of SIGINT."""
        self._pressed = True

    def check(self) -> None:
        """Raises if Ctrl-C was pressed.

        Raises:
            KeyboardInterrupt: it was.
        """
        if self._pressed:
            self._pressed = False
            raise KeyboardInterrupt


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Within it Ctrl-C waits until :meth:`Interrupts.check` is called.

    So it never breaks into XLA's compiler, which crashes then, or between two writes
    of a checkpoint. Signals belong to the main thread: in another one nothing changes.
    """
    interrupts = Interrupts()
    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, interrupts.note) if ours else None
    try:
        yield interrupts
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
