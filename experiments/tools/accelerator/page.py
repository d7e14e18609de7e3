"""The page: what was measured, on what, and what was left out. The table of times comes last."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import jax

import asrnn_jax
from experiments.tools.accelerator.program import words

NOTES = """Times are microseconds a step of the sequence, medians over rounds of one run each. Training: one step of
cross-entropy of a linear layer on the last output, gradient, RMSprop. naive scan: the equation in one `lax.scan`.
torch: `nn.RNN`, `nn.GRU`, `nn.LSTM`, on a GPU by cuDNN. asrnn is to be compared with others' tanh_rnn. Matrix products
at each library's default precision (on GPUs of today TF32). MiB: temporary memory of training, by the compiler."""


def facts() -> dict[str, Any]:
    """The machine and the versions that the numbers depend on."""
    device = jax.devices()[0]
    torch: Any = sys.modules.get("torch")
    cudnn = torch.backends.cudnn.version() if torch and torch.cuda.is_available() else None
    return {
        "device": f"{device.device_kind} ({device.platform})",
        "accelerator": device.platform != "cpu",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "asrnn_jax": asrnn_jax.__version__,
        "torch": torch and torch.__version__,
        "cudnn": cudnn,
    }


def page(results: dict[str, Any]) -> str:
    """As Markdown; columns are not padded, so that much of it fits into the end of a long output."""
    parts = [_head(results), "## Laws", laws(results["laws"])]
    rows = [_launched(row) for row in results["speed"] if "launches" in row]
    if rows:
        parts += ["## What a training step launches", _table(("TxBxN", "cell", "outside loops", "in each loop"), rows)]
    if results["study"]:
        columns = ("TxBxN", "cell", "variant", "train us", "compile s", "MiB", "rounds", "note")
        study = _table(columns, [_line(row, infer=False) for row in results["study"]])
        parts += ["## Other ways through the same training step", study, best(results["study"])]
    columns = ("TxBxN", "cell", "who", "train us", "infer us", "compile s", "MiB", "rounds", "note")
    return "\n\n".join([*parts, "## Times", NOTES, _table(columns, [_line(row) for row in results["speed"]])])


def _head(results: dict[str, Any]) -> str:
    about = results["facts"]
    versions = ", ".join(
        f"{name} {about[name]}" for name in ("python", "jax", "asrnn_jax", "torch", "cudnn") if about[name]
    )
    lines = [f"# {about['device']}", "", f"{about['cores']} cores, {versions}; {results['seconds']:.0f} s in all."]
    if not about["accelerator"]:
        lines += ["", "**A rehearsal on a CPU: nothing here says anything about an accelerator.**"]
    if results["stopped"]:
        lines += ["", f"**{results['stopped']}**"]
    return "\n".join(lines)


def laws(rows: list[dict[str, Any]]) -> str:
    count = {word: sum(row["verdict"].startswith(word) for row in rows) for word in ("passed", "FAILED", "skipped")}
    summary = ", ".join(f"{number} {word}" for word, number in count.items())
    lines = [(row["law"], _number(row["error"], "e"), _number(row["limit"], "e"), row["verdict"]) for row in rows]
    return f"{summary}.\n\n{_table(('law', 'error', 'limit', ''), lines)}"


def best(rows: list[dict[str, Any]]) -> str:
    """The fastest variant of ours of each cell and shape, and what unrolling gives the naive scan."""
    lines = []
    for shape, cell in dict.fromkeys((row["shape"], row["cell"]) for row in rows):
        times = {r["who"]: r["train_us"] for r in rows if (r["shape"], r["cell"]) == (shape, cell) and r["train_us"]}
        for title, default, own in (("ours", "default", False), ("naive scan", "naive, unroll=1", True)):
            some = {who: time for who, time in times.items() if who.startswith("naive") == own}
            if default in some:
                who = min(some, key=some.__getitem__)
                lines.append(
                    f"- {shape}, {cell}, {title}: {who} is best, {some[who] / some[default]:.2f} of {default}."
                )
    return "\n".join(lines) or "Nothing measured."


def _line(row: dict[str, Any], infer: bool = True) -> tuple[str, ...]:
    times = [row["train_us"], row["infer_us"]] if infer else [row["train_us"]]
    numbers = [*times, row["compile_s"], row["temporary_MiB"]]
    shown = [_number(number) for number in numbers]
    return (row["shape"], row["cell"], row["who"], *shown, str(row["repeats"] or "-"), row["note"])


def _launched(row: dict[str, Any]) -> tuple[str, ...]:
    loops = [f"{loop['steps'] or '?'} times ({words(loop['body'])})" for loop in row["launches"]["loops"]]
    return (row["shape"], row["cell"], words(row["launches"]["outside"]), "; ".join(loops) or "no loop")


def _number(value: float | None, kind: str = "g") -> str:
    if value is None:
        return "-"
    return f"{value:.1e}" if kind == "e" else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [header, ("---",) * len(header), *(tuple(c.replace("|", "/") for c in row) for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
