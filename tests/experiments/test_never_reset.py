"""The grid of cells, regimes and policies: what it trains it keeps, what it measures it writes."""

import re
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import losses, streaming
from experiments.data.samples import gaps_of, load_samples, stream_of
from experiments.errors import UsageError
from experiments.folder import read_json, write_json
from experiments.packed import read_runs, write_runs
from experiments.report.stream_report import conditions
from experiments.tasks.scores import measure
from experiments.tools.never_reset import NeverReset, jobs, never_reset, recipe
from experiments.tools.stream_networks import MODERN, RECIPES, SAID, model
from experiments.training.model import make_model
from experiments.training.train import trained

TINY = {"cells": ("gru",), "regimes": ("full",), "seeds": 1, "hidden": 8, "steps": 20, "samples": 30}


@pytest.mark.slow
def test_it_trains_measures_goes_on_and_writes_its_tables(tmp_path):
    config = NeverReset(out=str(tmp_path), audited=30, **TINY)
    with pytest.raises(UsageError, match="no run is finished"):
        never_reset(replace(config, finished=True))
    said = [never_reset(replace(config, workers=2, worker=worker)) for worker in (0, 1)]
    assert [each.split(" runs")[0] for each in said] == ["1 of 1", "0 of 0"]
    assert not (tmp_path / "digits.md").exists()
    text = never_reset(replace(config, finished=True))
    assert text == never_reset(config)
    assert "1 seed, 8 units" in text
    assert "2 seeds (so far gru 1), 8 units" in never_reset(replace(config, seeds=2, finished=True))
    assert text == never_reset(config)
    assert re.search(r"## The reset audit.*\| gru  \| full ", text, re.DOTALL)
    assert (tmp_path / "digits.md").read_text() == text + "\n"
    run = recipe(config, "gru", "full", 0)
    found = read_json(tmp_path / "digits-gru-full-0" / "streams.json")
    assert list(found["policies"]) == ["never", "oracle", "periodic", "on_energy", "on_entropy", "on_saturation"]
    assert list(found["conditions"]) == list(conditions(streaming.Gaps()))
    assert f"{100 * found['policies']['periodic']['accuracy']:.1f}" in text
    cell, params = trained(run)
    train, test, _ = load_samples(run)
    gaps = gaps_of(run, train)
    again = measure(cell, params, test, gaps, 30, streaming.never())
    assert found["policies"]["never"] == pytest.approx(again, rel=1e-12, nan_ok=True)
    assert found["conditions"]["as trained"]["never"] == pytest.approx(again, rel=1e-12, nan_ok=True)
    assert params["output"]["kernel"].shape == (8, 10)
    stamp = (tmp_path / "digits-gru-full-0" / "result.json").stat().st_mtime_ns
    assert never_reset(config) == text
    assert (tmp_path / "digits-gru-full-0" / "result.json").stat().st_mtime_ns == stamp
    write_json(tmp_path / "digits-gru-full-0" / "streams.json", {**found, "asked": {"samples": 29}})
    assert never_reset(config) == text
    assert read_json(tmp_path / "digits-gru-full-0" / "streams.json")["asked"] == {"samples": 30}  # measured again
    with pytest.raises(UsageError, match="hidden 8 -> 9"):
        never_reset(NeverReset(out=str(tmp_path), **{**TINY, "hidden": 9}))
    shutil.rmtree(tmp_path / "digits-gru-full-0")
    assert never_reset(config) == text  # from the file beside the table
    assert not (tmp_path / "digits-gru-full-0").exists()
    with pytest.raises(UsageError, match="hidden 8 -> 9"):
        never_reset(NeverReset(out=str(tmp_path), **{**TINY, "hidden": 9}))
    (kept,) = read_runs(tmp_path / "digits.jsonl").values()
    write_runs(tmp_path / "digits.jsonl", [kept | {"measured": {**found, "asked": {"samples": 29}}}])
    with pytest.raises(UsageError, match=r"--samples 30: .* with --samples 29"):
        never_reset(config)


@pytest.mark.slow
def test_studies_vary_what_they_say(tmp_path):
    runs = {study: jobs(NeverReset(study=study, out=str(tmp_path), seeds=2)) for study in ("cells", "weight", "gaps")}
    assert {study: len(found) for study, found in runs.items()} == {"cells": 36, "weight": 14, "gaps": 24}
    for found in runs.values():
        folders = {str(run.training.out): run for _, run in found}
        assert len(folders) == len(found)
    weights = {names[1]: run.weight for names, run in runs["weight"]}
    assert weights["sets itself"] is None
    assert weights["0.03"] == 0.03
    same = {str(run.training.out): run for _, run in runs["cells"]}
    shared = [run for _, run in (*runs["weight"], *runs["gaps"]) if str(run.training.out) in same]
    assert len(shared) == 6  # what studies have in common is trained once
    assert all(run == same[str(run.training.out)] for run in shared)
    text = never_reset(NeverReset(study="weight", out=str(tmp_path), **TINY))
    assert "| gru  | 0.03        |" in text
    assert (tmp_path / "digits-weight.md").exists()


@pytest.mark.slow
def test_a_long_run_says_how_each_tenth_went(tmp_path):
    config = NeverReset(study="long", length=20_000, out=str(tmp_path), **TINY)
    text = never_reset(config)
    found = read_json(tmp_path / "digits-gru-full-0" / "long.json")
    run = recipe(config, "gru", "full", 0)
    cell, params = trained(run)
    train, test, _ = load_samples(run)
    stream = stream_of(test, 10**6, gaps_of(run, train))
    window = stream.window(0, 20_000)
    logits = asrnn_jax.run(cell, params, window.xs)[1]
    right = np.where(window.ends, logits.argmax(-1) == window.labels, np.nan).reshape(10, 2000)
    np.testing.assert_allclose(found["accuracy"], np.nanmean(right, axis=1), atol=0.02)
    entropy = np.where(window.labels < 0, losses.entropy_share(logits), np.nan).reshape(10, 2000)
    np.testing.assert_allclose(found["gap_entropy"], np.nanmean(entropy, axis=1), rtol=1e-3)
    assert (found["finite"], found["steps"], sum(found["samples"])) == (True, 20_000, int(window.ends.sum()))
    assert "outputs all finite" in text


def test_modern_networks_are_about_as_large_as_the_others():
    sizes = {}
    for name in ("tanh_rnn", "lstm", *MODERN):
        cell = make_model(model(name, 128), 28, 10)
        sizes[name] = asrnn_jax.optim.count(jax.eval_shape(cell.init, jax.random.key(0)))
    assert sizes["tanh_rnn"] < min(sizes[name] for name in MODERN)
    assert max(sizes[name] for name in MODERN) < sizes["lstm"]
    assert RECIPES.keys() == SAID.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"study": "rates"}, "--study"),
        ({"cells": ()}, "--cells"),
        ({"cells": ("gruu",)}, "perhaps you meant gru"),
        ({"regimes": ("none",)}, "--regimes"),
        ({"seeds": 0}, "--seeds 0"),
        ({"workers": 2, "worker": 2}, "--worker 2"),
    ],
)
def test_wrong_flags_are_named(wrong, message):
    with pytest.raises(UsageError, match=message):
        NeverReset(**{**TINY, **wrong})
