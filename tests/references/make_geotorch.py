"""Makes geotorch.npz: rotations of geotorch, SO(n) by the exponential and by the Cayley map, with gradients.

/path/to/python tests/references/make_geotorch.py        needs torch and geotorch

geotorch keeps a full matrix X and uses its strict lower triangle: A = tril(X, -1) - tril(X, -1)^T. Its value is
base @ triv(A) with triv either exp(A) or (I - A/2)^-1 (I + A/2). The cayley of asrnn_jax is (I + A)^-1 (I - A), so
theirs of A is ours of -A/2; the exponentials are the same.
"""

from pathlib import Path

import geotorch
import numpy as np
import torch


def reference(triv: str, n: int = 6) -> dict[str, np.ndarray]:
    """X, the base, Q, and the gradient of sum(weight * Q) with respect to X."""
    torch.manual_seed(1)
    layer = torch.nn.Linear(n, n, bias=False).double()
    geotorch.orthogonal(layer, "weight", triv=triv)
    (space,) = layer.parametrizations.weight
    X, weight = layer.parametrizations.weight.original, torch.randn(n, n, dtype=torch.float64)
    with torch.no_grad():
        X.copy_(torch.randn(n, n, dtype=torch.float64))
    Q = layer.weight
    (weight * Q).sum().backward()
    arrays = {"X": X, "base": space.base, "Q": Q, "weight": weight, "d_X": X.grad}
    return {f"{triv}.{name}": a.detach().numpy() for name, a in arrays.items()}


if __name__ == "__main__":
    path = Path(__file__).with_name("geotorch.npz")
    np.savez_compressed(path, **reference("expm"), **reference("cayley"))
    print(f"{path.name}: {path.stat().st_size} bytes, geotorch {geotorch.__version__}, torch {torch.__version__}")
