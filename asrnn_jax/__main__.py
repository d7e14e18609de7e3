"""The command line of the library: python -m asrnn_jax COMMAND ..."""

from __future__ import annotations

import importlib
import sys

USAGE = """usage: python -m asrnn_jax COMMAND [flags]

  pilot   train networks on your own streams, compare them with simpler methods, and write one page with the answer

  python -m asrnn_jax COMMAND --help explains every flag."""
COMMANDS = {"pilot": "asrnn_jax.pilot.command"}


def main(arguments: list[str]) -> int:
    """Carries out one command line and returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if arguments[0] not in COMMANDS:
        print(f"error: command {arguments[0]!r} is unknown: choose {' or '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    return importlib.import_module(COMMANDS[arguments[0]]).main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
