"""A module of torch, through the three-argument form, has the audit of our cell with its weights."""

import numpy as np
import pytest

from asrnn_jax import audit, cells, interop, streaming
from asrnn_jax.audit import Settings

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'oracles')")


def classifier():
    """A torch.nn.GRU and the layer that reads it out, and the same weights as our cell and params."""
    torch.manual_seed(0)
    gru, head = torch.nn.GRU(3, 8), torch.nn.Linear(8, 4)
    cell, params = interop.from_torch(gru.state_dict())
    output = {"kernel": head.weight.detach().numpy().T, "bias": head.bias.detach().numpy()}
    model = cells.with_output(cell, 4)
    ours = {"cell": params, "output": output}
    return gru, head, model, ours


class Module(torch.nn.Module):
    """One stream at a time: h (1, 8), x (3,); several at once do not fit it."""

    def __init__(self, gru, head):
        super().__init__()
        self.gru, self.head = gru, head

    def forward(self, h, x):
        ys, h = self.gru(x[None], h)
        return h, self.head(ys[0])


def data():
    """Samples of 6 steps, each with the mean of its class, and gaps; what GRU says is no constant."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(-1, 4, size=(5, 15)), 6, axis=1)
    means = 2 * rng.normal(size=(5, 3)) * (np.arange(5) > 0)[:, None]
    return (means[labels + 1] + rng.normal(size=(5, 90, 3))).astype("float32"), labels


@pytest.mark.slow
@pytest.mark.parametrize("form", ["one stream", "several streams"])
def test_a_gru_of_torch_is_audited_as_our_gru(form):
    gru, head, model, params = classifier()

    def step(h, x):  # as in the guide: h (1, B, 8), x (B, 3)
        ys, h = gru(x[None], h)
        return h, head(ys[0])

    given = (
        (step, lambda B: torch.zeros(1, B, 8)) if form == "several streams" else (Module(gru, head), torch.zeros(1, 8))
    )
    policies = [streaming.oracle(), streaming.periodic(7), streaming.on_entropy(0.9, 2), streaming.on_energy(-1.0)]
    settings = Settings(pasts=(0, 4, 20), noise=0.5, remember=20, first=30, parts=3)
    options = {"policies": policies, "settings": settings, "score": "accuracy"}
    theirs, ours = (audit.resets(m, start, *data(), **options) for m, start in (given, (model, params)))
    assert [row.score for row in theirs.rows] == [row.score for row in ours.rows]
    assert len({row.score.value for row in ours.rows}) > 2
    assert (theirs.verdict.need, theirs.verdict.text) == (ours.verdict.need, ours.verdict.text)
    np.testing.assert_array_equal(theirs.by_part, ours.by_part)
    np.testing.assert_array_equal(theirs.by_since, ours.by_since)
    for a, b in zip(theirs.gaps, ours.gaps, strict=True):
        assert (a.kind, a.collapses, a.loss) == (b.kind, b.collapses, b.loss)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(theirs.memory.fresh, ours.memory.fresh, **close)
    np.testing.assert_allclose(theirs.memory.other, ours.memory.other, **close)
    np.testing.assert_allclose(theirs.state.norm, ours.state.norm, **close)
    assert not any(weight.grad is not None for weight in gru.parameters())
