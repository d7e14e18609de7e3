"""A network on a stream with nothing but onnxruntime: python stream_onnx.py NETWORK INPUTS.npy OUTPUTS.npy"""

import sys

import numpy as np
import onnxruntime

network = onnxruntime.InferenceSession(sys.argv[1])
*states, _, _ = network.get_inputs()
state = [np.zeros((1, *given.shape[1:]), np.float32) for given in states]
outputs = []
for i, sample in enumerate(np.load(sys.argv[2])):  # one stream, (T, I)
    given = {f"state_{k}": array for k, array in enumerate(state)}
    given |= {"x": sample[None], "reset": np.array([i == 0])}  # it starts afresh at the first sample
    *state, y = map(np.asarray, network.run(None, given))
    outputs.append(y[0])
np.save(sys.argv[3], np.stack(outputs))
