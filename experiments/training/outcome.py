"""The outcome of a run: its best network, its result, its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

import asrnn_jax
from asrnn_jax import hashes, pretrained
from experiments import machine
from experiments.config import Config, to_json
from experiments.folder import read_metrics, write_json
from experiments.packed import read_run
from experiments.report.curves import learning_curves
from experiments.tasks.task import Task
from experiments.training import probes
from experiments.training.model import network


class Best:
    """The params with the best result so far, in best.safetensors: by held-out data, else by the test."""

    def __init__(self, config: Config, task: Task, folder: Path, step: int):
        self._config, self._task, self._file = config, task, folder / "best.safetensors"
        lines = [line for line in read_metrics(folder / "metrics.jsonl") if line["step"] <= step]
        values = [line[key] for line in lines if (key := self._key(line)) in line]
        self._best = (max if task.better == "max" else min)(values) if values else None

    def _key(self, tested: dict[str, Any]) -> str:
        valid = f"valid_{self._task.metric}"
        return valid if valid in tested else f"test_{self._task.metric}"

    def offer(self, step: int, tested: dict[str, float], params: Any) -> None:
        """Keeps these params if they are the best."""
        key = self._key(tested)
        value, before = tested[key], self._best
        better = before is None or (value > before if self._task.better == "max" else value < before)
        if not better or not machine.first():
            return
        self._best = value
        arguments = network(self._config.model, self._task.inputs, self._task.outputs)
        card = {"config": to_json(self._config), "step": step, "result": tested}
        card |= {"features": self._task.features, "labels": self._task.labels}
        pretrained.save(self._file, arguments, jax.device_get(params), card)


def finish(config: Config, task: Task, params: Any, folder: Path) -> dict[str, Any]:
    """Writes result.json and the figures of a run that has come to its end with `params`, and returns the result."""
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if f"test_{task.metric}" in line]
    pick = max if task.better == "max" else min
    best = pick(lines, key=lambda line: line[f"test_{task.metric}"])
    chosen = [line for line in lines if f"valid_{task.metric}" in line]  # without a look at the test set
    selected = pick(chosen, key=lambda line: line[f"valid_{task.metric}"]) if chosen else None
    result = {
        "task": task.title,
        "cell": config.model.cell,
        "hidden": config.model.hidden,
        "parameters": asrnn_jax.optim.count(params),
        "seed": config.training.seed,
        "steps": task.steps,
        "epochs": None if task.epoch is None else task.steps // task.epoch,
        "metric": task.metric,
        "better": task.better,
        "baseline": task.baseline,
        "best": best,
        "selected": selected,
        "final": lines[-1],
        "params_sha256": hashes.of_values(params),
        "versions": {"asrnn_jax": asrnn_jax.__version__, "jax": jax.__version__},
    }
    write_json(folder / "result.json", result)
    learning_curves([read_run(folder)], folder / "figures" / "learning.png")
    if config.training.probe and machine.first():
        probes.draw(folder, folder / "figures" / "probes.png")
    return result
