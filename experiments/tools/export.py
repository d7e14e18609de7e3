"""Trained networks as files that run without this library, compared with the networks themselves."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro

import asrnn_jax
from asrnn_jax import export as exporting
from asrnn_jax.cell import Cell, as_weights
from asrnn_jax.narrowed import Narrow
from experiments.choices import check_choices
from experiments.errors import UsageError
from experiments.report.tables import table, typed
from experiments.tools.evaluate import file_names, loaded


@dataclass(frozen=True)
class Export:
    """Write trained networks as files for JAX or onnxruntime alone, run the files, and compare the outputs."""

    pretrained: tyro.conf.Positional[tuple[str, ...]]
    """Names of networks that come with the package, or paths of files, for example of a run's best.safetensors."""
    out: str = "exported"
    """Folder of the files and of the table, export.md."""
    formats: tuple[Literal["stablehlo", "onnx"], ...] = ("stablehlo",)
    """stablehlo: for JAX on CPU, GPU and TPU; onnx: for onnxruntime, needs the extra onnx."""
    weights: tuple[Narrow, ...] = ("float32",)
    """Types in which the matrices are stored; everything is computed in float32."""
    steps: int | None = None
    """Steps that one call computes. None: one step, for streams."""
    check: int = 10_000
    """Length of the stream on which each file is compared with the network."""

    def __post_init__(self):
        check_choices(self)
        for name in ("steps", "check"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} {value}: give at least 1.")
        if not (self.pretrained and self.formats and self.weights):
            raise UsageError("NETWORK, --formats and --weights: give at least one of each.")


def export(settings: Export) -> str:
    """Writes the files and returns the table, which is also written to a file.

    Raises:
      UsageError: an unknown network, a folder that cannot be written, a library that is not installed.
    """
    networks = {name: loaded(path)[:2] for name, path in zip(file_names(settings.pretrained), settings.pretrained)}
    out = Path(settings.out)
    rows: list[tuple[str, ...]] = [
        ("file", "bytes", "microseconds a call", "largest difference", "by the last bit", "largest output")
    ]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, (cell, params) in networks.items():
            rows.extend(_exported(settings, out / name, cell, params))
        text = (
            f"Microseconds: the median of a call with one stream, on {jax.default_backend()}, {platform.machine()}. "
            f"Differences: from this library's own run with the same weights, {_rounded(settings):,} steps of noise. "
            "By the last bit: what becomes of that run if its inputs change in their last bit; where it is much, the "
            f"network is chaotic on noise, or never forgets, and no two programs agree.\n\n{table(rows)}"
        )
        again = typed("export", settings, positional="pretrained")
        (out / "export.md").write_text(f"# Exported networks\n\n    {again}\n\n{text}\n")
    except OSError as e:
        raise UsageError(f"--out {out} cannot be written ({e}): give another folder.") from e
    return text


def _rounded(settings: Export) -> int:
    """Steps of the stream: whole calls."""
    chunk = settings.steps or 1
    return -(-settings.check // chunk) * chunk


def _exported(settings: Export, stem: Path, cell: Cell, params: Any) -> Iterator[tuple[str, ...]]:
    """Writes and runs the files of one network; the lines of the table."""
    chunk = settings.steps or 1
    xs = np.random.default_rng(0).uniform(size=(_rounded(settings), cell.inputs)).astype(np.float32)
    for kind in settings.weights:
        wide = exporting.widen(exporting.narrow(as_weights(cell, params), kind))
        expected, other = (
            np.asarray(asrnn_jax.run(cell, wide, x)[1]) for x in (xs, np.nextafter(xs, 2, dtype=xs.dtype))
        )
        for form in settings.formats:
            path = stem.with_name(f"{stem.name}-{kind}.{form}")
            path.write_bytes(_made(form, cell, params, settings.steps, kind))
            found, seconds = _streamed(path, form, xs.reshape(-1, chunk, cell.inputs), settings.steps is None)
            difference = np.abs(found.reshape(expected.shape) - expected).max()
            numbers = (f"{path.stat().st_size:,}", f"{1e6 * seconds:.0f}", f"{difference:.1e}")
            yield path.name, *numbers, f"{np.abs(other - expected).max():.1e}", f"{np.abs(expected).max():.3g}"


def _made(form: str, cell: Cell, params: Any, steps: int | None, kind: Any) -> bytes:
    try:
        return getattr(exporting, form)(cell, params, steps=steps, weights=kind)
    except ImportError as e:
        raise UsageError(f"--formats {form}: {e}") from e


def _streamed(path: Path, form: str, chunks: np.ndarray, squeeze: bool) -> tuple[np.ndarray, float]:
    """The outputs of one stream, and the median of the seconds of a call."""
    advance, state = (_jax if form == "stablehlo" else _onnxruntime)(path)
    outputs, seconds = [], []
    for i, chunk in enumerate(chunks):
        x, reset = (chunk if squeeze else chunk[None]), np.array([i == 0])
        start = time.perf_counter()
        state, y = jax.block_until_ready(advance(state, x, reset))
        seconds.append(time.perf_counter() - start)
        outputs.append(np.asarray(y))
    return np.stack(outputs), float(np.median(seconds))


def _jax(path: Path) -> tuple[Callable[..., Any], Any]:
    from jax import export as jax_export

    network = jax_export.deserialize(bytearray(path.read_bytes()))
    *states, _, _ = network.in_avals
    return jax.jit(network.call), tuple(np.zeros((1, *aval.shape[1:]), aval.dtype) for aval in states)


def _onnxruntime(path: Path) -> tuple[Callable[..., Any], Any]:
    import onnxruntime

    network = onnxruntime.InferenceSession(str(path))
    *states, _, _ = network.get_inputs()

    def advance(state, x, reset):
        given = {f"state_{k}": array for k, array in enumerate(state)}
        *state, y = network.run(None, given | {"x": x, "reset": reset})
        return state, y

    return advance, [np.zeros((1, *given.shape[1:]), np.float32) for given in states]
