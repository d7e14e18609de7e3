"""Makes torch.npz: what torch.nn.LSTM and torch.nn.RNN give for fixed weights and inputs, with gradients.

python tests/references/make_torch.py        needs torch (the extra "oracles")
"""

from pathlib import Path

import numpy as np
import torch


def reference(kind: str) -> dict[str, np.ndarray]:
    """Weights as torch keeps them, inputs, outputs, and gradients of sum(weight * ys) with respect to all of it."""
    torch.manual_seed(0)
    net = (torch.nn.LSTM if kind == "lstm" else torch.nn.RNN)(3, 5, batch_first=True).double()
    xs = torch.randn(4, 30, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 30, 5, dtype=torch.float64)
    state = [torch.randn(1, 4, 5, dtype=torch.float64) for _ in range(2 if kind == "lstm" else 1)]
    ys, end = net(xs, tuple(state) if kind == "lstm" else state[0])
    (weight * ys).sum().backward()
    arrays = {"xs": xs, "ys": ys, "weight": weight, "d_xs": xs.grad}
    arrays |= {f"start{i}": s[0] for i, s in enumerate(state)}
    arrays |= {f"end{i}": e[0] for i, e in enumerate(end if kind == "lstm" else [end])}
    for name, parameter in net.named_parameters():
        arrays[name], arrays[f"d_{name}"] = parameter, parameter.grad
    return {f"{kind}.{name}": a.detach().numpy() for name, a in arrays.items()}


if __name__ == "__main__":
    path = Path(__file__).with_name("torch.npz")
    np.savez_compressed(path, **reference("lstm"), **reference("rnn"))
    print(f"{path.name}: {path.stat().st_size} bytes, torch {torch.__version__}")
