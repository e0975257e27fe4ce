"""The command ``tnqrnn``: one subcommand a function."""

import os
import sys
from collections.abc import Sequence

import tyro

from tnqrnn.backends import TruncationError
from tnqrnn.commands import plan
from tnqrnn.commands.doctor import doctor
from tnqrnn.commands.train.command import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: its words; those of this process unless given.

    Returns:
        the exit code: 2 for an argument that is refused, 1 where what reads the output
        stops before its end, as ``head`` does, 130 after Ctrl-C.
    """
    plans = tyro.extras.SubcommandApp()
    plans.command(name="build")(plan.build)
    plans.command(name="list")(plan.list_plans)
    plans.command(name="show")(plan.show)
    plans.command(name="verify")(plan.verify)
    commands = tyro.extras.SubcommandApp()
    commands.command(doctor)
    commands.command(train)
    commands.command(plans, name="plan")
    try:
        code = commands.cli(prog="tnqrnn", args=arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes once more when it ends, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("tnqrnn: stopped.", file=sys.stderr)
        return 130
    except (ValueError, MemoryError, TruncationError) as error:
        print(f"tnqrnn: {error}", file=sys.stderr)
        return 2
