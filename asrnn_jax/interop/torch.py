"""The weights of PyTorch's recurrent layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import cells
from asrnn_jax.cell import Cell, Params, as_weights
from asrnn_jax.interop.ours import cell_of

KINDS = {1: "rnn", 3: "gru", 4: "lstm"}  # rows of weight_hh for each of its columns
TORCH_KINDS = ("tanh_rnn", "irnn", "lstm", "gru")
TORCH_NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?")


def from_torch(
    state_dict: Mapping[str, Any], kind: str | None = None, *, nonlinearity: str = "tanh"
) -> tuple[Cell, Params]:
    """The cell and params that compute what a torch.nn.RNN, LSTM or GRU with this ``state_dict()`` computes.

    Args:
      state_dict: names to arrays or torch tensors, of any number of layers, one or both directions, with or without
        biases. Dropout between layers is not part of it.
      kind: "rnn", "lstm" or "gru"; by default what the shapes say.
      nonlinearity: of a torch.nn.RNN: "tanh" or "relu". Its weights do not tell.

    Returns:
      ``(cell, params)`` for `asrnn_jax.run`. Both directions of a layer become `asrnn_jax.cells.bidirectional`, several
      layers `asrnn_jax.cells.stack`. torch's two biases become one, their sum.

    Raises:
      ValueError: names or shapes of another kind of layer, an incomplete ``state_dict``, ``proj_size``.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity={nonlinearity!r}: choose tanh or relu.")
    parts = _parts(state_dict)
    layers = 1 + max(layer for layer, _ in parts)
    directions = 1 + any(reverse for _, reverse in parts)
    missing = [(k, d) for k in range(layers) for d in range(directions) if (k, bool(d)) not in parts]
    if missing:
        raise ValueError(
            f"state_dict has {layers} layers and {directions} directions, but layer {missing[0][0]}, direction "
            f"{missing[0][1]} is not in it: pass the whole state_dict of the layer."
        )
    made = {where: _layer(part, kind, nonlinearity, _suffix(*where)) for where, part in parts.items()}
    each = [_both_directions([made[k, bool(d)] for d in range(directions)]) for k in range(layers)]
    if layers == 1:
        return each[0]
    return cells.stack(tuple(cell for cell, _ in each)), {f"layers_{k}": params for k, (_, params) in enumerate(each)}


def to_torch(cell: Cell, params: Params) -> dict[str, np.ndarray]:
    """The inverse of `from_torch`: a ``state_dict`` of numpy arrays for the torch layer that computes the same.

    Load it with ``rnn.load_state_dict({name: torch.as_tensor(a) for name, a in to_torch(cell, params).items()})``.
    ``bias_ih`` holds the bias and ``bias_hh`` zeros (for a GRU also ``b_hn``), so `from_torch` gives back the same
    params, bit for bit.

    Args:
      cell: tanh_rnn, irnn (a torch.nn.RNN with ``nonlinearity="relu"``), lstm or gru; also `bidirectional` pairs and
        `stack` of these.
      params: of the cell.

    Raises:
      ValueError: a cell that torch does not have, layers of different sizes, params of another cell.
    """
    jax.eval_shape(lambda p: as_weights(cell, p), params)  # raises for params of another cell
    layers = [params[f"layers_{k}"] for k in range(len(cell.parts))] if "layers_0" in params else [params]
    stacked = cell.parts if "layers_0" in params else (cell,)
    kinds = {tuple(p.name for p in layer.parts) if layer.both_directions else (layer.name,) for layer in stacked}
    if len(kinds) > 1 or len(set(kind := kinds.pop())) > 1 or kind[0] not in TORCH_KINDS:
        raise ValueError(
            f"cell={cell.name!r}: torch has tanh_rnn, irnn, lstm and gru, each alone, bidirectional, or stacked with "
            "others of its kind."
        )
    state_dict = {}
    for k, layer in enumerate(layers):
        directions = [layer["forward"], layer["backward"]] if "forward" in layer else [layer]
        for d, part in enumerate(directions):
            state_dict |= {name + _suffix(k, bool(d)): array for name, array in _to_torch(part).items()}
    sizes = {a.shape[1] for name, a in state_dict.items() if name.startswith("weight_hh")}
    if len(sizes) > 1:
        raise ValueError(f"cell={cell.name!r} has layers of {sorted(sizes)} hidden units: in torch all have as many.")
    return state_dict


def _parts(state_dict: Mapping[str, Any]) -> dict[tuple[int, bool], dict[str, np.ndarray]]:
    """``{(layer, reverse): {"weight_ih": array, ...}}``"""
    parts: dict[tuple[int, bool], dict[str, np.ndarray]] = {}
    for name, value in state_dict.items():
        match = TORCH_NAME.fullmatch(name)
        if match is None:
            raise ValueError(
                f"state_dict has {name!r}, which no torch.nn.RNN, LSTM or GRU has: pass the state_dict() of that layer "
                "alone, not of the model around it."
            )
        if match[1] == "weight_hr":
            raise ValueError(f"state_dict has {name!r}: an LSTM with proj_size has no counterpart; train one without.")
        array = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
        parts.setdefault((int(match[2]), match[3] is not None), {})[match[1]] = array
    if not parts:
        raise ValueError("state_dict is empty: pass the state_dict() of a torch.nn.RNN, LSTM or GRU.")
    return parts


def _suffix(layer: int, reverse: bool) -> str:
    return f"_l{layer}{'_reverse' if reverse else ''}"


def _layer(part: dict[str, np.ndarray], kind: str | None, nonlinearity: str, suffix: str) -> tuple[Cell, Params]:
    """One layer in one direction."""
    if not {"weight_ih", "weight_hh"} <= part.keys():
        raise ValueError(f"state_dict has {sorted(part)} at {suffix!r}: both weight_ih and weight_hh are needed.")
    W_ih, W_hh = part["weight_ih"], part["weight_hh"]
    found = f"weight_ih{suffix} has shape {W_ih.shape} and weight_hh{suffix} {W_hh.shape}"
    rows, hidden = W_hh.shape if W_hh.ndim == 2 else (0, 1)
    inferred = KINDS.get(rows // hidden) if rows % hidden == 0 else None
    if inferred is None or W_ih.ndim != 2 or len(W_ih) != rows:
        raise ValueError(f"{found}: expected (k H, I) and (k H, H) with k = 4 (LSTM), 3 (GRU) or 1 (RNN).")
    if kind not in (None, inferred):
        raise ValueError(f"kind={kind!r}, but {found}, which is {inferred!r}: leave kind out, or pass its weights.")
    if nonlinearity != "tanh" and inferred != "rnn":
        raise ValueError(f"nonlinearity={nonlinearity!r}, but {found}, which is {inferred!r}: only RNN has a choice.")
    zeros = np.zeros(rows, W_ih.dtype)
    b_ih, b_hh = part.get("bias_ih", zeros), part.get("bias_hh", zeros)
    if not b_ih.shape == b_hh.shape == (rows,):
        raise ValueError(
            f"bias_ih{suffix}, bias_hh{suffix} have shapes {b_ih.shape}, {b_hh.shape}: expected ({rows},)."
        )
    both = np.where(b_hh == 0, b_ih, b_ih + b_hh)  # adding 0 would lose the sign of -0
    params = {"W_xh": W_ih.T, "W_hh": W_hh.T, "b": both}
    if inferred == "gru":  # the reset gate multiplies the hidden part of n, its bias included
        params["b"] = np.concatenate([both[: 2 * hidden], b_ih[2 * hidden :]])
        params["b_hn"] = b_hh[2 * hidden :]
    name = {"rnn": "tanh_rnn" if nonlinearity == "tanh" else "irnn"}.get(inferred, inferred)
    params = {key: jnp.asarray(value) for key, value in params.items()}
    return cell_of(name, params), params


def _both_directions(made: list[tuple[Cell, Params]]) -> tuple[Cell, Params]:
    if len(made) == 1:
        return made[0]
    (forward, forward_params), (backward, backward_params) = made
    return cells.bidirectional(forward, backward), {"forward": forward_params, "backward": backward_params}


def _to_torch(params: Params) -> dict[str, np.ndarray]:
    """One layer in one direction, names without suffix."""
    W_xh, W_hh, b = (np.array(params[name]) for name in ("W_xh", "W_hh", "b"))
    b_hh = np.zeros_like(b)
    if "b_hn" in params:
        b_hh[2 * len(W_hh) :] = params["b_hn"]
    return {"weight_ih": W_xh.T, "weight_hh": W_hh.T, "bias_ih": b, "bias_hh": b_hh}
