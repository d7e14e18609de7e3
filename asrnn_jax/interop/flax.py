"""The weights of flax's own cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, Params
from asrnn_jax.interop.ours import cell_of

# flax's cells: ours, the letters flax gives to the gates, in our order, and the side that has the bias.
FLAX = {
    "LSTMCell": ("lstm", "ifgo", "h"),
    "OptimizedLSTMCell": ("lstm", "ifgo", "h"),
    "GRUCell": ("gru", "rzn", "i"),
    "MGUCell": ("mgu", "fn", "i"),
    "SimpleCell": ("tanh_rnn", ("",), "i"),
}


def from_flax(name: str, params: Mapping[str, Any]) -> tuple[Cell, Params]:
    """The cell and params that compute what a cell of flax computes with these params.

    Args:
      name: of the class: "LSTMCell", "OptimizedLSTMCell", "GRUCell", "MGUCell" or "SimpleCell", with the activations it
        has by default, not residual.
      params: ``variables["params"]`` of a flax.linen cell (inside a flax.linen.RNN: its entry of the cell's name), or
        ``nnx.state(cell, nnx.Param)`` of a flax.nnx cell, also as pure dict.

    Raises:
      ValueError: an unknown name, params of another cell.
    """
    kind, gates, bias_side = _flax_cell(name)
    fused = "dense_i" in params  # nnx has one kernel for all gates

    def read(side: str, leaf: str) -> jax.Array:
        layers = [f"dense_{side}"] if fused else [side + gate for gate in gates]
        return jnp.concatenate([_entry(name, params, layer, leaf) for layer in layers], axis=-1)

    ours = {"W_xh": read("i", "kernel"), "W_hh": read("h", "kernel"), "b": read(bias_side, "bias")}
    if kind in ("gru", "mgu"):  # nnx leaves out the only bias inside the reset gate
        ours["b_hn"] = jnp.zeros_like(ours["W_hh"][:, 0]) if fused else _entry(name, params, "hn", "bias")
    return cell_of(kind, ours), ours


def to_flax(name: str, params: Params, *, api: str = "linen") -> dict[str, Any]:
    """The inverse of `from_flax`: params of flax's cell `name`, a nested dict of arrays.

    Args:
      name: see `from_flax`.
      params: of our lstm, gru, mgu or tanh_rnn.
      api: "linen" gives ``variables["params"]``; "nnx" a pure dict for ``nnx.replace_by_pure_dict``.

    Raises:
      ValueError: an unknown name or api, params of another cell; a GRU for nnx whose ``b_hn`` is not 0, which flax.nnx
        does not have.
    """
    kind, gates, bias_side = _flax_cell(name)
    if api not in ("linen", "nnx") or (api == "nnx" and name == "MGUCell"):
        raise ValueError(f"api={api!r} for {name}: choose 'linen'{'' if name == 'MGUCell' else ' or nnx'}.")
    _check_ours(kind, params, name)
    if api == "nnx" and name != "LSTMCell":
        if kind == "gru" and np.any(np.asarray(params["b_hn"])):
            raise ValueError("params['b_hn'] is not 0, but flax.nnx.GRUCell has no such bias: use api='linen'.")
        fused = {"dense_i": {"kernel": params["W_xh"]}, "dense_h": {"kernel": params["W_hh"]}}
        fused[f"dense_{bias_side}"]["bias"] = params["b"]
        return fused
    tree: dict[str, Any] = {}
    for side, kernel in (("i", "W_xh"), ("h", "W_hh")):
        for gate, columns in zip(gates, jnp.split(params[kernel], len(gates), axis=1)):
            tree[side + gate] = {"kernel": columns}
    for gate, bias in zip(gates, jnp.split(params["b"], len(gates))):
        tree[bias_side + gate]["bias"] = bias
    if kind in ("gru", "mgu"):
        tree["hn"]["bias"] = params["b_hn"]
    if api == "nnx":
        tree["if_"] = tree.pop("if")
    return tree


def _flax_cell(name: str) -> tuple[str, Any, str]:
    if name not in FLAX:
        raise ValueError(f"name={name!r}: the cells of flax that have a counterpart are {', '.join(FLAX)}.")
    return FLAX[name]


def _entry(cell: str, params: Mapping[str, Any], layer: str, leaf: str) -> jax.Array:
    layer = f"{layer}_" if f"{layer}_" in params else layer  # nnx: "if" is a word of Python
    if layer not in params or leaf not in params[layer]:
        raise ValueError(
            f"params with entries {sorted(params)} have no ['{layer}']['{leaf}'], which a {cell} with default options "
            "has: pass the params of the cell itself, not of a module around it."
        )
    return jnp.asarray(params[layer][leaf])


def _check_ours(kind: str, params: Params, name: str) -> None:
    cell = cell_of(kind, params) if {"W_xh", "W_hh"} <= params.keys() else None
    expected = cell and jax.tree.map(jnp.shape, dict(jax.eval_shape(cell.init, jax.random.key(0))))
    if expected is None or expected != jax.tree.map(jnp.shape, dict(params)):
        raise ValueError(f"params have shapes {jax.tree.map(jnp.shape, dict(params))}: {name} needs those of {kind}.")
