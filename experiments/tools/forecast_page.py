"""The page of the study of forecasts: a table, and what it says about resets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asrnn_jax.estimators import StreamForecaster
from experiments.report.tables import minutes, shown, table, typed
from experiments.tools.forecast_streams import AHEAD, LENGTH, SETTLED

if TYPE_CHECKING:
    from experiments.tools.forecast import Forecast

POLICIES = {"never": "no reset", "oracle": "oracle resets"}


def page(config: Forecast, found: list[dict[str, Any]], trained: list[dict[str, Any]]) -> str:
    """All of it as Markdown.

    Args:
      config: the settings.
      found: what was measured, see `measure`.
      trained: of each network, how.
    """
    header = f"cell|gaps|run with|error|from step {SETTLED} on|first tenth|last tenth|in the interval, %|width, known"
    lines: list[tuple[str, ...]] = [(*header.split("|"), "width, gaps")]
    for run in found:
        errors = (shown(e, ".4f") for e in (run["error"], run["settled"], run["along"][0], run["along"][-1]))
        widths = (shown(run[name], ".3f") for name in ("known_interval", "gap_interval"))
        about = run["cell"], run["gaps"], POLICIES[run["policy"]]
        lines.append((*about, *errors, shown(100 * run["coverage"]), *widths))
    return "\n\n".join(
        [
            "# Forecasts without resets",
            f"Oscillations of random period, size and phase with noise, {LENGTH} steps each, and gaps of 20 to 100 "
            "steps between them, in which the input is missing or is noise. `StreamForecaster` with its defaults, but "
            f"for {config.hidden} units, learned from {config.recordings} of them, which were never longer than "
            f"{LENGTH} steps, and forecasts the value {AHEAD} steps later. One test stream of {config.length:,} steps "
            f"of unseen oscillations; seed {config.seed}.",
            f"    {typed('forecast', replace(config, kept=type(config).kept))}",
            f"Trained: {_trainings(trained)}. The runs took {minutes(sum(run['seconds'] for run in found))} minutes. "
            "All on one CPU core each.",
            table(lines),
            "Error: root mean square over the target's standard deviation; 1 is the error of the marginal. From step "
            f"{SETTLED} on: the same without the first {SETTLED} steps of each oscillation. Oracle resets tell where "
            "one begins, which is not in noise: errors of the first steps also differ by what is known. In the "
            f"interval: of the targets, in their interval of {StreamForecaster().level:.0%}. Width: median width of "
            "these intervals over the marginal's, where there are targets and in gaps.",
            _answer(found),
            *(f"![the end of 20,000 steps without a reset, gaps: {gaps}]({gaps}.png)" for gaps in config.gaps),
        ]
    )


def _trainings(trained: list[dict[str, Any]]) -> str:
    form = "{cell} {trained:,} steps at a rate of {rate:g} in "
    return ", ".join(form.format(**one) + f"{minutes(one['seconds'])} minutes" for one in trained)


def _answer(found: list[dict[str, Any]]) -> str:
    """The same network without any reset and with oracle resets."""
    runs = {(run["cell"], run["gaps"], run["policy"]): run for run in found}
    lines = []
    for cell, gaps in dict.fromkeys((run["cell"], run["gaps"]) for run in found):
        if any((cell, gaps, policy) not in runs for policy in POLICIES):
            continue
        never, oracle = runs[cell, gaps, "never"], runs[cell, gaps, "oracle"]
        pairs = [(never[name], oracle[name]) for name in ("error", "settled")]
        more, settled, later = (100 * (a / b - 1) for a, b in (*pairs, (never["along"][-1], never["along"][0])))
        lines.append(
            f"- {cell}, gaps {gaps}: without any reset the error is {more:+.1f} % of that of the same network with "
            f"oracle resets, from step {SETTLED} on {settled:+.1f} %; in the last tenth of the stream it is "
            f"{later:+.1f} % of that in the first."
        )
    return "\n".join(lines)
