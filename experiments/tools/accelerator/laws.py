"""Laws on the device: cells against float64 on the CPU, orthogonal maps, both ways through a linear cell.

The reference is a process of its own, ``python -m experiments.tools.accelerator.laws IN.npz OUT.npz``: float64 and the
platform are settings of a whole process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import asrnn_jax
from asrnn_jax.orthogonal import error, parametrization
from experiments.tools.accelerator.budget import Budget

ROOT = Path(__file__).parents[3]
CELLS = ("tanh_rnn", "asrnn", "gru", "lstm", "lru", "s5", "rg_lru", "urnn")
CELLS += ("s6", "linoss", "s4d", "lem", "slstm", "mlstm", "gated_delta", "attention")
OTHER_WAYS: dict[str, str] = dict.fromkeys(
    ("lru", "s5", "rg_lru", "min_gru", "s6", "linoss", "s4d"), "associative_scan"
)
OTHER_WAYS |= dict.fromkeys(("mlstm", "gated_delta", "attention"), "chunked")
STEPS, BATCH, INPUTS, HIDDEN = 48, 4, 3, 32
SIZES = (32, 122, 256)  # of orthogonal matrices
OUTPUTS, GRADIENTS = 2e-5, 2e-4  # relative errors that float32 may have; TF32 has about 1e-3
ILL_CONDITIONED = {"asrnn": 1e-3}  # gradients through Cayley maps of angles near pi: 1.4e-4 on a CPU


def check(rows: list[dict[str, Any]], budget: Budget, cells: Sequence[str] = CELLS) -> None:
    """Adds one row a law: its error, the limit (None: none is set), and "passed", "FAILED" or why it was left out."""
    names = [name for name in CELLS if name in cells]
    with tempfile.TemporaryDirectory() as folder, _reference(Path(folder), budget, names) as wanted:
        for name in (name for name in OTHER_WAYS if name in cells):
            law = f"{name}: {OTHER_WAYS[name].replace('_', ' ')} = sequential"
            rows += _row(budget, law, GRADIENTS, lambda name=name: _both_ways(name))
        for map in ("cayley", "scaled_cayley", "expm", "dynamic base, decayed"):
            for n in SIZES:
                limit = 10 * n * float(np.finfo(np.float32).eps)
                rows += _row(budget, f"orthogonal: {map}, n = {n}", limit, lambda m=map, n=n: _orthogonality(m, n))
        for name in names:
            values: dict[str, float] = {}
            rows += _row(budget, f"{name}: outputs", OUTPUTS, lambda name=name, v=values: _errors(name, wanted(), v))
            if values:
                rows.append(_judged(f"{name}: gradients", values["gradients"], ILL_CONDITIONED.get(name, GRADIENTS)))
                rows += _row(budget, f"{name}: both, default precision", None, lambda n=name: _default(n, wanted()))


def _row(budget: Budget, law: str, limit: float | None, measure: Callable[[], float]) -> list[dict[str, Any]]:
    reason = budget.refusal("law")
    if reason:
        return [{"law": law, "error": None, "limit": limit, "verdict": reason}]
    try:
        return [_judged(law, budget.timed("law", measure), limit)]
    except subprocess.TimeoutExpired:
        return [{"law": law, "error": None, "limit": limit, "verdict": "skipped: the float64 reference took too long"}]
    except Exception as e:  # a law that cannot be computed there is broken, and the others still count
        return [{"law": law, "error": None, "limit": limit, "verdict": f"FAILED: {_first_line(e)}"}]


def _judged(law: str, measured: float, limit: float | None) -> dict[str, Any]:
    verdict = "no limit" if limit is None else "passed" if measured <= limit else "FAILED"  # NaN fails
    return {"law": law, "error": measured, "limit": limit, "verdict": verdict}


def _first_line(e: Exception) -> str:
    return f"{type(e).__name__}: {str(e).strip() or '-'}".splitlines()[0][:100]


# --------------------------------------------------------------------------------------------- one run


def results(name: str, params: Any, data: dict[str, Any], method: str = "auto") -> dict[str, Any]:
    """Outputs of a short run with masks and resets, and the gradients of their weighted sum."""
    cell = asrnn_jax.cells.make(name, INPUTS, HIDDEN)

    def weighted(params, xs):
        ys = asrnn_jax.run(cell, params, xs, mask=data["mask"], reset=data["reset"], method=method)[1]  # pyright: ignore[reportArgumentType]
        return (ys * data["ct"][..., : ys.shape[-1]]).sum(), ys

    call = jax.jit(jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True))
    (_, ys), (d_params, d_xs) = call(params, data["xs"])
    return {"ys": ys, "params": d_params, "xs": d_xs}


def _params(name: str) -> Any:
    return asrnn_jax.cells.make(name, INPUTS, HIDDEN).init(jax.random.key(7))


def _data() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {
        "xs": random.normal(size=(BATCH, STEPS, INPUTS)).astype(np.float32),
        "ct": random.normal(size=(BATCH, STEPS, 2 * HIDDEN)).astype(np.float32),
        "mask": random.random((BATCH, STEPS)) < 0.8,
        "reset": random.random((BATCH, STEPS)) < 0.1,
    }


def _difference(ours: Any, wanted: Any) -> float:
    """Largest error of an array as a share of its largest number; of the largest of all where it is small itself."""
    pairs = [(np.asarray(a, np.float64), np.asarray(b)) for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted))]
    floor = 1e-3 * max(np.abs(b).max() for _, b in pairs)
    return float(np.max([np.abs(a - b).max() / max(np.abs(b).max(), floor) for a, b in pairs]))


def _errors(name: str, wanted: dict[str, np.ndarray], values: dict[str, float]) -> float:
    with jax.default_matmul_precision("highest"):
        ours = results(name, _params(name), _data())
    leaves = _of(name, wanted)
    values["gradients"] = _difference((ours["params"], ours["xs"]), leaves[:-1])
    return _difference(ours["ys"], leaves[-1])


def _default(name: str, wanted: dict[str, np.ndarray]) -> float:
    ours = results(name, _params(name), _data())
    return _difference((ours["params"], ours["xs"], ours["ys"]), _of(name, wanted))


def _both_ways(name: str) -> float:
    with jax.default_matmul_precision("highest"):
        one, other = (results(name, _params(name), _data(), method) for method in (OTHER_WAYS[name], "sequential"))
    return _difference(one, other)


def _orthogonality(map: str, n: int) -> float:
    """At the default precision, in which users call it."""
    dynamic = map.startswith("dynamic")
    Q = parametrization(n, "cayley" if dynamic else map, dynamic=dynamic, dtype=jnp.float32)
    params = Q.init(jax.random.key(n))
    params["skew"] = params["skew"] + 0.1 * jax.random.normal(jax.random.key(n + 1), params["skew"].shape, jnp.float32)
    if dynamic:  # as weight decay leaves it
        params["base"] = 0.9 * params["base"]
    return float(jax.jit(lambda params: error(Q.matrix(params)))(params))


# ------------------------------------------------------------------------------------------- reference


@contextmanager
def _reference(folder: Path, budget: Budget, names: Sequence[str]) -> Iterator[Callable[[], dict[str, np.ndarray]]]:
    """Starts the reference beside what the device does meanwhile; what it yields waits for the numbers."""
    if budget.left() <= 0:
        yield dict
        return
    arrays = {f"data {key}": value for key, value in _data().items()}
    for name in names:
        arrays |= {f"{name} {i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(_params(name)))}
    np.savez(folder / "in.npz", **arrays)  # pyright: ignore[reportArgumentType]
    command = [sys.executable, "-m", __name__, str(folder / "in.npz"), str(folder / "out.npz")]
    settings = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True)

    def wanted() -> dict[str, np.ndarray]:
        if not (folder / "out.npz").exists():
            _, complaint = process.communicate(timeout=max(budget.left(), 0.1))
            if process.returncode:
                raise RuntimeError(f"the float64 reference ended with {complaint.strip().splitlines()[-1:]}")
        with np.load(folder / "out.npz") as file:
            return dict(file)

    try:
        yield wanted
    finally:
        process.kill()
        process.communicate()


def _of(name: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """A cell's arrays in their order."""
    count = sum(key.startswith(f"{name} ") for key in arrays)
    return [arrays[f"{name} {i}"] for i in range(count)]


def reference(source: str, target: str) -> None:
    """Reads params and data, computes in float64, writes gradients and, last, outputs."""
    with np.load(source) as file:
        arrays = {key: a.astype(np.float64) if a.dtype == np.float32 else a for key, a in file.items()}
    data = {key: arrays[f"data {key}"] for key in _data()}
    found = {}
    for name in {key.rsplit(" ", 1)[0] for key in arrays} - {"data"}:
        structure = jax.tree.structure(_params(name))
        out = results(name, jax.tree.unflatten(structure, _of(name, arrays)), data, "sequential")
        assert out["ys"].dtype == np.float64
        leaves = [*jax.tree.leaves((out["params"], out["xs"])), out["ys"]]
        found |= {f"{name} {i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    np.savez(target + ".part.npz", **found)
    os.replace(target + ".part.npz", target)


if __name__ == "__main__":
    reference(*sys.argv[1:])
