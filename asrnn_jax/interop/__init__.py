"""Weights to and from other libraries: PyTorch's recurrent layers and flax's own cells.

`from_torch` and `to_torch` convert ``torch.nn.LSTM``, ``GRU`` and ``RNN``, with any number of layers and both
directions. `from_flax` and `to_flax` convert flax's own cells. Nothing of PyTorch is imported: a ``state_dict`` is a
mapping of names to arrays or tensors.

    >>> import numpy as np, jax.numpy as jnp, asrnn_jax.interop
    >>> state_dict = {  # or torch.nn.GRU(3, 5, batch_first=True).state_dict()
    ...     "weight_ih_l0": np.zeros((15, 3)), "weight_hh_l0": np.zeros((15, 5)),
    ...     "bias_ih_l0": np.zeros(15), "bias_hh_l0": np.zeros(15),
    ... }
    >>> cell, params = asrnn_jax.interop.from_torch(state_dict)
    >>> carry, ys = asrnn_jax.run(cell, params, jnp.ones((4, 20, 3)))
    >>> cell.name, ys.shape
    ('gru', (4, 20, 5))
"""

from asrnn_jax.interop.flax import from_flax, to_flax
from asrnn_jax.interop.torch import from_torch, to_torch

__all__ = ["from_flax", "from_torch", "to_flax", "to_torch"]
