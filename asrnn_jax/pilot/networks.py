"""The networks of a pilot: trained one after the other, each kept in a file, so that a stopped pilot goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from asrnn_jax import estimators
from asrnn_jax.estimators import Table
from asrnn_jax.pilot.folder import write_json
from asrnn_jax.pilot.options import Options


class Network(NamedTuple):
    """A trained network."""

    name: str
    """Of its cell."""
    estimator: Any
    seconds: float
    """Of its training."""
    kept: bool
    """Whether it was trained by an earlier call."""

    @property
    def held_out(self) -> float:
        """The best score on what was held out of training, higher is better; -inf where nothing was."""
        known = [score for score in self.estimator.history["score"] if np.isfinite(score)]
        return max(known, default=-np.inf)

    def about(self) -> dict[str, Any]:
        """What there is to say about its training, as JSON values."""
        model, history = self.estimator, self.estimator.history
        every = max(1, len(history["step"]) // 200)
        return {
            "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(model.params)),
            "hidden": model.hidden,
            "rate": model.rate_,
            "steps": model.n_steps_,
            "target": model.target,
            "batch": model.batch,
            "window": model.window,
            "held_out_score": self.held_out,
            "history": {name: history[name][::every] for name in history},
            "findings": [finding.about() for finding in model.findings],
        }


def estimator(options: Options) -> Any:
    """The class of estimators that a pilot trains."""
    return estimators.StreamForecaster if options.forecast else estimators.StreamClassifier


def trained(folder: Path, name: str, options: Options, table: Table, minutes: float, verbose: int = 0) -> Network:
    """A network with the cell `name`, from its file or trained now within so many minutes.

    Raises:
      ValueError: data that nothing can be learned from.
    """
    file, said = folder / "networks" / f"{name}.safetensors", folder / "networks" / f"{name}.json"
    kind = estimator(options)
    if file.exists() and said.exists():
        return Network(name, kind.load(file), float(json.loads(said.read_text())["seconds"]), True)
    begin = time.monotonic()
    common: dict[str, Any] = {
        "cell": name,
        "hidden": options.hidden,
        "irregular": options.irregular,
        "minutes": minutes,
        "seed": options.seed,
        "verbose": verbose,
    }
    if options.forecast:
        model = kind(horizon=options.horizon, targets=list(options.target), **common).fit(table)
    else:
        model = kind(unlabelled=options.unlabelled, per="step", **common).fit(table, label=options.label)
    seconds = time.monotonic() - begin
    model.save(file)
    write_json(said, {"cell": name, "seconds": seconds})
    return Network(name, model, seconds, False)


def microseconds(model: Any, steps: int = 300, seconds: float = 3.0) -> float:
    """What one step of a session takes, the preparation of its row included: the median of so many, or of those that
    there is time for."""
    session, taken = model.session(), []
    row = np.asarray(model.preparation.fitted.rule.median, float)
    irregular = model.preparation.irregular != "ignore"
    end = time.monotonic() + seconds
    for i in range(steps):
        if i > 5 and time.monotonic() > end:
            break
        begin = time.perf_counter()
        session.push(row[None], np.array([float(i)]) * model.preparation.fitted.rule.step if irregular else None)
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken) * 1e6)
