"""The command ``tnqrnn``: one subcommand a function."""

import sys

import tyro

from tnqrnn import plan_command
from tnqrnn.doctor import doctor
from tnqrnn.records import RecordError


def main() -> int:
    """Runs the command line of this process.

    Returns:
        the exit code: 2 for an argument that is refused.
    """
    plan = tyro.extras.SubcommandApp()
    for name, command in plan_command.COMMANDS.items():
        plan.command(command, name=name)
    commands = tyro.extras.SubcommandApp()
    commands.command(doctor)
    commands.command(plan, name="plan")
    try:
        return commands.cli(prog="tnqrnn")
    except (ValueError, RecordError) as error:
        print(f"tnqrnn: {error}", file=sys.stderr)
        return 2
