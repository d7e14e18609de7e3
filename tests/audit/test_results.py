"""The page of results is made from its file, and the figure shows what was found."""

import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from asrnn_jax import audit, plot
from asrnn_jax.audit import Settings
from asrnn_jax.streaming import oracle, periodic
from experiments.tools import audit_checks
from experiments.tools import audit_toys as toys


def test_the_page_is_made_from_its_file():
    found = json.loads((audit_checks.OUT / "audit.json").read_text())
    assert audit_checks.page(found) + "\n" == (audit_checks.OUT / "README.md").read_text()


def test_the_page_has_every_plant_no_false_accusation_and_equal_numbers():
    found = json.loads((audit_checks.OUT / "audit.json").read_text())
    assert [row["silence"] for row in found["plants"]] == [row["planted"] for row in found["plants"]]
    assert len(found["plants"]) == len(found["contractive"]) == 20
    assert {row["need"] for row in found["contractive"]} == {"needs none"}
    assert all(row["audit"] == row["table"] for row in found["networks"])
    assert all(row["seconds"] < 120 for row in found["detector"])


@pytest.fixture(scope="module")
def figure():
    policies = [oracle(), periodic(5), periodic(20), periodic(50)]
    settings = Settings(pasts=(0, 10, 30))
    found = audit.resets(toys.sticky(12), toys.STICKY, toys.streams(0), steps=300, policies=policies, settings=settings)
    yield found, plot.audit(found)
    plt.close("all")


def test_the_figure_shows_the_scores_by_policy(figure):
    found, axes = figure
    shown = [line.get_xdata()[0] for line in axes[0, 0].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(shown, [100 * row.score.value for row in found.rows])
    assert [label.get_text() for label in axes[0, 0].get_yticklabels()] == [row.policy for row in found.rows]
    assert found.verdict.text[:30] in axes[0, 0].figure.get_suptitle()


def test_the_figure_has_never_oracle_the_best_and_the_worst(figure):
    found, axes = figure
    names = [line.get_label() for line in axes[0, 1].lines]
    others = sorted((row for row in found.rows[2:]), key=lambda row: row.gain.value)
    assert names == ["never", "oracle", others[-1].policy, others[0].policy]
    np.testing.assert_allclose(axes[0, 1].lines[0].get_ydata(), 100 * found.by_part[0])


def test_the_figure_marks_the_collapse(figure):
    _, axes = figure
    assert 12 in {float(line.get_xdata()[0]) for line in axes[1, 0].lines if line.get_marker() == "^"}


def test_the_table_has_all_policies_and_the_words_are_numbers(figure):
    found, _ = figure
    said = found.table()
    assert all(f"| {row.policy}" in said for row in found.rows)
    assert repr(said) == str(said)
    assert json.loads(json.dumps(found.as_json()))["policies"][0]["score"]["value"] == found.rows[0].score.value
