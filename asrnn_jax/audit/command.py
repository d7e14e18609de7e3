"""The command ``python -m asrnn_jax audit FILE --data FOLDER|CSV``: table, figure, verdict, and a run folder."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from asrnn_jax import pretrained
from asrnn_jax.audit.audited import Settings, resets
from asrnn_jax.audit.models import Model, of_cell
from asrnn_jax.audit.onnx_files import onnx
from asrnn_jax.audit.recordings import chunked, featured, from_table, wav_files
from asrnn_jax.audit.results import Found
from asrnn_jax.audit.sources import join
from asrnn_jax.saved import replacing
from asrnn_jax.streaming import Stream


def main(arguments: list[str], prog: str = "python -m asrnn_jax audit") -> int:
    """Carries out the command and returns its exit code: 0, or 2 for input that does not fit, said in one line."""
    options = parser(prog).parse_args(arguments)
    try:
        found, seconds = audited(options)
        folder = Path(options.out or f"runs/audit/{Path(options.file).stem}")
        write(found, folder, vars(options) | {"seconds": round(seconds, 1)})
    except (ValueError, TypeError, ImportError, OSError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(found.table())
    print(f"\n{found.verdict}\n\nsee {folder}")
    return 0


def parser(prog: str) -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(prog, description="Does a streaming model need resets?")
    add = made.add_argument
    add("file", help="an ONNX file with explicit states, a name of asrnn_jax.pretrained, or a saved network")
    add("--data", required=True, help="a folder of WAV files, or a file with one row a step (CSV, Parquet, NPZ)")
    add("--out", help="run folder; default runs/audit/NAME")
    model = made.add_argument_group("ONNX files")
    model.add_argument("--x", help="name of the input; default: what is left")
    model.add_argument("--y", help="name of the output")
    model.add_argument("--states", nargs="+", metavar="IN>OUT", help="states, each with the output it is next time")
    model.add_argument("--constants", nargs="+", metavar="NAME=VALUE", help="other inputs, for example sr=8000")
    model.add_argument("--context", type=int, default=0, help="last samples of the chunk before, put before each")
    model.add_argument("--chunk", type=int, help="samples of sound in a step")
    sound = made.add_argument_group("folders of WAV files, joined with gaps")
    sound.add_argument("--samples", type=int, default=250, help="recordings, drawn at random")
    sound.add_argument("--streams", type=int, default=10, help="that they are shared out to")
    sound.add_argument("--gaps", type=float, nargs=2, default=(0.3, 2.0), metavar="SECONDS", help="shortest, longest")
    sound.add_argument("--kinds", nargs="+", default=["silence"], help="of gaps: silence, white, walk, hum, clicks ...")
    sound.add_argument("--level", type=float, default=0.003, help="root mean square of the noise in gaps")
    table = made.add_argument_group("tables")
    table.add_argument("--label", default="label", help="column of labels; none, or for detectors 0: nothing is there")
    table.add_argument("--stream", help="column that says which stream a row is of")
    table.add_argument("--time", help="column of times")
    what = made.add_argument_group("what is measured")
    what.add_argument("--score", help="accuracy, 'accuracy at end', recall, precision, f1, 'false alarms'")
    what.add_argument(
        "--threshold", type=float, help="above which a detector says something; default: its card's, or 0.5"
    )
    what.add_argument("--every", type=int, nargs="+", help="intervals of periodic resets; default 10, 30, 100, ...")
    what.add_argument("--steps", type=int, help="of each stream; default: all samples once")
    what.add_argument("--margin", type=float, default=0.02, help="difference of the score that matters")
    what.add_argument("--seed", type=int, default=0)
    return made


def audited(options: argparse.Namespace) -> tuple[Found, float]:
    """The audit that the flags ask for, and the seconds it took."""
    model, card = load(options)
    every = None if options.every is None else tuple(options.every)
    threshold = options.threshold if options.threshold is not None else (card or {}).get("threshold", 0.5)
    settings = Settings(every=every, threshold=threshold, margin=options.margin, seed=options.seed)
    begin = time.perf_counter()
    data, labels = Path(options.data), None
    if data.is_dir():
        streams, steps = _joined(data, options, card)
    else:
        given = {"label": options.label, "stream": options.stream, "time": options.time}
        detector = card is None and options.score not in ("accuracy", "accuracy at end")
        (streams, labels), steps = from_table(data, **given, detector=detector), options.steps
    found = resets(model, None, streams, labels, steps=steps, score=options.score, settings=settings)
    return found, time.perf_counter() - begin


def _joined(data: Path, options: argparse.Namespace, card: dict[str, Any] | None) -> tuple[list[Stream], int]:
    """Recordings of a folder joined with gaps, and how many steps of each stream."""
    files = wav_files(data, options.samples, options.seed)
    if card is None and options.chunk is None:
        raise ValueError("--chunk: say how many samples of sound are one step of this file.")
    sounds = chunked(files, options.chunk) if card is None else featured(files, card)
    rate = constants(options.constants).get("sr", sounds.rate)
    if rate != sounds.rate:
        raise ValueError(f"--constants sr={rate}: the files of --data have {sounds.rate} Hz; give files of that rate.")
    low, high = (max(0, round(seconds / sounds.seconds)) for seconds in options.gaps)
    between: dict[str, Any] = {"gaps": (low, high), "kinds": tuple(options.kinds), "level": options.level}
    streams = join(
        sounds.xs, sounds.labels, lengths=sounds.lengths, streams=options.streams, seed=options.seed, **between
    )
    return streams, options.steps or int((sounds.lengths.sum() + len(sounds.xs) * (low + high) / 2) / options.streams)


def load(options: argparse.Namespace) -> tuple[Model, dict[str, Any] | None]:
    """The model, and its card if it is one of this library."""
    if not options.file.endswith(".onnx"):
        cell, params, card = pretrained.load(options.file)
        return of_cell(cell, params, Path(options.file).stem), card
    states = None
    if options.states:
        pairs = [pair.partition(">")[::2] for pair in options.states]
        if not all(name and then for name, then in pairs):
            raise ValueError(f"--states {' '.join(options.states)}: give IN>OUT, in quotes.")
        states = dict(pairs)
    known = constants(options.constants)
    return onnx(options.file, x=options.x, y=options.y, states=states, constants=known, context=options.context), None


def constants(given: list[str] | None) -> dict[str, Any]:
    """``["sr=8000"]`` as numbers by name."""
    found = {}
    for each in given or ():
        name, _, value = each.partition("=")
        try:
            found[name] = float(value) if "." in value or "e" in value else int(value)
        except ValueError:
            raise ValueError(f"--constants {each}: give NAME=NUMBER.") from None
    return found


def write(found: Found, folder: Path, options: dict[str, Any]) -> None:
    """Writes found.json, table.md and, where matplotlib is installed, audit.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "found.json", "w") as file:
        file.write(json.dumps(found.as_json() | {"options": options}, indent=1) + "\n")
    with replacing(folder / "table.md", "w") as file:
        rests = "\n".join(f"- {each}" for each in found.verdict.rests_on)
        file.write(f"# Audit of {found.model}\n\n{found.verdict}\n\n{found.table()}\n\nIt rests on:\n\n{rests}\n")
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no figure", file=sys.stderr)
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from asrnn_jax import plot

    figure = plot.audit(found)[0, 0].figure
    figure.savefig(folder / "audit.png", dpi=110)
    plt.close(figure)
