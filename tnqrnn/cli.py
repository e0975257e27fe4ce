"""The command ``tnqrnn``: one subcommand a function."""

import os
import sys
from collections.abc import Sequence

import tyro

from tnqrnn import plan_command
from tnqrnn.backends import TruncationError
from tnqrnn.doctor import doctor
from tnqrnn.train_command import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: its words; those of this process unless given.

    Returns:
        the exit code: 2 for an argument that is refused, 1 where what reads the output
        stops before its end, as ``head`` does, 130 after Ctrl-C.
    """
    plan = tyro.extras.SubcommandApp()
    plan.command(name="build")(plan_command.build)
    plan.command(name="list")(plan_command.list_plans)
    plan.command(name="show")(plan_command.show)
    plan.command(name="verify")(plan_command.verify)
    commands = tyro.extras.SubcommandApp()
    commands.command(doctor)
    commands.command(train)
    commands.command(plan, name="plan")
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
