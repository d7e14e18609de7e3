"""A pilot on your own streams: one command, one page that says whether a recurrent network is worth it.

    python -m asrnn_jax pilot --data train.csv --test test.csv --label activity --stream stream --time seconds

It needs the extra: ``pip install 'asrnn_jax[pilot]'``. It reads the files as people write them, says what is wrong with
them, and trains asRNN, GRU and LRU to run without resets, by default within 10 minutes on two cores. Beside them stand
methods without recurrence: the most frequent class and gradient boosting on rolling windows; for forecasts (``--target
COLUMN --horizon STEPS`` instead of ``--label``) the last value and the value one period before. The folder ``--out``
then has

- ``report.html``, one self-contained page: the answer first, then what is wrong with the data, accuracy with resets and
  without, events, disturbances, stability, what each channel contributes, the monitors, four points of practice;
- ``model.safetensors``: the network that was best on held-out data, with its preparation, an estimator's own file;
- ``stream.py``, a script of a dozen lines that runs it on CSV lines from standard input for ever;
- ``result.json`` and ``runs.jsonl``: all numbers of the page.

A pilot that was stopped goes on with the networks that are trained when it is called again with the same arguments.

- `Options`: what can be told, the flags of the command.
- `pilot`: all of it from Python; it returns what ``result.json`` holds.
- `features`: the rolling windows.
"""

from __future__ import annotations

from typing import Any

from asrnn_jax.pilot.options import Options
from asrnn_jax.pilot.rolling import features

__all__ = ["Options", "features", "pilot"]


def pilot(options: Options, *, arguments: Any = (), verbose: int = 0) -> dict[str, Any]:
    """Carries out a pilot, or goes on with one that was stopped, and writes its folder.

    Args:
      options: what to do.
      arguments: how it was called, for the page.
      verbose: 1 shows a progress bar.

    Returns:
      The result, what ``result.json`` holds.

    Raises:
      ValueError: data or options that cannot be used; the message says what helps.
      OSError: files that cannot be read or written. ImportError: the extra [pilot] is not installed.
    """
    from asrnn_jax.pilot.pipeline import pilot  # it needs the extra

    return pilot(options, arguments=arguments, verbose=verbose)
