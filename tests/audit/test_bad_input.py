"""What cannot be audited is refused in one line that says where, since when and what helps."""

import numpy as np
import pytest

from asrnn_jax import audit, cells
from asrnn_jax.audit import Settings
from asrnn_jax.streaming import Stream, periodic
from experiments.tools import audit_toys as toys

XS, Y = np.ones((3, 40, 2), "float32"), np.zeros((3, 40), int)
GOOD = (lambda h, x: (0.5 * h + x, h + x), np.zeros(2))


def holed(b, t):
    xs = XS.copy()
    xs[b, t] = np.nan
    return xs


def breaks(at, how):
    def step(state, x):
        h, count = state
        return how((0.5 * h + x, count + 1), at), h + x + np.where(count[..., None] >= at, np.nan, 0)

    return step, (np.zeros(2), np.zeros(()))


def grows(h, x):
    return np.concatenate([h, h], axis=-1), x


CASES = {
    "no state": (lambda: (lambda s, x: (s, x), ()), (XS, Y), "holds no array: a model without a state"),
    "no start": (lambda: (cells.gru(2, 3), None), (XS, Y), "start=None: give the params"),
    "no model": (lambda: (3, None), (XS, Y), "model is int: give a Cell"),
    "shape": (lambda: (grows, np.zeros(2)), (XS, Y), "state of another shape: it had (2,), has (4,)"),
    "structure": (lambda: (lambda h, x: ((h, h), x), np.zeros(2)), (XS, Y), "state of another structure"),
    "one thing": (lambda: (lambda h, x: h, np.zeros(2)), (XS, Y), "return two things"),
    "axes": (lambda: (GOOD[0], lambda batch: np.zeros(2)), (XS, Y), "one axis has to be B"),
    "labels": (lambda: GOOD, (XS, Y[:, :30]), "labels: stream 0 has (30,), its steps are (40,)"),
    "labels of a list": (lambda: GOOD, (list(XS), [Y[0], Y[1], Y[2, 1:]]), "stream 2 has (39,), its steps are (40,)"),
    "too few labels": (lambda: GOOD, (XS, Y[:2]), "labels: stream 2 has nothing"),
    "no labels": (lambda: GOOD, (XS, None), "labels=None"),
    "float labels": (lambda: GOOD, (XS, Y + 0.5), "give whole numbers"),
    "rank": (lambda: GOOD, (XS[0, 0], Y), "give (B, T, I)"),
    "missing": (lambda: GOOD, (holed(1, 17), Y), "stream 1 is not finite at step 17"),
    "NaN": (lambda: breaks(23, lambda s, at: s), (XS, Y), "not finite in stream 0, 1, 2 since step 23"),
    "width": (lambda: (cells.gru(5, 3), cells.gru(5, 3).init(__import__("jax").random.key(0))), (XS, Y), "takes 5"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, without_type_checks):
    make, data, message = CASES[name]
    with pytest.raises((ValueError, TypeError)) as error:
        audit.resets(*make(), *data, policies=[], settings=Settings(pasts=(0,)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_nan_behind_a_reset_is_of_its_policy():
    """Never reset, the count reaches 30; with resets every 10 steps it does not, so the message names never."""
    with pytest.raises(ValueError, match="policy never: outputs are not finite in stream 0, 1, 2 since step 30"):
        audit.resets(*breaks(30, lambda s, at: s), XS, Y, policies=[periodic(10)])


def test_a_nan_in_a_past_says_since_when():
    """The streams have samples of 6 steps and gaps of 3, so that only a longer past breaks it."""
    labels = np.tile([0] * 6 + [-1] * 3, (4, 8))
    xs = (labels >= 0)[..., None].astype("float32")

    def step(quiet, x):  # counts quiet steps; the sixth is too much for it
        quiet = np.where(x > 0.5, 0, quiet + 1)
        return quiet, np.where(quiet > 5, np.nan, x)

    given = {"policies": [], "settings": Settings(pasts=(0, 4, 20))}
    with pytest.raises(ValueError, match="outputs are not finite since step 5 of silence"):
        audit.resets(step, np.zeros(1), xs, labels, **given)


def test_streams_need_steps_and_no_labels():
    streams = toys.streams(0, number=2)
    with pytest.raises(ValueError, match="Streams never end"):
        audit.resets(toys.sticky(3), toys.STICKY, streams)
    with pytest.raises(ValueError, match="Streams have their own"):
        audit.resets(toys.sticky(3), toys.STICKY, streams, np.zeros((2, 50), int), steps=50)
    lossy = [Stream(np.ones((3, 5, 3)), np.zeros(3, int), missing=0.3)] * 2
    with pytest.raises(ValueError, match="has no value at step"):
        audit.resets(toys.sticky(3), toys.STICKY, lossy, steps=50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pasts": (10, 3)}, "pasts="),
        ({"margin": 0.0}, "margin="),
        ({"first": 0}, "first=0"),
    ],
)
def test_settings(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_scores_by_name():
    with pytest.raises(ValueError, match="score='auc': choose from accuracy"):
        audit.resets(*GOOD, XS, Y, score="auc", policies=[])
    with pytest.raises(ValueError, match="return one value a step"):
        audit.resets(*GOOD, XS, Y, score=lambda y, o, ends: np.zeros(3), policies=[])
    with pytest.raises(ValueError, match="there are never"):
        audit.resets(*GOOD, XS, Y, policies=[], settings=Settings(pasts=(0,))).row("oracle")
