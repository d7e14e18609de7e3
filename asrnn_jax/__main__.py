"""The command line of the library: python -m asrnn_jax COMMAND ..."""

from __future__ import annotations

import importlib
import os
import sys

COMMANDS = {"pilot": "asrnn_jax.pilot.command", "audit": "asrnn_jax.audit.command"}
"""The module of each command, imported when it is asked for; its ``main(arguments)`` returns the exit code."""

USAGE = """usage: python -m asrnn_jax COMMAND [flags]

  pilot   train networks on your own streams, compare them with simpler methods, and write one page with the answer
  audit   does a streaming model need resets? An ONNX file, a trained network

  python -m asrnn_jax COMMAND --help explains every flag."""


def main(arguments: list[str]) -> int:
    """Carries out one command line and returns its exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # LAPACK's waiting threads would take the cores from JAX's
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if arguments[0] not in COMMANDS:
        print(f"error: command {arguments[0]!r} is unknown: choose {' or '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    return importlib.import_module(COMMANDS[arguments[0]]).main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
