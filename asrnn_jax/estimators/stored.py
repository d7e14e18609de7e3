"""Fitted estimators as one file of safetensors: network, preparation, arguments, scores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import saved
from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators.findings import from_about
from asrnn_jax.estimators.preparing.preparation import Preparation
from asrnn_jax.names import named

FORMAT = 1
PARAMS, PREPARATION = "params.", "preparation."


def save(model: Any, to: str | os.PathLike | saved.Writable, more: Mapping[str, Any]) -> None:
    """Writes an estimator, with more that its kind knows, JSON values."""
    arrays = {PARAMS + name: np.asarray(leaf) for name, leaf in named(model.params)}
    arrays |= {PREPARATION + name: array for name, array in model.preparation.to_arrays().items()}
    about = {
        "format": FORMAT,
        "estimator": type(model).__name__,
        "arguments": {name: _plain(value) for name, value in model.get_params().items()},
        "preparation": model.preparation.about(),
        "columns": model.columns_,
        "history": {name: [None if v != v else float(v) for v in values] for name, values in model.history.items()},
        "findings": [finding.about() for finding in model.findings],
        "rate": model.rate_,
        "steps": model.n_steps_,
        "more": dict(more),
    }
    saved.write(to, arrays, about)


def load(kind: Any, source: str | os.PathLike | saved.Readable) -> Any:
    """The estimator of this kind that `save` wrote.

    Raises:
      ValueError: another file, one that is damaged or does not fit. OSError: it cannot be read.
    """
    arrays, about = saved.read(source, f"saved {kind.__name__}")
    name = source if isinstance(source, (str, os.PathLike)) else "the file"
    if about.get("estimator") != kind.__name__ or about.get("format") != FORMAT:
        found = f"{about.get('estimator')!r}, format {about.get('format')!r}"
        raise ValueError(f"{name} holds {found}: this reads {kind.__name__!r}, format {FORMAT}.")
    try:
        model = kind(**about["arguments"])
        model.preparation = Preparation.from_saved(_under(PREPARATION, arrays), about["preparation"])
        model.columns_, model.rate_, model.n_steps_ = list(about["columns"]), about["rate"], about["steps"]
        history = about["history"].items()
        model.history = {key: [np.nan if value is None else value for value in values] for key, values in history}
        model.findings = from_about(about["findings"])
        model.restore(about["more"])
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"{name} does not fit this version of {kind.__name__}: {type(e).__name__}: {e}.") from e
    model.params = _params(model.network, _under(PARAMS, arrays), str(name))
    return model


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def _params(cell: Cell, arrays: Mapping[str, np.ndarray], name: str) -> Params:
    like = jax.eval_shape(cell.init, jax.random.key(0))
    wanted = {key: (leaf.shape, leaf.dtype) for key, leaf in named(like)}
    if {key: (array.shape, array.dtype) for key, array in arrays.items()} != wanted:
        raise ValueError(f"{name} holds params of other shapes than those of {cell.name!r} with its arguments.")
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(arrays[key]) for key in wanted])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
