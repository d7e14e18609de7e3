"""Is the audit right? Planted collapses, contractive models, coverage of intervals, other measurements of networks.

python -m experiments.tools.audit_checks --data-dir FOLDER --detector FILE.onnx --sound FOLDER

writes the page experiments/results/audit/README.md, and the numbers it is made from beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from asrnn_jax import audit, pretrained, streaming
from asrnn_jax.audit import command as audit_command
from asrnn_jax.audit.measures import Sums, interval
from experiments.config import Stream, from_json
from experiments.data.samples import gaps_of, load_samples, stream_of
from experiments.report import voice_page
from experiments.report.stream_report import policies
from experiments.report.tables import shown, table
from experiments.tasks.scores import TEST_STREAMS, measure
from experiments.tools import audit_toys as toys

OUT = Path("experiments/results/audit")
NETWORKS = ("fashion-asrnn", "fashion-gru", "fashion-lstm")
SAMPLES = 300
FLAGS = "--constants sr=8000 --context 32 --chunk 256 --every 10 31 156 312"


def plants(number: int = 20) -> list[dict[str, Any]]:
    """Collapses planted after k quiet steps, k at random, and where the audit found them."""
    rows = []
    for seed in range(number):
        k, found = toys.planted(seed)
        by_kind = {gap.kind: gap.collapses for gap in found.gaps}
        rows.append({"planted": k, "need": found.verdict.need.value, **by_kind})
    return rows


def contractive(number: int = 20) -> list[dict[str, Any]]:
    """Random contractive networks and what the audit says of them."""
    rows = []
    for seed in range(number):
        found = toys.audited_contractive(seed)
        accused = sum(gap.collapses is not None for gap in found.gaps)
        rows.append({"need": found.verdict.need.value, "collapses": accused, "agrees": found.memory.agrees})
    return rows


def coverage(streams: tuple[int, ...] = (4, 6, 10, 20, 50), number: int = 2000) -> dict[str, float]:
    """How often intervals at 95 % hold the truth, for shares that differ from stream to stream."""
    found = {}
    for n in streams:
        rng, held = np.random.default_rng(1), 0
        for i in range(number):
            part = rng.binomial(50, rng.beta(6, 3, size=(n, 1))).astype(float)
            ends = interval(Sums(part, np.full_like(part, 50)), seed=i)
            held += ends.low <= 6 / 9 <= ends.high
        found[str(n)] = held / number
    return found


def networks(data_dir: str) -> list[dict[str, Any]]:
    """Accuracies of the package's networks by the audit and by what makes never-reset's tables."""
    rows = []
    for name in NETWORKS:
        model, params, card = pretrained.load(name)
        config = from_json(card["config"] | {"data_dir": data_dir})
        assert isinstance(config, Stream)
        train, test, _ = load_samples(config)
        gaps = gaps_of(config, train)
        chosen = policies(train, gaps)
        streams = [stream_of(test, 10**6 + i, gaps) for i in range(TEST_STREAMS)]
        steps, ended = 0, 0
        while ended < SAMPLES:  # as many windows as `measure` takes
            ended += int(streaming.windows(streams, steps, 500).ends.sum())
            steps += 500
        found = audit.resets(model, params, streams, steps=steps, policies=chosen)
        theirs = {policy.name: measure(model, params, test, gaps, SAMPLES, policy)["accuracy"] for policy in chosen}
        ours = {row.policy: row.score.value for row in found.rows}
        on_card = {"never": card["result"]["test_accuracy"], "oracle": card["result"]["test_oracle_accuracy"]}
        rows.append({"name": name, "audit": ours, "table": theirs, "card": on_card, "verdict": found.verdict.text})
    return rows


def detector(file: str, sound: str, out: Path) -> list[dict[str, Any]]:
    """The command on an ONNX detector, with three kinds of gaps; the first one's figure is kept."""
    rows = []
    for i, gaps in enumerate(("--kinds silence", "--kinds white", "--kinds white --gaps 5 15 --samples 60")):
        folder = out / f"run{i}"
        begin = time.perf_counter()
        flags = [*FLAGS.split(), *gaps.split(), "--out", str(folder)]
        if audit_command.main([file, "--data", sound, *flags]):
            raise SystemExit(2)
        found = json.loads((folder / "found.json").read_text())
        scores = {row["policy"]: (row["score"], row["others"]["false alarms"]) for row in found["policies"]}
        rows.append({"gaps": gaps, "seconds": time.perf_counter() - begin, "verdict": found["verdict"]["text"]})
        rows[-1] |= {"steps": found["steps"] * found["streams"], "scores": scores}
        if i == 0:
            shutil.copy(folder / "audit.png", out / "detector.png")
        shutil.rmtree(folder)
    return rows


def page(found: dict[str, Any]) -> str:
    """The page of these numbers."""
    right = sum(row["planted"] == row["silence"] and row["samples"] is None for row in found["plants"])
    accused = sum(row["need"] != audit.Need.NONE or row["collapses"] > 0 for row in found["contractive"])
    same = sum(a == row["table"][k] for row in found["networks"] for k, a in row["audit"].items())
    of = sum(len(row["audit"]) for row in found["networks"])
    cards = sum(abs(row["audit"][k] - value) < 1e-6 for row in found["networks"] for k, value in row["card"].items())
    planted = ", ".join(str(row["planted"]) for row in found["plants"])
    covered = table(
        [("streams", *found["coverage"]), ("held, %", *(shown(100 * v) for v in found["coverage"].values()))]
    )
    lines = [("network", *(name.split("(")[0] for name in found["networks"][0]["audit"]))]
    lines += [(row["name"], *(f"{100 * v:.2f}" for v in row["audit"].values())) for row in found["networks"]]
    names = list(found["detector"][0]["scores"])
    rows = [("gaps", "chunks", "seconds", *(name.split("(-")[0] for name in names))]
    for row in found["detector"]:
        cells = [f"{100 * s['value']:.0f} ({100 * alarms:.1f})" for s, alarms in row["scores"].values()]
        rows.append((row["gaps"].replace("--", ""), f"{row['steps']:,}", f"{row['seconds']:.0f}", *cells))
    return "\n\n".join(
        [
            "# Is the audit right?",
            "`python -m experiments.tools.audit_checks --data-dir FOLDER --detector FILE.onnx --sound FOLDER` makes "
            "this page and [audit.json](audit.json), with all numbers. Two CPU cores, on which other work ran too.",
            "## Planted collapses",
            f"A model that sticks after k quiet steps in a row. The audit finds the k planted, and no collapse after "
            f"other samples, in **{right} of {len(found['plants'])}** plants: {planted}.",
            f"Of {len(found['contractive'])} random contractive networks it accuses **{accused}**.",
            "## Intervals",
            "Intervals at 95 % of a mean share, for shares that differ from stream to stream: how often they hold the "
            "truth, of 2,000 simulations. Give 10 streams or more.",
            covered,
            "## Networks of the package",
            f"Accuracy in % at the end of samples on streams of Fashion-MNIST, {TEST_STREAMS} streams. **{same} of "
            f"{of}** are equal to the digit to what the code of never-reset's tables measures on the same streams, and "
            f"{cards} of {2 * len(found['networks'])} to the networks' cards.",
            table(lines),
            *(f"- {row['name']}: {row['verdict']}" for row in found["networks"]),
            "## A voice detector that nobody here made",
            "silero_vad 6.2.3 (MIT licence), 250 recordings of spoken digits joined with gaps of 0.3 to 2 s (60, and 5 "
            "to 15 s, in the last row), chunks of 32 ms. Speech found in %, in brackets false alarms in % of the gaps.",
            table(rows),
            *(f"- {row['gaps'].replace('--', '')}: {row['verdict']}" for row in found["detector"]),
            "![score by policy, along the streams, by time since a reset; after gaps; the state](detector.png)",
            *([voice_page.section(found["voice"])] if "voice" in found else []),
        ]
    )


def main() -> None:
    """Measures all and writes the page."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data-dir", required=True, help="with the files of Fashion-MNIST")
    flags.add_argument("--detector", required=True, help="the ONNX file")
    flags.add_argument("--sound", required=True, help="folder of WAV files")
    given = flags.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    found = {
        "plants": plants(),
        "contractive": contractive(),
        "coverage": coverage(),
        "networks": networks(given.data_dir),
        "detector": detector(given.detector, given.sound, OUT),
    }
    before = OUT / "audit.json"
    voice = json.loads(before.read_text()).get("voice") if before.exists() else None  # of another command
    found = json.loads(json.dumps(found | ({"voice": voice} if voice else {})))
    (OUT / "audit.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUT / "README.md").write_text(page(found) + "\n")


if __name__ == "__main__":
    main()
