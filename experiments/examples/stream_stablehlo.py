"""A network on a stream with nothing but JAX: python stream_stablehlo.py NETWORK INPUTS.npy OUTPUTS.npy"""

import sys

import jax
import numpy as np
from jax import export

with open(sys.argv[1], "rb") as file:
    network = export.deserialize(bytearray(file.read()))
advance = jax.jit(network.call)
*states, _, _ = network.in_avals
state = tuple(np.zeros((1, *aval.shape[1:]), aval.dtype) for aval in states)
outputs = []
for i, sample in enumerate(np.load(sys.argv[2])):  # one stream, (T, I)
    state, y = advance(state, sample[None], np.array([i == 0]))  # it starts afresh at the first sample
    outputs.append(np.asarray(y[0]))
np.save(sys.argv[3], np.stack(outputs))
