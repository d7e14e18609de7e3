"""A pilot from the first to the last: read, train, compare, look inside, write."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

import asrnn_jax
from asrnn_jax.estimators.findings import gravest_first
from asrnn_jax.pilot import folder, networks, reading
from asrnn_jax.pilot.checklist import checklist
from asrnn_jax.pilot.options import Options
from asrnn_jax.pilot.page import page
from asrnn_jax.pilot.script import script

FOR_NETWORKS, COMPILING = 0.75, 0.2
"""Share of the minutes, the rest is for trees, scores and figures; and minutes that a network is compiled in."""


def pilot(options: Options, *, arguments: Sequence[str] = (), verbose: int = 0) -> dict[str, Any]:
    """See `asrnn_jax.pilot.pilot`."""
    begin = time.monotonic()
    options.check()
    data = reading.read(options)
    out = folder.claim(options.out, config(options))
    kind = importlib.import_module("asrnn_jax.pilot." + ("forecasting" if options.forecast else "classification"))
    with _Progress(verbose, 2 * len(options.cells) + 3) as progress:
        trained = []
        for i, cell in enumerate(options.cells):
            progress(f"training {cell}")
            left = FOR_NETWORKS * options.minutes - (time.monotonic() - begin) / 60
            minutes = max(left / (len(options.cells) - i) - COMPILING, 0.1 * options.minutes)
            trained.append(networks.trained(out, cell, options, data.split.train, minutes))
        progress("methods without recurrence")
        others = kind.grown(data, options, trained[0].estimator.preparation)
        found = measured(kind, trained, others, data, options, progress)
        result = folder.plain(
            {
                "kind": "forecast" if options.forecast else "classification",
                "pilot": _about(options, arguments, time.monotonic() - begin),
                "data": data.about,
                "findings": [finding.about() for finding in gravest_first(data.findings)],
                **found,
            }
        )
        progress("writing the page")
        _write(out, result, options)
    return result


def measured(
    kind: Any,
    trained: Sequence[networks.Network],
    others: dict[str, Any],
    data: reading.Data,
    options: Options,
    progress: Callable[[str], None] = lambda said: None,
) -> dict[str, Any]:
    """The result of a pilot, but for what does not depend on the networks.

    Args:
      kind: the module of `classification` or `forecasting`.
      trained: the networks.
      others: what methods without recurrence say, by name.
      data, options: of the pilot.
      progress: told what comes next.
    """
    methods: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for network in trained:
        progress(f"testing {network.name}")
        methods[network.name], answers[network.name] = kind.tested(network, data, options)
    for name, said in others.items():
        scored, answers[name] = kind.baseline(said, trained[0], data, options)
        methods[name] = {"kind": "baseline", **scored}
    best = max(trained, key=lambda network: network.held_out)
    plain = max(others, key=lambda name: kind.SIGN * methods[name][kind.SCORE]["value"])
    apart = kind.difference(best, answers[best.name], answers[plain], data, options)
    progress(f"looking into {best.name}")
    inside, about = kind.inside(best, data, options), kind.about(best, methods, data, options)
    model, trips = best.estimator, inside["monitors"]["streams"]["test"]["tripped"]
    target = model.target if model.history["gap_share"] else None
    with_resets, without = kind.modes(methods[best.name])
    return {
        "answer": {
            "best": best.name,
            "baseline": plain,
            "difference": apart,
            "verdict": "network" if apart["low"] > 0 else "baseline" if apart["high"] < 0 else "same",
            "simplest": about["simplest"],
        },
        "rules": about["rules"],
        "methods": methods,
        "checklist": checklist(model.history, target, with_resets, without, trips),
        **inside,
    }


def config(options: Options) -> dict[str, Any]:
    """What a pilot in a folder must agree in with one that goes on there; files by what is in them.

    Raises:
      OSError: files that cannot be read.
    """
    files = {name: sorted(map(folder.digest, getattr(options, name))) for name in ("data", "test")}
    settings = {name: value for name, value in asdict(options).items() if name not in ("out", "data", "test")}
    return folder.plain({**settings, **files})


def _write(out: Path, result: dict[str, Any], options: Options) -> None:
    best = result["answer"]["best"]
    shutil.copyfile(out / "networks" / f"{best}.safetensors", out / folder.NAMES["model"])
    folder.write_text(out / folder.NAMES["script"], script(options))
    folder.write_json(out / folder.NAMES["result"], result)
    runs = [{"method": name, **scores} for name, scores in result["methods"].items()]
    lines = [json.dumps(run, ensure_ascii=False, allow_nan=False) for run in runs]
    folder.write_text(out / folder.NAMES["runs"], "\n".join(lines) + "\n")
    folder.write_text(out / folder.NAMES["page"], page(result))


def _about(options: Options, arguments: Sequence[str], seconds: float) -> dict[str, Any]:
    return {
        **asdict(options),
        "arguments": list(arguments),
        "version": asrnn_jax.__version__,
        "jax": jax.__version__,
        "backend": jax.default_backend(),
        "seconds": seconds,
    }


class _Progress:
    """A bar with a step for each part of the work, on standard error."""

    def __init__(self, verbose: int, parts: int):
        self._bar: Any = None
        if verbose:
            from tqdm import tqdm

            self._bar = tqdm(total=parts, unit="part", dynamic_ncols=True)
        self._parts = 0

    def __enter__(self) -> Callable[[str], None]:
        return self._begin

    def _begin(self, said: str) -> None:
        if self._bar is not None:
            if self._parts:
                self._bar.total = max(self._bar.total, self._parts + 1)
                self._bar.update(1)
            self._bar.set_description(said)
        self._parts += 1

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.total = self._parts
            self._bar.update(self._parts - self._bar.n)
            self._bar.close()
