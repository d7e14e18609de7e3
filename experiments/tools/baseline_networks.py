"""The networks that benchmarks compare ours with: the equation in a plain scan, Flax and torch.

Only jax, NumPy and asrnn_jax are imported at the start; the others where they are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from asrnn_jax.cell import Cell
from asrnn_jax.orthogonal import cayley, skew

Outputs = Literal["last", "all"]
"""What is asked of a network: ``(B, H)`` of the last step, or ``(B, T, H)`` of every step."""
CLASSES = 10
FLAX = {"tanh_rnn": "SimpleCell", "gru": "GRUCell", "lstm": "OptimizedLSTMCell", "mgu": "MGUCell"}
TORCH = {"tanh_rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def naive(cell: Cell, params: Any, xs: jax.Array, unroll: int = 1, outputs: Outputs = "last") -> jax.Array:
    """Outputs by the cell's own functions in one `lax.scan`.

    Inputs are projected inside the loop, and JAX differentiates it as it is.
    """
    weights = cell.prepare(params)

    def body(carry, x) -> tuple[Any, Any]:
        carry = cell.step(weights, carry, cell.project(weights, x))
        return carry, cell.readout(weights, carry, x) if outputs == "all" else None

    start = cell.initial_carry((xs.shape[0],), xs.dtype)
    end, ys = lax.scan(body, start, jnp.swapaxes(xs, 0, 1), unroll=unroll)
    return jnp.swapaxes(ys, 0, 1) if outputs == "all" else cell.readout(weights, end, xs[:, -1])


def naive_asrnn(params: dict[str, Any], xs: jax.Array, unroll: int = 1, outputs: Outputs = "last") -> jax.Array:
    """States of asRNN by three H x H products a step, as the equation is written; ours needs one."""
    n = params["b"].size
    W_hh, U_f = cayley(skew(params["W_hh"]["skew"], n)), cayley(skew(params["U_f"]["skew"], n))
    D_f = jnp.abs(params["D_f"]) + 0.01
    W_f, W_f_inv = U_f * D_f[None], U_f.T / D_f[:, None]

    def body(h, x) -> tuple[jax.Array, Any]:
        z = x @ params["W_xh"] + h @ W_hh.T + params["b"][None]
        h = jnp.tanh(z @ W_f.T) @ W_f_inv.T
        return h, h if outputs == "all" else None

    end, hs = lax.scan(body, jnp.zeros((xs.shape[0], n), xs.dtype), jnp.swapaxes(xs, 0, 1), unroll=unroll)
    return jnp.swapaxes(hs, 0, 1) if outputs == "all" else end


def in_linen(
    name: str, hidden: int, xs: jax.Array, outputs: Outputs = "last"
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """``(apply, variables)`` of a flax.linen RNN: ``apply(variables, xs)`` are its outputs."""
    nn = importlib.import_module("flax.linen")
    module = nn.RNN(getattr(nn, FLAX[name])(hidden))

    def apply(variables, xs):
        ys = module.apply(variables, xs)
        return ys if outputs == "all" else ys[:, -1]

    return apply, module.init(jax.random.key(0), xs)


def in_torch(
    name: str,
    hidden: int,
    xs: np.ndarray,
    labels: np.ndarray,
    *,
    rate: float,
    decay: float,
    clip: float | None = None,
    device: str = "cpu",
    outputs: Outputs = "last",
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A training step and inference of a torch RNN, as calls that end when the result is there.

    A step is the cross-entropy of a linear layer on the outputs, its gradient and RMSprop.

    Args:
      name: of the cell in `TORCH`.
      hidden: H.
      xs: ``(T, B, I)``, the layout of torch's own.
      labels: ``(B,)``, below `CLASSES`; the same at every step.
      rate: of RMSprop.
      decay: of RMSprop.
      clip: largest norm of the gradient; None: no clipping.
      device: "cpu" or "cuda".
      outputs: of every step, or of the last.
    """
    torch: Any = importlib.import_module("torch")
    torch.set_flush_denormal(True)  # as XLA does: gradients that vanish made a step of LSTM ten times slower
    torch.manual_seed(0)
    rnn = getattr(torch.nn, TORCH[name])(xs.shape[-1], hidden).to(device)
    head = torch.nn.Linear(hidden, CLASSES).to(device)
    parameters = [*rnn.parameters(), *head.parameters()]
    optimizer = torch.optim.RMSprop(parameters, rate, decay, 1e-8)
    inputs = torch.tensor(np.asarray(xs), device=device)
    targets = torch.tensor(np.asarray(labels), device=device).long()
    targets = targets.repeat(len(inputs)) if outputs == "all" else targets

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    def logits():
        ys = rnn(inputs)[0]
        return head(ys.flatten(0, 1) if outputs == "all" else ys[-1])

    def train():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits(), targets).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        wait()

    def infer():
        with torch.no_grad():
            logits()
        wait()

    return train, infer
