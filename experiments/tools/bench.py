"""Times of training steps and inference, of ours and of baselines: same process, calls in turn, medians."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

import asrnn_jax
from asrnn_jax.cells import CELLS
from experiments import machine
from experiments.choices import check_choices
from experiments.errors import UsageError, unknown
from experiments.folder import made, read_json, write_json
from experiments.report.drawing import pyplot, save
from experiments.report.tables import table
from experiments.tools.baseline_networks import Outputs
from experiments.tools.baselines import BASELINES, Baseline, Shape, installed, subjects
from experiments.tools.timing import interleaved


@dataclass(frozen=True)
class Bench:
    """Time training steps (cross-entropy, clipping, RMSprop) and inference, of our cells and of other libraries."""

    cells: tuple[str, ...] = ("tanh_rnn", "asrnn", "gru", "lstm")
    """Cells, by name."""
    shapes: tuple[str, ...] = ("784x128x122", "784x128x256", "4096x16x128", "28x512x64")
    """Steps x sequences x hidden units; a fourth number is the width of the input, 1 by default."""
    against: tuple[Baseline, ...] = BASELINES
    """What to compare with: naive is the equation in one scan; torch needs the extra "oracles"."""
    outputs: tuple[Outputs, ...] = ("last", "all")
    """What a layer behind the network takes: the output of the last step, or those of all steps (on one device, as a
    layer of a Flax model)."""
    repeats: int = 9
    """Number of timed calls of each, after two that are not timed."""
    out: str = "runs/bench"
    """Folder of bench.json, bench.md and bench.png."""
    studies: bool = False
    """Also: growth with T, B and n, linear cells in both ways, rematerialisation, streaming, start-up."""

    def __post_init__(self):
        for name in self.cells:
            if name not in CELLS:
                raise unknown("--cells", name, CELLS)
        check_choices(self)
        for text in self.shapes:
            if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2,3}", text):
                raise UsageError(f"--shapes {text}: give TxBxN, for example 784x128x122.")
        if self.repeats < 1:
            raise UsageError(f"--repeats {self.repeats}: give at least 1.")


def bench(config: Bench) -> str:
    """Runs the benchmark, writes its folder and returns the tables. One that was interrupted goes on."""
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is timed
    out = made(config.out)
    results = _begun(config, out)
    rows = results["rows"]
    done = {(row["shape"], row["cell"], row["outputs"]) for row in rows}
    for text, name, outputs in tqdm(list(product(config.shapes, config.cells, config.outputs)), "bench"):
        if (text, name, outputs) not in done:
            rows += _compare(name, text, outputs, config)
            write_json(out / "bench.json", results)
    parts = [describe(config), comparison(rows), NOTES]
    if config.studies:
        from experiments.tools.studies import studies

        results["studies"], texts = studies(out)
        parts += texts
    text = "\n\n".join(parts)
    write_json(out / "bench.json", results)
    (out / "bench.md").write_text(text + "\n")
    draw(rows, out / "bench.png")
    return f"{text}\n\nfigure: {out / 'bench.png'}"


def _begun(config: Bench, out: Path) -> dict[str, Any]:
    """What an interrupted benchmark with these settings on this machine has measured (it has no bench.md yet)."""
    results = {"machine": machine_facts(), "repeats": config.repeats, "against": list(config.against), "rows": []}
    file = out / "bench.json"
    if file.exists() and not (out / "bench.md").exists():
        found = read_json(file)
        if {**found, "rows": []} == results:
            return found
    (out / "bench.md").unlink(missing_ok=True)
    return results


def comparison(rows: list[dict[str, Any]]) -> str:
    """The table of contenders, from the rows of bench.json."""
    return table([HEADER, *(_line(row) for row in rows)])


def _compare(name: str, text: str, outputs: Outputs, config: Bench) -> list[dict[str, Any]]:
    """One row a contender."""
    chosen = subjects(name, Shape(*map(int, text.split("x"))), config.against, outputs)
    train, infer = (interleaved({k: getattr(s, what) for k, s in chosen.items()}, config.repeats) for what in KINDS)
    rows = []
    for who, subject in chosen.items():
        mine = "ours, one device" if who in ONE_DEVICE and "ours, one device" in chosen else "ours"
        row: dict[str, Any] = {"shape": text, "cell": name, "outputs": outputs, "who": who, "beside": mine}
        row |= {"temporary_MiB": subject.memory, "compile_s": subject.compiling}
        for kind, seconds in (("train", train), ("infer", infer)):
            times = np.array(seconds[who])
            row |= {
                f"{kind}_ms": 1000 * float(np.median(times)),
                f"{kind}_quartiles_ms": [1000 * float(q) for q in np.percentile(times, [25, 75])],
                # of each round, so that what slows the whole machine down for a while cancels
                f"{kind}_ours_over": float(np.median(np.array(seconds[mine]) / times)),
            }
        rows.append(row)
    return rows


KINDS = ("train", "infer")
ONE_DEVICE = ("naive", "flax", "nnx", "ours, one device")  # equal devices stand beside equal devices


HEADER = (
    *("T x B x n", "cell", "outputs", "who", "train ms", "quartiles", "ours / it"),
    *("infer ms", "ours / it", "temporary MiB", "compile s"),
)

NOTES = """ours: the batch shared among all cores where that pays, as training does it. naive: the equation in one
`lax.scan`, differentiated as it is. flax, nnx: `RNN` of SimpleCell (which also stands beside asRNN), GRUCell,
OptimizedLSTMCell. These three use one device, and the ratio is that of ours on one device to them. torch: `nn.RNN`,
`nn.GRU`, `nn.LSTM` on all cores. With all outputs ours, too, is on one device; "ours, g" is asRNN with
`readout="carry"`. limit: the recurrent matrix products alone, on all cores, by the same compiler. Ratios
are medians over rounds, below 1 where ours is faster."""


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    low, high = row["train_quartiles_ms"]
    optional = (row["temporary_MiB"], row["compile_s"])
    return (
        *(
            row["shape"],
            row["cell"],
            row.get("outputs", "last"),
            row["who"],
            f"{row['train_ms']:.1f}",
            f"{low:.1f} to {high:.1f}",
        ),
        f"{row['train_ours_over']:.2f}",
        f"{row['infer_ms']:.1f}",
        f"{row['infer_ours_over']:.2f}",
        *("-" if value is None else f"{value:.1f}" for value in optional),
    )


def machine_facts() -> dict[str, Any]:
    """The machine and the versions that the numbers depend on."""
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    versions = {"asrnn_jax": asrnn_jax.__version__, "jax": jax.__version__, "python": platform.python_version()}
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": machine.cores(),
        "devices": [str(device.device_kind) for device in jax.devices()],
        **versions,
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def describe(config: Bench) -> str:
    facts = machine_facts()
    missing = [baseline for baseline in config.against if not installed(baseline)]
    lines = [
        f"{facts['processor']}, {facts['cores']} cores, JAX {facts['jax']}, {len(facts['devices'])} device(s), float32",
        *(f"not installed and left out: {baseline} (pip install 'asrnn_jax[oracles]')" for baseline in missing),
    ]
    return "\n".join(lines)


def draw(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Draws the training step of every contender: a panel for each shape, a line for each cell."""
    from matplotlib.ticker import LogLocator

    from asrnn_jax.plot import COLOURS

    rows = [
        row | {"cell": row["cell"] if row.get("outputs", "last") == "last" else f"{row['cell']}, all outputs"}
        for row in rows
    ]
    shapes, cells, who = (list(dict.fromkeys(row[key] for row in rows)) for key in ("shape", "cell", "who"))
    markers = dict(zip(who, "o^sDvPX*"))
    height = 1.3 + 0.42 * len(cells) * len(shapes)
    figure, axes = pyplot().subplots(len(shapes), 1, figsize=(8, height), layout="constrained", squeeze=False)
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
