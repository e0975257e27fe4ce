"""The command ``tnqrnn``: one subcommand a function."""

import sys

import tyro

from tnqrnn.doctor import doctor

COMMANDS = {"doctor": doctor}


def main() -> int:
    """Runs the command line of this process.

    Returns:
        the exit code: 2 for an argument that is refused.
    """
    try:
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="tnqrnn")
    except ValueError as error:
        print(f"tnqrnn: {error}", file=sys.stderr)
        return 2
