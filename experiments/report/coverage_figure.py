"""The figure of state coverage: what each kind of start makes of each cell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from experiments.report.coverage_rows import REGIMES, STARTS, TITLES, Row, accuracy, cells_of, chosen
from experiments.report.drawing import pyplot, save


def draw(rows: Sequence[Row], out: Path) -> None:
    """Accuracy without resets by cell: before, after each kind of start, and before with oracle resets."""
    plt = pyplot()
    panels = [
        (dataset, regime)
        for dataset in dict.fromkeys(row["dataset"] for row in rows)
        for regime in REGIMES
        if any(chosen(rows, dataset=dataset, regime=regime, starts=kind) for kind in STARTS)
    ]
    columns = max(1, len({regime for _, regime in panels}))
    depth = max(1, math.ceil(len(panels) / columns))
    figure, axes = plt.subplots(
        depth, columns, figsize=(4.8 * columns, 3.2 * depth + 0.5), squeeze=False, layout="constrained"
    )
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (dataset, regime) in zip(axes.flat, panels):
        own = [row for row in rows if row["dataset"] == dataset]
        cells = cells_of(own)
        for i, cell in enumerate(cells):
            before = chosen(own, cell=cell, starts="before")
            if before:
                ax.hlines(_mean(accuracy(before, "oracle")), i - 0.4, i + 0.4, color="0.6", lw=4)
                ax.plot(i, _mean(accuracy(before)), "kx")
            for j, kind in enumerate(STARTS):
                after = chosen(own, cell=cell, regime=regime, starts=kind)
                if after:
                    x = i + 0.14 * (j - 2)
                    ax.plot(x, _mean(accuracy(after)), "o", color=f"C{j}", ms=5, label=kind if i == 0 else None)
        ax.set_xticks(range(len(cells)), cells)
        ax.set_ylabel("accuracy without resets, %")
        ax.set_title(f"{TITLES.get(dataset, dataset)}: {regime}", fontsize=9)
    if panels:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        title = "started from; grey: with oracle resets, x: without any, both before"
        place = {"loc": "outside lower center", "ncols": len(STARTS), "frameon": False}
        figure.legend(handles, labels, title=title, fontsize=8, title_fontsize=8, **place)
    save(figure, out)


def _mean(values: Sequence[float]) -> float:
    return 100 * statistics.fmean(values)
