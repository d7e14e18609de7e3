"""The command ``python -m asrnn_jax pilot``: flags in, a folder out, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

INSTALL = "the pilot needs its extra: pip install 'asrnn_jax[pilot]'."


def main(arguments: Sequence[str], prog: str = "python -m asrnn_jax pilot") -> int:
    """Carries out one command line.

    Returns:
      0; 2 after an error that a user can mend, with what to do in one line on standard error; 130 after Ctrl-C.
    """
    try:
        return _main(list(arguments), prog)
    except ModuleNotFoundError as e:
        return _refused(f"{e.name} is not installed: {INSTALL}")
    except (ValueError, OSError, ImportError, MemoryError) as e:
        return _refused(_line(e))
    except KeyboardInterrupt:
        print("interrupted; run the same command again: networks that are trained are kept", file=sys.stderr)
        return 130


def _main(arguments: list[str], prog: str) -> int:
    import tyro

    from asrnn_jax.pilot.options import Options

    options = tyro.cli(Options, args=arguments, prog=prog, config=(tyro.conf.AvoidSubcommands,))
    from asrnn_jax.pilot.pipeline import pilot

    result = pilot(options, arguments=arguments, verbose=1)
    print(said(result))
    return 0


def said(result: dict[str, Any]) -> str:
    """The answer in a few lines, for a terminal."""
    answer, methods = result["answer"], result["methods"]
    score, better = ("error", "lower") if result["kind"] == "forecast" else ("accuracy", "higher")
    width = max(map(len, methods))
    lines = [f"{name:{width}}  {score} {one[score]['value']:.3f} ({better} is better)" for name, one in methods.items()]
    words = {
        "network": f"{answer['best']} is better than {answer['baseline']}.",
        "same": f"{answer['baseline']} is as good as {answer['best']}.",
        "baseline": f"{answer['baseline']} is better than {answer['best']}.",
    }
    return "\n".join([*lines, words[answer["verdict"]], f"The page: {result['pilot']['out']}/report.html"])


def _refused(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return 2


def _line(e: BaseException) -> str:
    if isinstance(e, OSError) and e.filename is not None:
        return f"{e.filename}: {e.strerror}."
    return " ".join(str(e).split()) or type(e).__name__
