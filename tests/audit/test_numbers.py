"""The audit's numbers are those of a session and of never-reset's tables, for all forms of a model."""

import jax
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import audit, cells, losses, pretrained, streaming
from asrnn_jax.audit import Settings
from asrnn_jax.audit.models import of_cell
from asrnn_jax.audit.sources import source
from asrnn_jax.audit.states import distance, remembrance
from asrnn_jax.audit.walk import walk
from experiments.data.samples import Samples, stream_of
from experiments.tasks.scores import TEST_STREAMS, measure
from experiments.tools import audit_toys as toys

QUICK = (streaming.never(), streaming.oracle(), streaming.on_entropy(0.5, 2))
MORE = (streaming.never(), streaming.periodic(63), streaming.on_energy(-1.5), streaming.on_saturation(0.4, 2))


@pytest.mark.slow
@pytest.mark.parametrize("policies", [QUICK, MORE])
def test_accuracies_are_those_of_the_tables_of_never_reset(policies):
    """A network of the package on samples that it half knows: noise, of the class that it says to most of it."""
    model, params, _ = pretrained.load("fashion-gru")
    xs = np.random.default_rng(0).uniform(size=(80, 28, 28)).astype("float32") ** 3
    _, logits = asrnn_jax.run(model, params, xs, outputs="last")
    samples = Samples(xs, np.asarray(logits.argmax(-1)).astype(np.int32), np.full(80, 28))
    gaps = streaming.Gaps(10, 60)
    streams = [stream_of(samples, 10**6 + i, gaps) for i in range(TEST_STREAMS)]
    settings, said = Settings(pasts=(0,), remember=5), {}

    def visit(policy, chunk):
        right = (chunk.ys.argmax(-1) == chunk.piece.labels)[chunk.piece.ends]
        said.setdefault(policy, []).extend(right)

    found = audit.resets(model, params, streams, steps=500, policies=policies, settings=settings, visit=visit)
    assert [np.mean(right) for right in said.values()] == [row.score.value for row in found.rows]
    for policy, row in zip(policies, found.rows):
        assert row.score.value == measure(model, params, samples, gaps, 1, policy)["accuracy"], policy.name
    assert len({row.score.value for row in found.rows}) >= 3


def cell_and_data():
    cell = cells.with_output(cells.gru(3, 5), 4)
    params = cell.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(6, 90, 3)).astype("float32")
    labels = np.repeat(rng.integers(-1, 4, size=(6, 15)), 6, axis=1)
    return cell, params, xs, labels


def test_scores_by_place_and_time_are_those_by_hand():
    cell, params, xs, labels = cell_and_data()
    settings = Settings(every=(20,), parts=3, pasts=(0,))
    found = audit.resets(cell, params, xs, labels, score="accuracy", settings=settings)
    reset = np.arange(90) % 20 == 0
    _, ys = asrnn_jax.run(cell, params, xs, reset=np.broadcast_to(reset, labels.shape))
    right, counted = np.asarray(ys).argmax(-1) == labels, labels >= 0
    p = [row.policy for row in found.rows].index("periodic(20)")
    assert found.rows[p].score.value == pytest.approx(right[counted].mean())
    assert found.rows[p].gain.value == pytest.approx(right[counted].mean() - found.rows[0].score.value)
    for k in range(3):
        here = counted[:, 30 * k : 30 * k + 30]
        assert found.by_part[p, k] == pytest.approx(right[:, 30 * k : 30 * k + 30][here].mean())
    since = np.arange(90) % 20
    for s, (low, high) in enumerate([(0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32)]):
        here = counted & (since >= low) & (since < high)
        assert found.by_since[p, s] == pytest.approx(right[here].mean())
    assert list(found.times[:6]) == [0, 1, 2, 4, 8, 16]


def test_arrays_end_where_their_label_changes():
    """The output is the input: the class that is 1 there. Only last steps of a run of one label are right."""
    labels = np.array([[-1, 0, 0, 1, 1, 1, -1, 0], [1, 1, -1, -1, 0, 0, 0, 1]])
    ends = np.array([[0, 0, 1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0, 1, 1]], bool)
    xs = np.eye(2, dtype="float32")[np.where(ends, labels, 1 - np.maximum(labels, 0))]
    found = audit.resets(lambda h, x: (h + x, x), np.zeros(2), xs, labels, policies=[])
    assert (found.scale.name, found.rows[0].score.value) == ("accuracy at end", 1.0)


def by_step(cell, params):
    weights = cell.prepare(params)

    def step(carry, x):
        carry, y = asrnn_jax.step(cell, weights, carry, np.asarray(x))
        return jax.tree.map(np.asarray, carry), np.asarray(y)

    return step, weights


@pytest.mark.parametrize("form", ["one stream", "several streams", "one by one", "batch in the second axis"])
def test_a_function_gives_what_its_cell_gives(form):
    cell, params, xs, labels = cell_and_data()
    xs, labels = xs[:4, :30], labels[:4, :30]
    step, weights = by_step(cell, params)
    one = np.asarray(cell.start(weights, ()))
    start = one
    if form == "several streams":
        start = lambda batch: np.asarray(cell.start(weights, (batch,)))  # noqa: E731
    if form == "one by one":
        inner = step
        step = lambda h, x: inner(h, x) if x.ndim == 1 else (h, 0 * x)  # noqa: E731
    if form == "batch in the second axis":
        batched = step
        step = lambda h, x: (lambda a, y: (a[None], y))(*batched(h[0], x))  # noqa: E731
        start = lambda batch: np.zeros((1, batch, 5), "float32")  # noqa: E731
    policies = [streaming.oracle(), streaming.periodic(7), streaming.on_entropy(0.5, 1)]
    options = {"policies": policies, "settings": Settings(pasts=(0, 4), remember=20), "score": "accuracy"}
    ours, theirs = (audit.resets(m, s, xs, labels, **options) for m, s in ((cell, params), (step, start)))
    np.testing.assert_allclose(ours.by_part, theirs.by_part, atol=1e-6)
    np.testing.assert_allclose(ours.memory.fresh, theirs.memory.fresh, atol=1e-5)
    np.testing.assert_allclose(ours.state.norm, theirs.state.norm, atol=1e-5)
    for a, b in zip(ours.gaps, theirs.gaps):
        np.testing.assert_allclose(a.score, b.score, atol=1e-6)


def test_a_function_of_one_stream_is_never_given_several():
    """It adds up all inputs that it is given: with one stream along a new axis the numbers are still the same."""
    model = audit.function(lambda h, x: (0.5 * h + x.sum(), h + x.sum()), np.zeros(2, "float32"))
    xs = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    no = np.zeros((3, 5), bool)
    alone = [model.advance(model.start(1), xs[b : b + 1], no[:1])[1] for b in range(3)]
    np.testing.assert_allclose(model.advance(model.start(3), xs, no)[1], np.concatenate(alone), rtol=1e-5)


def test_streams_of_several_lengths_are_as_if_alone():
    cell, params, xs, labels = cell_and_data()
    lengths = (90, 33, 50)
    found = audit.resets(
        cell,
        params,
        [xs[b, :n] for b, n in enumerate(lengths)],
        [labels[b, :n] for b, n in enumerate(lengths)],
        score="accuracy",
        policies=[],
        settings=Settings(pasts=(0,)),
    )
    right = counted = 0
    for b, n in enumerate(lengths):
        _, ys = asrnn_jax.run(cell, params, xs[b, :n])
        right += (np.asarray(ys).argmax(-1) == labels[b, :n])[labels[b, :n] >= 0].sum()
        counted += (labels[b, :n] >= 0).sum()
    assert found.rows[0].score.value == pytest.approx(right / counted)


def test_remembrance_is_the_distance_of_runs_with_other_pasts():
    """A leaky sum whose output is the state itself: the past is gone by its decay."""
    xs = np.random.default_rng(0).uniform(size=(4, 60, 1)).astype("float32") * 0.1
    model = audit.function(lambda h, x: (0.8 * h + x, 0.8 * h + x), np.zeros(1, "float32"))
    data = source(xs, np.zeros((4, 60), int))
    chunks = list(walk(model, data, streaming.never(), 20))
    state = chunks[1].state
    found = remembrance(model, data, {40: state}, 15)
    h = model.vector(state)[:, 0]
    decay = 0.8 ** np.arange(1, 16)
    np.testing.assert_allclose(found.fresh, np.abs(h).mean() * decay, rtol=1e-4)
    np.testing.assert_allclose(found.other, np.abs(h - np.roll(h, 1)).mean() * decay, rtol=1e-4)
    assert found.agrees is None or found.fresh[found.agrees] < 0.01


def test_distance_is_total_variation():
    a, b = np.log([[0.5, 0.3, 0.2]]), np.log([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(distance(a, b), [0.3], atol=1e-12)
    np.testing.assert_allclose(distance(np.exp(a), np.exp(b)), [0.3], atol=1e-12)
    np.testing.assert_allclose(distance(np.array([[0.9]]), np.array([[0.2]])), [0.7])


def test_a_state_that_stops_and_one_that_grows_are_seen():
    found = audit.resets(toys.sticky(8), toys.STICKY, toys.streams(0, gaps=(2, 12)), steps=1000, policies=[])
    assert found.state.still[-1] >= 0.5 > found.state.still[0]
    grown = audit.resets(
        lambda h, x: (h + 1, np.concatenate([x, 0 * x], -1)),
        np.zeros(1),
        np.random.default_rng(0).normal(size=(4, 1000, 1)).astype("float32"),
        np.zeros((4, 1000), int),
        policies=[],
        settings=Settings(first=100, pasts=(0,)),
    )
    np.testing.assert_allclose(grown.state.norm[-1], 10, rtol=0.05)
    assert grown.state.outside[-1] == 1


def test_a_score_of_ones_own():
    """Squared error, of which less is better; a policy that resets at every step is worse."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(8, 200, 1)).astype("float32")
    labels = (np.cumsum(xs[..., 0], axis=1) > 0).astype(int)

    def error(labels, outputs, ends):
        return (outputs[..., 0] - labels) ** 2

    found = audit.resets(
        lambda h, x: (h + x, (h + x > 0).astype(float)),
        np.zeros(1),
        xs,
        labels,
        score=error,
        policies=[streaming.periodic(1)],
        settings=Settings(lower_is_better=True, pasts=()),
    )
    assert found.rows[0].score.value == 0
    assert found.rows[1].score.value == pytest.approx(((xs[..., 0] > 0) != labels).mean())
    assert found.rows[1].gain.value == pytest.approx(-found.rows[1].score.value)
    assert found.verdict.need is audit.Need.HARM
    worse = f"{found.rows[1].score.value:.4g}"
    assert f"worse by {worse} (" in found.verdict.text
    assert f": {worse}, {worse} (" in found.verdict.rests_on[1]  # an error that is 0 without resets, this over it
    assert f"+{worse}" in found.table()


def test_an_error_that_rises_after_silence_is_called_higher():
    """It counts quiet steps and is worse off for many; these streams have few of them."""
    labels = np.tile([0] * 8 + [-1] * 2, (8, 20))
    xs = (labels >= 0)[..., None].astype("float32")

    def error(labels, outputs, ends):
        return np.where(labels >= 0, outputs[..., 0], np.nan)

    def step(h, x):  # the error is 1, and more for the steps of a long silence before
        quiet = np.where(x > 0, 0.7 * h, h + 1)
        return quiet, 1 + 0.1 * np.maximum(quiet - 3, 0)

    settings = Settings(lower_is_better=True, pasts=(0, 4, 9), noise=0.0, first=50)
    found = audit.resets(step, np.zeros(1), xs, labels, score=error, policies=[streaming.oracle()], settings=settings)
    said = found.verdict.text
    assert found.gaps[0].collapses is not None
    assert not found.gaps[0].breaks
    assert " higher than from a fresh state after 9 steps" in said, said
    assert "gets worse after" in said
    assert "lower" not in said
    assert any("rises by" in line for line in found.verdict.rests_on)


def test_fewer_false_alarms_are_better():
    """A detector that begins to sound by itself ten steps after it was reset, in streams of silence and one sample."""
    labels = np.full((8, 200), -1)
    labels[:, :5] = 0
    found = audit.resets(
        lambda h, x: (h + 1, (h > 10).astype(float)),
        np.zeros(1),
        np.zeros((8, 200, 1), "float32"),
        labels,
        score="false alarms",
        policies=[streaming.periodic(5)],
        settings=Settings(pasts=()),
    )
    assert found.rows[0].score.value > 0.9
    assert found.rows[1].score.value == 0
    assert found.rows[1].gain.value == pytest.approx(found.rows[0].score.value)
    assert found.verdict.need is audit.Need.HELPS


@pytest.mark.slow
def test_endless_streams_are_as_their_arrays():
    cell = of_cell(cells.with_output(cells.gru(3, 5), 4), cells.with_output(cells.gru(3, 5), 4).init(jax.random.key(0)))
    streams = toys.streams(0, number=4)
    window = streaming.windows(streams, 0, 200)
    options = {"policies": [streaming.oracle()], "settings": Settings(pasts=(0, 8), noise=0.1)}
    one = audit.resets(cell, None, streams, steps=200, **options)
    other = audit.resets(cell, None, window.xs, window.labels, starts=window.starts, score="accuracy at end", **options)
    ends = int(window.ends.sum())
    cut = int((window.labels[:, -1] >= 0).sum() - window.ends[:, -1].sum())  # of arrays the end is an end
    assert abs(one.rows[1].score.value * ends - other.rows[1].score.value * (ends + cut)) <= cut + 1e-9
    assert float(np.median(losses.energy(window.xs)[window.labels >= 0])) > -2
