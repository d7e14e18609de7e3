"""Learning curves of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.packed import Run
from experiments.report.drawing import pyplot, save


def learning_curves(runs: Sequence[Run], out: Path) -> None:
    """Draws the metric of each run against steps or epochs, a panel for each task, with the task's baseline."""
    from asrnn_jax import plot

    tasks: dict[str, list[Run]] = {}
    for run in runs:
        tasks.setdefault(run["result"]["task"], []).append(run)
    figure, axes = pyplot().subplots(len(tasks), 1, figsize=(7, 4.2 * len(tasks)), layout="constrained", squeeze=False)
    for ax, (title, chosen) in zip(axes[:, 0], tasks.items()):
        one = chosen[0]["result"]
        # Errors are followed on the training batches, every few steps; accuracies on the test set.
        key = f"test_{one['metric']}" if one["better"] == "max" else f"train_{one['metric']}"
        curves = {}
        for run in chosen:
            lines = [line for line in run["metrics"] if key in line]
            result = run["result"]
            scale = result["epochs"] / result["steps"] if result["epochs"] else 1
            curves[_label(run, chosen)] = ([line["step"] * scale for line in lines], [line[key] for line in lines])
        plot.learning_curves(
            curves,
            x_label="epoch" if one["epochs"] else "step",
            y_label=key.replace("_", " "),
            baseline=tuple(one["baseline"]) if one["baseline"] else None,
            log=one["better"] == "min",
            ax=ax,
        )
        ax.set_title(title)
    save(figure, out)


def _label(run: Run, runs: Sequence[Run]) -> str:
    labels = [f"{each['result']['cell']} ({each['result']['hidden']})" for each in runs]
    label = labels[runs.index(run)]
    return label if labels.count(label) == 1 else f"{label}, {run['name']}"
