"""Figures from runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import UsageError
from experiments.folder import read_metrics
from experiments.packed import Run


def _pyplot() -> Any:
    """matplotlib.pyplot, drawing to files: imported only for work that needs it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def learning_curves(runs: Sequence[Run], out: Path) -> None:
    """One panel a task: the result metric of each run against steps or epochs, with the task's baseline."""
    from asrnn_jax import plot

    tasks: dict[str, list[Run]] = {}
    for run in runs:
        tasks.setdefault(run["result"]["task"], []).append(run)
    figure, axes = _pyplot().subplots(len(tasks), 1, figsize=(7, 4.2 * len(tasks)), layout="constrained", squeeze=False)
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


def probes(folder: Path, out: Path) -> None:
    """What `experiments.training.probes` recorded, against the step: a panel a quantity."""
    from asrnn_jax import plot

    lines = read_metrics(folder / "probes.jsonl")
    steps = [line["step"] for line in lines]
    keys = list(dict.fromkeys(key for line in lines for key in line if key != "step"))
    panels = [
        [key for key in keys if key == "spectrum"],
        [key for key in keys if key.startswith("saturated")],
        [key for key in keys if key == "gradient"],
        [key for key in keys if key.startswith("norm")],
    ]
    panels = [panel for panel in panels if panel]
    if not panels:
        return  # a linear cell whose saturation was asked for has nothing to show
    figure, axes = _pyplot().subplots(
        len(panels), 1, figsize=(7, 3 * len(panels)), layout="constrained", squeeze=False, sharex=True
    )
    for ax, panel in zip(axes[:, 0], panels):
        if panel == ["spectrum"]:
            plot.spectrum(np.array([line["spectrum"] for line in lines]), x=steps, x_label="", ax=ax)
            continue
        curves = {key: (steps, [line[key] for line in lines]) for key in panel}
        label = "share of units and steps" if panel[0].startswith("saturated") else "|h|, and its growth"
        if panel == ["gradient"]:
            values = np.array([line["gradient"] for line in lines], float).T
            curves = {name: (steps, value) for name, value in zip(("t = 0", "t = T / 2", "t = T - 1"), values)}
            label = r"$\log_{10}(\|dL/dh_t\| / \|dL/dh_T\|)$"
        plot.learning_curves(curves, x_label="", y_label=label, ax=ax)
        if panel[0].startswith("saturated"):
            ax.set_ylim(-0.02, 1.02)
    axes[-1, 0].set_xlabel("step")
    save(figure, out)


def stream(config: Any, cell: Any, params: Any, out: Path, after: int = 5000, steps: int = 300) -> None:
    """What a network that was never reset says to a stretch of a stream of unseen samples, `after` steps from start."""
    import jax

    import asrnn_jax
    from asrnn_jax import analysis, plot
    from experiments.data.samples import gaps_of, load_samples, stream_of

    _pyplot()
    train, test, _ = load_samples(config)
    endless = stream_of(test, 10**6, gaps_of(config, train))
    carry, _ = asrnn_jax.run(cell, params, endless.window(0, after).xs)
    window = endless.window(after, steps)
    _, logits = asrnn_jax.run(cell, params, window.xs, carry=carry)
    norm = analysis.norm_drift(cell, params, window.xs, carry=carry).norm
    probabilities = jax.nn.softmax(logits, axis=-1)
    axes = plot.stream(window.xs, probabilities, labels=window.labels, informative=window.informative, norm=norm)
    axes[0].set_title(f"{config.dataset}, {config.model.cell} after {after:,} steps without a reset")
    save(axes[0].figure, out)


def robustness(names: Sequence[str], found: dict[str, dict[str, list[float]]], out: Path) -> None:
    """Accuracy against the level of each disturbance, a line a network."""
    from asrnn_jax.plot.style import COLOURS, tidy

    clean = found["clean"][""]
    panels = [about for about in found if about not in ("clean", "computed in")]
    figure, axes = _pyplot().subplots(
        2, -(-len(panels) // 2), figsize=(3.4 * -(-len(panels) // 2), 6), layout="constrained", sharey=True
    )
    for ax, about in zip(axes.flat, panels):
        levels = found[about]
        ticks = ["float32" if about == "weights" else "0", *levels]
        for i, name in enumerate(names):
            values = [clean[i], *(level[i] for level in levels.values())]
            style = {"color": COLOURS[i % len(COLOURS)], "marker": "os^Dvx"[i % 6], "markersize": 4}
            ax.plot(range(len(ticks)), [100 * value for value in values], label=name, **style)
        ax.set_xticks(range(len(ticks)), ticks)
        tidy(ax, about, "accuracy, %" if ax in axes[:, 0] else "", legend=ax is axes.flat[0])
    for ax in list(axes.flat)[len(panels) :]:
        ax.set_visible(False)
    save(figure, out)


def heat(values: np.ndarray, diverged: np.ndarray, rows: Sequence[str], columns: Sequence[str], out: Path) -> None:
    """Accuracy in % as a heat map with its numbers, learning rates across; NaN where it diverged or nothing was run."""
    figure, ax = _pyplot().subplots(figsize=(1.6 + 0.95 * len(columns), 1.2 + 0.42 * len(rows)), layout="constrained")
    ax.set_facecolor("0.9")
    lowest = min(90, 10 * np.floor(np.nanmin(values, initial=100) / 10))
    mesh = ax.imshow(values, cmap="cividis", aspect="auto", vmin=lowest, vmax=100)
    for (i, j), value in np.ndenumerate(values):
        text = f"{value:.1f}" if np.isfinite(value) else "diverged" if diverged[i, j] else ""
        dark = value < (lowest + 100) / 2
        ax.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=8)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xlabel("learning rate")
    figure.colorbar(mesh, ax=ax, label="accuracy, %")
    save(figure, out)


def error_curves(tasks: Mapping[str, Mapping[str, Sequence[float]]], paper: dict[str, float], out: Path) -> None:
    """Test error in % after each epoch, a panel a task, a line a run, of one colour in every panel; `paper` is the best
    of its asRNN."""
    from matplotlib.ticker import LogLocator, NullFormatter

    from asrnn_jax.plot.style import line, tidy

    figure, axes = _pyplot().subplots(1, len(tasks), figsize=(5 * len(tasks), 4.8), layout="constrained", squeeze=False)
    names = sorted({name for runs in tasks.values() for name in runs})
    handles: dict[str, Any] = {}
    for ax, (task, runs) in zip(axes[0], tasks.items()):
        for name, errors in runs.items():
            style = line(names.index(name), len(names))
            (handles[name],) = ax.plot(np.arange(1, len(errors) + 1), errors, **style, label=name)
        best = ax.axhline(paper[task], color="0.45", linewidth=1.0, linestyle=(0, (6, 3)))
        ax.set(yscale="log", title=f"{task} (the paper's asRNN: {paper[task]:.2f})")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        tidy(ax, "epoch", "test error, %", legend=False)
    labels = [*(name for name in names), "the paper's asRNN"]
    figure.legend(
        [*(handles[name] for name in names), best], labels, frameon=False, loc="outside lower center", ncols=4
    )
    save(figure, out)


def save(figure: Any, out: Path) -> None:
    """Writes a figure and closes it.

    Raises:
      UsageError: the file cannot be written.
    """
    import matplotlib.pyplot as plt

    try:
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as e:
        raise UsageError(f"--figure {out} cannot be written ({e}): give another file.") from e
    finally:
        plt.close(figure)


def _label(run: Run, runs: Sequence[Run]) -> str:
    labels = [f"{each['result']['cell']} ({each['result']['hidden']})" for each in runs]
    label = labels[runs.index(run)]
    return label if labels.count(label) == 1 else f"{label}, {run['name']}"


def bench(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """One panel a shape: the training step of every contender, a line a cell."""
    from matplotlib.ticker import LogLocator

    from asrnn_jax.plot import COLOURS

    shapes, cells, who = (list(dict.fromkeys(row[key] for row in rows)) for key in ("shape", "cell", "who"))
    markers = dict(zip(who, "o^sDvPX*"))
    height = 1.3 + 0.42 * len(cells) * len(shapes)
    figure, axes = _pyplot().subplots(len(shapes), 1, figsize=(8, height), layout="constrained", squeeze=False)
    for ax, shape in zip(axes[:, 0], shapes):
        for i, name in enumerate(who):
            chosen = [row for row in rows if (row["shape"], row["who"]) == (shape, name)]
            at = [cells.index(row["cell"]) for row in chosen]
            face = "none" if name in ("limit", "ours, one device") else COLOURS[i % len(COLOURS)]
            ax.plot(
                [row["train_ms"] for row in chosen],
                at,
                markers[name],
                color=COLOURS[i % len(COLOURS)],
                markerfacecolor=face,
                markersize=7,
                label=name,
            )
        ax.set(xscale="log", yticks=range(len(cells)), ylim=(len(cells) - 0.5, -0.5))
        ax.set_yticklabels(cells)
        ax.set_title(f"T x B x n = {shape}", fontsize=10, loc="left")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        ax.tick_params(axis="x", which="both", labelsize=7)
        ax.grid(alpha=0.25, which="both")
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("milliseconds a training step")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside upper left", fontsize=9)
    save(figure, out)


def growth(curves: dict[str, list[tuple[int, float]]], out: Path) -> None:
    """Milliseconds against T, B and n, each beside the power law it should follow."""
    from asrnn_jax.plot import COLOURS

    figure, axes = _pyplot().subplots(1, 3, figsize=(9, 3.2), layout="constrained", sharey=True)
    names = {"time": ("steps T", 1), "batch": ("sequences B", 1), "hidden": ("hidden units n", 2)}
    for ax, (name, curve) in zip(axes, curves.items()):
        label, power = names[name]
        xs, ms = zip(*curve)
        ax.plot(xs, ms, "o-", color=COLOURS[0], label="measured")
        law = [ms[-1] * (x / xs[-1]) ** power for x in xs]
        ax.plot(xs, law, "--", color="0.45", linewidth=1, label="linear" if power == 1 else "quadratic")
        ax.set(xscale="log", yscale="log", xlabel=label, xticks=xs)
        ax.set_xticklabels([str(x) for x in xs])
        ax.minorticks_off()
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
    axes[0].set_ylabel("milliseconds a training step")
    save(figure, out)
