"""A voice detector of our own, on unseen speakers and never reset, beside one that others made."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

import asrnn_jax
from asrnn_jax import audit, pretrained
from asrnn_jax.audit.models import of_cell
from asrnn_jax.cells import CELLS, network
from asrnn_jax.optim import count
from asrnn_jax.saved import replacing
from experiments.choices import check_choices
from experiments.config.checks import counts
from experiments.data.rooms import FEATURES, RATE, speakers
from experiments.errors import UsageError, unknown
from experiments.folder import alone, made, read_json, write_json
from experiments.report.voice_page import add
from experiments.tools import voice_measures as measures
from experiments.tools import voice_training as training
from experiments.tools.voice_measures import Said, Steps

HOW = ("data_dir", "detector", "out", "page", "seeds", "recipes")  # flags that change no number of a network
ALARMS = 10.0  # an hour of gaps, that a threshold may cost on the training speakers
CHOSEN = [room for room in measures.ROOMS if room.sounds != measures.UNSEEN]
THEIRS = {"constants": {"sr": RATE}, "context": 32}  # how silero_vad takes sound
LIMITS = (
    "Trained on spoken digits of four speakers of one data set with synthetic noise and sounds: digits of six speakers "
    "are not the world. Not tested on other words, whole sentences, children, music, babble, echo or real rooms. "
    "Sounds unlike those of training, such as sirens, are taken for speech."
)


@dataclass(frozen=True)
class Voice:
    """Train voice detectors, let them run for an hour without a reset on speakers they never heard, and audit them.

    What is finished is kept in the folder, so that the command continues where it was stopped.
    """

    data_dir: str | None = None
    """Folder with the Free Spoken Digit Dataset, digit_speaker_index.wav."""
    detector: str | None = None
    """ONNX file of silero_vad, to measure beside. None: only our own."""
    out: str = "runs/voice"
    """Folder of networks, of what was said, and of voice.json."""
    page: str | None = None
    """Folder with an audit.json of experiments.tools.audit_checks, whose page gets the results and their figure."""
    unseen: tuple[str, ...] = ("theo", "yweweler")
    """Speakers to test on; all others train."""
    cell: str = "gru"
    """Cell, see `python -m experiments list`."""
    hidden: int = 64
    """Units."""
    steps: int = 1200
    """Training steps, each of 32 windows of 2 s."""
    seconds: int = 600
    """Length of each of the 32 training streams, and of the ten streams of an audit."""
    length: int = 3600
    """Seconds of the ten streams that all run through without a reset."""
    seeds: int = 3
    """Networks of each recipe, with seeds 0, 1, ..."""
    recipes: tuple[training.Recipe, ...] = ("reset-free", "usual")
    """Ways to train; reset-free is always one. covered: starts as reset-free, cross-entropy as usual."""

    def __post_init__(self):
        if self.cell not in CELLS:
            raise unknown("--cell", self.cell, CELLS)
        check_choices(self)
        counts(self, "hidden", "steps", "seeds")
        if "reset-free" not in self.recipes:
            raise UsageError(f"--recipes {' '.join(self.recipes)}: reset-free has to be one of them.")
        for name in ("seconds", "length"):
            if getattr(self, name) < 60:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 60.")


def voice(config: Voice) -> str:
    """Carries out what is not finished and returns the tables.

    Raises:
      UsageError: data that are missing, a folder of other settings.
    """
    out = made(config.out)
    with alone(out):
        asked = {name: value for name, value in asdict(config).items() if name not in HOW}
        stored = out / "config.json"
        if stored.exists() and read_json(stored) != json.loads(json.dumps(asked)):
            raise UsageError(f"--out {out}: was made with other settings, see config.json there; give another folder.")
        write_json(stored, asked)
        sounds = _Sounds(config)
        rows = [_theirs(config, sounds, out)] if config.detector else []
        sounds.of.cache_clear()  # an hour of ten streams in chunks is a gigabyte
        rows += [_ours(config, sounds, out, recipe, seed) for recipe in config.recipes for seed in range(config.seeds)]
    found = json.loads(json.dumps({"config": asked | {"seeds": config.seeds}, "rows": rows}))
    write_json(out / "voice.json", found)
    return add(found, out if config.page is None else Path(config.page))


class _Sounds:
    """Streams of training and of unseen speakers, made when they are asked for and kept."""

    def __init__(self, config: Voice):
        by_name = speakers(config.data_dir)
        if missing := [name for name in config.unseen if name not in by_name]:
            raise UsageError(f"--unseen {' '.join(missing)}: there is {', '.join(by_name)}.")
        self.known = [each for name, own in by_name.items() if name not in config.unseen for each in own]
        self.unseen = [each for name in config.unseen for each in by_name[name]]
        self.names = [name for name in by_name if name not in config.unseen]
        if not self.known or not self.unseen:
            raise UsageError(f"--unseen {' '.join(config.unseen)}: leave some speakers to train on, and give some.")
        self._config = config
        self.of = cache(self._of)

    def _of(self, which: str, how: Callable[..., Steps]) -> Steps:
        """ "choose": training speakers, for thresholds; "audit" and "hour": unseen ones."""
        if which == "choose":
            return how(measures.streams(self.known, self._config.seconds, 7, CHOSEN))
        length, seed = (self._config.length, 1) if which == "hour" else (self._config.seconds, 2)
        return how(measures.streams(self.unseen, length, seed))


def _theirs(config: Voice, sounds: _Sounds, out: Path) -> dict[str, Any]:
    """The ONNX detector's row: at its own threshold 0.5, and at one chosen as ours are."""
    try:
        model = audit.onnx(config.detector or "", **THEIRS)
    except (ValueError, ImportError) as e:
        raise UsageError(f"--detector: {e}") from e
    chosen = _ran(model, sounds, "choose", out / "detector", measures.by_chunks)
    row, said = _measured(model, sounds, out / "detector", measures.by_chunks, 0.5)
    hour = _ran(model, sounds, "hour", out / "detector", measures.by_chunks)
    row["hour"], row["chosen"] = _each(hour, 0.5), {}
    for policy in chosen.outputs:
        at = _threshold(chosen, policy)
        found = {"threshold": at, **measures.scored(said, policy, at), "hour": measures.scored(hour, policy, at)}
        row["chosen"][policy] = found
    return {"name": Path(config.detector or "").stem, "threshold": 0.5, **row, "cost": measures.their_cost(model)}


def _ours(config: Voice, sounds: _Sounds, out: Path, recipe: training.Recipe, seed: int) -> dict[str, Any]:
    """The row of one of our networks; trained first if it is not there."""
    name = f"{recipe}-{seed}"
    file = out / f"{name}{pretrained.SUFFIX}"
    if not file.exists():
        _train(config, sounds, file, recipe, seed)
    cell, params, card = pretrained.load(file)
    model = of_cell(cell, params, name)
    row, _ = _measured(model, sounds, out / name, measures.by_features, 0.0)
    row["hour"] = _each(_ran(model, sounds, "hour", out / name, measures.by_features), 0.0)
    row = {"name": name, "recipe": recipe, "seed": seed, "parameters": count(params), "threshold": 0.0, **row}
    row |= {"seconds": card["seconds"], "cost": measures.our_cost(cell, params) if seed == 0 else None}
    if not card.get("result"):
        card["result"] = {k: row["hour"]["never"]["all"][k] for k in ("words", "found", "delay", "alarms", "recall")}
        arguments = card.pop("network")
        pretrained.save(file, arguments, params, card)
    return row


def _train(config: Voice, sounds: _Sounds, file: Path, recipe: training.Recipe, seed: int) -> None:
    """Trains a network, chooses its threshold on training speakers, and makes it 0 by the output's bias."""
    kept = file.with_name(f"training-{seed}.npz")
    if not kept.exists():
        xs, labels = training.streams(sounds.known, config.seconds, seed)
        with replacing(kept) as to:
            np.savez(to, xs=xs, labels=labels)
    with np.load(kept) as data:
        xs, labels = data["xs"], data["labels"]
    arguments = training.arguments(config.cell, config.hidden)
    model, begin = network(**arguments), time.perf_counter()
    params, loss = training.fit(recipe, model, xs, labels, steps=config.steps, seed=seed)
    seconds = time.perf_counter() - begin
    said = measures.running(of_cell(model, params), sounds.of("choose", measures.by_features), (None,))
    threshold = _threshold(said, "never")
    settings = {"recipe": recipe, "cell": config.cell, "hidden": config.hidden, "steps": config.steps, "seed": seed}
    settings |= {"seconds": config.seconds, "speakers": sounds.names, "unseen": list(config.unseen)}
    card = {
        "name": f"voice-{config.cell}",
        "about": "A voice detector that is never reset: 8 kHz, steps of 16 ms. Speech where the output is above 0.",
        "task": "speech or none",
        "config": {"command": "voice", **settings},
        "command": f"python -m experiments voice --steps {config.steps} --data-dir FOLDER",
        "parameters": count(params),
        "seed": seed,
        "best_by": f"threshold by {ALARMS:g} false alarms an hour on the training speakers",
        "threshold": 0.0,
        "features": FEATURES,
        "labels": ["speech"],
        "data": "Free Spoken Digit Dataset 1.0.10 (Jakobovski and contributors), CC BY-SA 4.0",
        "limits": LIMITS,
        "loss": float(np.mean(loss[-50:])),
        "seconds": round(seconds, 1),
        "date": datetime.date.today().isoformat(),
        "versions": {"asrnn_jax": asrnn_jax.__version__, "jax": jax.__version__},
    }
    pretrained.save(file, arguments, training.shifted(params, threshold), card)


def _threshold(said: Said, policy: str) -> float:
    candidates = np.quantile(said.outputs[policy], np.linspace(0.7, 1, 400))
    return measures.threshold_for(said, policy, ALARMS, candidates)


def _ran(model: audit.Model, sounds: _Sounds, which: str, path: Path, how: Callable[..., Steps]) -> Said:
    """What a detector says, never reset and reset every 5 s, from its file if there is one."""
    file = path.with_name(f"{path.name}-{which}.npz")
    if not file.exists():
        measures.running(model, sounds.of(which, how)).save(file)
    return Said.load(file)


def _measured(
    model: audit.Model, sounds: _Sounds, path: Path, how: Callable[..., Steps], threshold: float
) -> tuple[dict[str, Any], Said]:
    """The audit on streams of unseen speakers."""
    stored = path.with_name(f"{path.name}-audit.json")
    if not stored.exists():
        found, said = measures.audited(model, sounds.of("audit", how), threshold)
        said.save(stored.with_suffix(".npz"))
        write_json(stored, found.as_json())
    found, said = read_json(stored), Said.load(stored.with_suffix(".npz"))
    row = {
        "audit": {name: found[name] for name in ("verdict", "policies", "fresh", "after_gaps")},
        "policies": {name: measures.scored(said, name, threshold) for name in said.outputs},
        "minutes": {name: _placed(said, name, threshold) for name in ("never", "every 5 s")},
    }
    return row, said


def _each(said: Said, threshold: float) -> dict[str, Any]:
    return {policy: _placed(said, policy, threshold) for policy in said.outputs}


def _placed(said: Said, policy: str, threshold: float) -> dict[str, Any]:
    """All together, by room and along the streams."""
    given = (said, policy, threshold)
    return {"all": measures.scored(*given), "rooms": measures.by_room(*given), "along": measures.along(*given)}
