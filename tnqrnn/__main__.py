"""``python -m tnqrnn`` is the command ``tnqrnn``."""

import sys

from tnqrnn.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
