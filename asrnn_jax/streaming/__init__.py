"""Recurrent networks on streams that never end: streams to train on, reset policies, the session, its monitors.

A network trained on separate samples loses accuracy on a stream, unless it is reset wherever a sample begins, and on a
real stream nobody knows where that is. Trained on streams, with its state carried on, it needs no reset. The objective
`asrnn_jax.losses.reset_free` also makes it say "don't know" in gaps. Measurements: ``experiments/results/never_reset``.

## Train

Join your samples with random gaps, and carry the state from window to window:

    >>> import jax, numpy as np, asrnn_jax
    >>> from asrnn_jax import cells, losses, streaming
    >>> rng = np.random.default_rng(0)
    >>> samples, classes = rng.normal(size=(50, 20, 3)), rng.integers(5, size=50)
    >>> stream = streaming.Stream(samples, classes, gaps=streaming.Gaps(10, 60), seed=0)
    >>> window = stream.window(start=0, steps=60)
    >>> model = cells.with_output(cells.gru(3, 8), 5)
    >>> params = model.init(jax.random.key(0))
    >>> carry, logits = asrnn_jax.run(model, params, window.xs)  # the next window starts from this carry
    >>> loss = losses.reset_free(logits, window.labels, window.informative).mean()

- Gaps have kinds: silence, several noises, pieces of other samples. See `Gaps`. Train with those that you expect.
- `asrnn_jax.losses.entropy_target` sets the weight of the loss by itself: it holds the entropy in gaps at a target.
- Where nobody labelled the gaps, a score decides what is informative: `asrnn_jax.losses` has several.
- A network that was trained on separate samples is repaired by a few hundred more steps from states that a running
  network visits. `asrnn_jax.streaming.starts` has them, for any loop: passed on, another stream's, noise, mixtures.
- Check accuracy twice: with resets and without. ``python -m experiments never-reset`` does, for six policies.

## Run

A session takes chunks of any length, in bounded memory, and gives what one call of `asrnn_jax.run` would give:

    >>> session = streaming.Session(model, params, policy=streaming.never())
    >>> session.push(window.xs[:30]).shape, session.push(window.xs[30:31]).shape
    ((30, 5), (1, 5))

``session.save(path)`` and ``session.load(path)`` stop and continue it, with the same bits.

## Watch, and fall back

With statistics of training streams, a session watches the norm of the state, saturation, entropy in gaps and drift of
the input, and reports to ``session.events``. A fallback resets a stream while one of its monitors is tripped:

    >>> reference = streaming.reference(model, params, window.xs, window.informative)
    >>> session = streaming.Session(model, params, reference=reference, fallback=streaming.periodic(500))
    >>> len(session.events)
    0

## Score

`asrnn_jax.streaming.scores` has what an operator pays for, from arrays or tables of steps: events found, delay, false
alarms per hour, segment F1, precision and recall by class, calibration, the stream's tenths, costs; with intervals:

    >>> from asrnn_jax.streaming import scores
    >>> said = scores.answers(np.asarray(logits))  # a class a step, or -1 for "nothing"
    >>> found = scores.event_scores(window.labels, said, step_seconds=0.1)
    >>> 0 <= found.found <= 1
    True
    >>> labels, answers = [window.labels[:30], window.labels[30:]], [said[:30], said[30:]]  # as if of two streams
    >>> right = scores.bootstrap(lambda y, a: scores.segment_f1(y, a).f1, (labels, answers), number=20)

## When to reset: policies

A policy is a pair of pure functions, as optax has optimisers: `never`, `oracle` (at the true beginnings), `periodic`,
`on_energy`, `on_entropy`, `on_saturation`. The session asks it before each step.
"""

from asrnn_jax.streaming import scores, starts
from asrnn_jax.streaming.gaps import BACKGROUND, DISTRACTOR, NOISES, Gaps
from asrnn_jax.streaming.monitors import Event, Limits, Readings, Reference, reference
from asrnn_jax.streaming.policies import Policy, Signals, never, on_energy, on_entropy, on_saturation, oracle, periodic
from asrnn_jax.streaming.session import Session
from asrnn_jax.streaming.starts import Starts
from asrnn_jax.streaming.streams import Stream, Window, windows

__all__ = ["BACKGROUND", "DISTRACTOR", "NOISES", "Gaps", "Stream", "Window", "windows"]
__all__ += ["Event", "Limits", "Readings", "Reference", "Session", "reference"]
__all__ += ["Policy", "Signals", "never", "on_energy", "on_entropy", "on_saturation", "oracle", "periodic"]
__all__ += ["Starts", "scores", "starts"]
