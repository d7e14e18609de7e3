"""Does a streaming model need its resets? An audit of any model: a cell, a Python function, an ONNX file.

A keyword spotter that is right on recordings may be lost after a minute of silence, and then people reset its state
every few seconds, by guesswork. An audit measures what resets do, on your streams:

    >>> import numpy as np
    >>> from asrnn_jax import audit
    >>> rng = np.random.default_rng(0)
    >>> classes = rng.integers(1, 4, size=80)
    >>> samples = np.eye(4, dtype="float32")[classes][:, None, 1:].repeat(6, axis=1)  # (80, 6, 3)
    >>> streams = audit.join(samples, classes, streams=8, gaps=(2, 60))  # with silence between samples

    >>> def sticky(state, x):  # after 40 quiet steps in a row it says nothing any more
    ...     h, quiet = state
    ...     stuck = quiet >= 40
    ...     quiet = np.where(stuck, quiet, np.where(np.abs(x).max(-1) > 0.3, 0, quiet + 1))
    ...     h = np.where(stuck[..., None], 0, 0.5 * h + x)
    ...     return (h, quiet), np.concatenate([0 * h[..., :1] + 0.1, h], axis=-1)

    >>> found = audit.resets(sticky, (np.zeros(3), np.zeros(())), streams, steps=800)
    >>> found.verdict.need, [(gap.kind, gap.collapses) for gap in found.gaps]
    (<Need.HELPS: 'resets help'>, [('silence', 40), ('noise', 40), ('samples', None)])

``print(found.verdict)`` says it in words with numbers, ``found.table()`` has all numbers, and ``plot.audit(found)``
draws them. ``found.verdict.rests_on`` lists the measurements behind the words.

## What is measured

- **Policies**: never, oracle (where samples begin), every k steps for a ladder of k, and the other policies of
  `asrnn_jax.streaming`, as far as the model gives what they look at. The score of each over the whole streams, along
  them, and by the time since the last reset; intervals by bootstrap over streams, and its gain over never.
- **Samples after a past**: silence, noise or other samples of 10 to 1,000 steps, then a sample, compared with the same
  sample from a fresh state. Where it gets worse, the shortest such past is searched for.
- **The state**, never reset: its norm, and units outside of the range that they had at first, units that no longer
  move, saturated ones.
- **Effective remembrance** (arXiv 2507.02782): how far apart outputs are after another past, and the step from which a
  carried and a fresh state agree.

## What a verdict says

"resets help", "needs none", "resets do harm" or "too little data to say", see `Need`. Resets help if a policy is better
than never by `Settings.margin` or more, and by more than chance, all policies of the audit considered together; or if
samples after a past are worse. The model needs no resets if the interval of the oracle's gain stays below the
margin. Resets do harm if even the oracle's make the score worse. An interval of few streams is wide: give 10 or more.

## Models

- A Cell: ``audit.resets(cell, params, streams, labels)``.
- A function ``(state, x) -> (state, y)`` of NumPy, JAX or torch: see `function`.
- An ONNX file with explicit states: its path, or `onnx` where names have to be told. Needs the extra ``[onnx]``.

A network of torch is such a function. Here the start says that it takes B streams at once; call ``eval()`` of modules
with dropout or batch normalisation first. No gradients are kept:

    gru, head = torch.nn.GRU(3, 64), torch.nn.Linear(64, 4)  # with their trained weights

    def step(h, x):  # tensors h (1, B, 64), x (B, 3)
        ys, h = gru(x[None], h)
        return h, head(ys[0])

    found = audit.resets(step, lambda B: torch.zeros(1, B, 64), streams, labels)

A million steps take bounded memory: streams of `join` are made as they are needed, scores are added up.

    python -m asrnn_jax audit detector.onnx --data recordings --chunk 256 --constants sr=8000 --context 32
    python -m asrnn_jax audit keyword-gru --data recordings
    python -m asrnn_jax audit saved.safetensors --data table.csv --label state --stream machine

print table and verdict, and write them with the figure to a run folder. WAV files are joined with gaps (``--gaps``
seconds, ``--kinds``); a detector has to find them, a trained network to name them by the file's name or folder.
"""

from asrnn_jax.audit.audited import Settings, resets
from asrnn_jax.audit.callables import function
from asrnn_jax.audit.collapse import AfterGap
from asrnn_jax.audit.measures import Measure
from asrnn_jax.audit.models import Model
from asrnn_jax.audit.onnx_files import onnx
from asrnn_jax.audit.results import Found
from asrnn_jax.audit.sources import join
from asrnn_jax.audit.states import Remembrance, StateReport
from asrnn_jax.audit.verdict import Need, Row, Verdict
from asrnn_jax.audit.walk import Chunk

__all__ = ["Chunk", "Measure", "Model", "Settings", "function", "join", "onnx", "resets"]
__all__ += ["AfterGap", "Found", "Need", "Remembrance", "Row", "StateReport", "Verdict"]
