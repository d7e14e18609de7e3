"""Makes torch.npz: what torch's recurrent layers and orthogonal maps give for fixed numbers, with gradients.

python tests/references/make_torch.py        needs torch (the extra "oracles")
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import parametrizations

LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
MAPS = ("cayley", "matrix_exp")


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def named(kind: str, arrays: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {f"{kind}.{name}": a.detach().numpy() for name, a in arrays.items()}


def reference(kind: str) -> dict[str, np.ndarray]:
    """Weights as torch keeps them, inputs, outputs, and gradients of sum(weight * ys) with respect to all of it."""
    if kind in MAPS:
        return orthogonal(kind)
    if kind == "cross_entropy":
        return cross_entropy(kind)
    torch.manual_seed(0)
    layer, deep = kind.removesuffix("-deep"), kind.endswith("-deep")
    batch, steps, hidden = (2, 9, 4) if deep else (4, 30, 5)
    stack = {"num_layers": 2, "bidirectional": True} if deep else {}
    net = LAYERS[layer](3, hidden, batch_first=True, **stack).double()
    xs = numbers(batch, steps, 3).requires_grad_()
    weight = numbers(batch, steps, hidden * (2 if deep else 1))
    state = [numbers(4 if deep else 1, batch, hidden) for _ in range(2 if layer == "lstm" else 1)]
    ys, end = net(xs, tuple(state) if layer == "lstm" else state[0])
    (weight * ys).sum().backward()
    arrays = {"xs": xs, "ys": ys, "weight": weight, "d_xs": xs.grad}
    arrays |= {f"start{i}": s.squeeze(0) for i, s in enumerate(state)}
    arrays |= {f"end{i}": e.squeeze(0) for i, e in enumerate(end if layer == "lstm" else [end])}
    for name, parameter in net.named_parameters():
        arrays[name], arrays[f"d_{name}"] = parameter, parameter.grad
    return named(kind, arrays)


def orthogonal(map: str, n: int = 6) -> dict[str, np.ndarray]:
    """Q = base @ map(A), A = tril(X) - tril(X)^T, and the gradient of sum(weight * Q) with respect to X."""
    torch.manual_seed(0)
    layer = parametrizations.orthogonal(torch.nn.Linear(n, n, bias=False).double(), orthogonal_map=map)
    (space,) = layer.parametrizations.weight
    X, weight = layer.parametrizations.weight.original, numbers(n, n)
    with torch.no_grad():
        X.copy_(numbers(n, n))
    Q = layer.weight
    (weight * Q).sum().backward()
    return named(map, {"X": X, "base": space.base, "Q": Q, "weight": weight, "d_X": X.grad})


def cross_entropy(kind: str) -> dict[str, np.ndarray]:
    """Elementwise, with weights of classes and with label smoothing; its weighted mean; the gradient of the sum."""
    torch.manual_seed(0)
    logits, labels = numbers(40, 5).requires_grad_(), torch.arange(40) % 5
    weight, smoothing = torch.tensor([0.2, 1.0, 3.0, 0.0, 1.5], dtype=torch.float64), 0.1
    options = {"weight": weight, "label_smoothing": smoothing}
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none", **options)
    loss.sum().backward()
    mean = torch.nn.functional.cross_entropy(logits, labels, weight=weight)
    arrays = {"logits": logits, "labels": labels, "weight": weight, "loss": loss, "d_logits": logits.grad}
    return named(kind, arrays | {"mean": mean})


if __name__ == "__main__":
    path = Path(__file__).with_name("torch.npz")
    arrays = {}
    for kind in ("lstm", "rnn", "gru", "lstm-deep", "gru-deep", *MAPS, "cross_entropy"):
        arrays |= reference(kind)
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size} bytes, torch {torch.__version__}")
