"""Figures from run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.errors import UsageError
from experiments.folder import read_json, read_metrics


def learning_curves(folders: Sequence[Path], out: Path) -> None:
    """One panel a task: the result metric of each run against steps or epochs, with the task's baseline."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from asrnn_jax import plot

    tasks: dict[str, dict[Path, dict[str, Any]]] = {}
    for folder in folders:
        result = read_json(folder / "result.json")
        tasks.setdefault(result["task"], {})[folder] = result
    figure, axes = plt.subplots(len(tasks), 1, figsize=(7, 4.2 * len(tasks)), layout="constrained", squeeze=False)
    for ax, (title, runs) in zip(axes[:, 0], tasks.items()):
        one = next(iter(runs.values()))
        # Errors are followed on the training batches, every few steps; accuracies on the test set.
        key = f"test_{one['metric']}" if one["better"] == "max" else f"train_{one['metric']}"
        curves = {}
        for folder, result in runs.items():
            lines = [line for line in read_metrics(folder / "metrics.jsonl") if key in line]
            scale = result["epochs"] / result["steps"] if result["epochs"] else 1
            name = _label(result, list(runs.values()), folder)
            curves[name] = ([line["step"] * scale for line in lines], [line[key] for line in lines])
        plot.learning_curves(
            curves,
            x_label="epoch" if one["epochs"] else "step",
            y_label=key.replace("_", " "),
            baseline=tuple(one["baseline"]) if one["baseline"] else None,
            log=one["better"] == "min",
            ax=ax,
        )
        ax.set_title(title)
    try:
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as e:
        raise UsageError(f"--figure {out} cannot be written ({e}): give another file.") from e
    finally:
        plt.close(figure)


def _label(result: dict[str, Any], others: list[dict[str, Any]], folder: Path) -> str:
    label = f"{result['cell']} ({result['hidden']})"
    same = [r for r in others if (r["cell"], r["hidden"]) == (result["cell"], result["hidden"])]
    return label if len(same) == 1 else f"{label}, {folder}"
