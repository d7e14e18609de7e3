"""Streams for voice detectors have speech where they say it; what is measured is what was planted."""

import json
import wave

import numpy as np
import pytest

from asrnn_jax import pretrained
from experiments.data import rooms
from experiments.data.rooms import GRID, RATE, STEP, Room
from experiments.errors import UsageError
from experiments.tools import audit_checks
from experiments.tools import voice_measures as measures
from experiments.tools.evaluate import config_of


def write(path, sound):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two speakers, of whom each says words of 0.1 to 0.3 s of noise between silences of 0.2 s."""
    path, rng = tmp_path_factory.mktemp("words"), np.random.default_rng(0)
    for speaker in ("ann", "bob"):
        for i in range(6):
            word = rng.uniform(-0.5, 0.5, size=int(rng.uniform(0.1, 0.3) * RATE))
            quiet = np.zeros(1600)
            write(path / f"{i % 3}_{speaker}_{i}.wav", np.concatenate([quiet, word, quiet]))
    return path


def test_speech_is_labelled_where_it_is_and_nowhere_else(folder):
    words = rooms.speakers(str(folder))
    assert list(words) == ["ann", "bob"]
    assert all(0.1 * RATE - STEP < len(each) < 0.3 * RATE + 2 * STEP for each in words["ann"])  # silences are cut off
    given = {"seconds": 60, "gaps": (0.3, 2.0)}
    heard = rooms.heard(words["ann"], [Room("silence")], **given, seed=3)
    loud = np.abs(heard.sound.reshape(-1, STEP)).max(1) > 0
    assert heard.speech[loud].all()
    begins, ends = (np.flatnonzero(np.diff(heard.speech.astype(int)) == way) + 1 for way in (1, -1))
    np.testing.assert_array_equal(begins, np.flatnonzero(heard.starts))
    assert (begins % (GRID // STEP) == 0).all()
    assert all(loud[at] for at in begins)  # each begins with sound, and has silence for less than 32 ms at its end
    assert all(loud[at - 3 : at].any() for at in ends)
    gaps = (begins[1:] - ends[: len(begins) - 1]) * STEP / RATE
    assert 0.3 - 0.02 < gaps.min() < gaps.max() < 2.0 + 0.02
    again = rooms.heard(words["ann"], [Room("silence")], **given, seed=3)
    np.testing.assert_array_equal(again.sound, heard.sound)
    noisy = rooms.heard(words["ann"], [Room("noise", (-40.0, -40.0), (1.0, 1.0))], **given, seed=3)
    power = np.square(noisy.sound.reshape(-1, STEP)[~noisy.speech]).mean()
    assert abs(10 * np.log10(power) + 40) < 0.5
    in_chunks = rooms.chunked(heard)
    np.testing.assert_array_equal(in_chunks.speech.repeat(GRID // STEP), heard.speech)
    assert in_chunks.starts.sum() == heard.starts.sum()


def test_a_step_hears_its_own_samples_and_nothing_later():
    sound = np.zeros(40 * STEP, np.float32)
    sound[10 * STEP + 30] = 0.5
    found = np.flatnonzero(rooms.featured(sound, block=16).max(-1))
    np.testing.assert_array_equal(found, [10, 11])


def test_words_delays_and_alarms_are_those_that_were_planted():
    speech, starts, z = np.zeros((1, 10_000), bool), np.zeros((1, 10_000), bool), np.zeros((1, 10_000), np.float32)
    for at in (1000, 3000, 5000, 7000):
        speech[0, at : at + 100], starts[0, at] = True, True
    z[0, 1003] = z[0, 3007] = z[0, 5000] = 2.0  # three of four words, 4, 8 and 1 steps late
    z[0, 1110] = 3.0  # too soon after a word to count
    z[0, [2000, 2010, 8000]] = 1.0  # two alarms: those nearer than 0.5 s are one
    said = measures.Said({"never": z}, speech, starts, 0.016)
    found = measures.scored(said, "never", 0.5)
    hours = 9600 * 0.016 / 3600
    assert (found["words"], found["found"], round(found["alarms"] * hours)) == (4, 0.75, 2)
    assert found["delay"] == pytest.approx(0.016 * (4 + 8 + 1) / 3)
    assert measures.along(said, "never", 0.5)[1::2] == [1, 1, 1, 0, pytest.approx(np.nan, nan_ok=True)]
    assert measures.threshold_for(said, "never", 0.0, np.array([0.5, 0.9, 1.0, 2.0])) == 1.0


def test_all_detectors_heard_the_same_hour():
    rows = json.loads((audit_checks.OUT / "audit.json").read_text())["voice"]["rows"]
    found = [row["hour"][policy]["all"]["words"] for row in rows for policy in ("never", "every 5 s")]
    assert found == [8866] * len(found)
    assert [name for name in rows[0]["chosen"] if rows[0]["chosen"][name]["hour"]["words"] == 8866] == [
        "never",
        "every 5 s",
    ]


def test_a_network_and_its_card():
    _, _, card = pretrained.load("voice-gru")
    rows = json.loads((audit_checks.OUT / "audit.json").read_text())["voice"]["rows"]
    row = next(row for row in rows if row["name"] == "reset-free-0")
    never = row["hour"]["never"]["all"]
    assert card["result"] == {name: never[name] for name in card["result"]}
    assert card["parameters"] == row["parameters"] <= 30_000
    with pytest.raises(UsageError, match="is measured by python -m experiments voice"):
        config_of(card, None)


@pytest.mark.slow
def test_the_command_trains_measures_and_goes_on(folder, tmp_path, capsys):
    from experiments.__main__ import main

    flags = ["voice", "--data-dir", str(folder), "--out", str(tmp_path / "run"), "--unseen", "bob", "--hidden", "4"]
    flags += ["--seconds", "60", "--length", "60", "--seeds", "1", "--recipes", "reset-free", "--steps"]
    assert main([*flags, "2"]) == 0
    said = capsys.readouterr().out
    file = tmp_path / "run" / "reset-free-0.safetensors"
    before = file.read_bytes()
    assert main([*flags, "2"]) == 0
    assert "ours: state coverage and the objective" in said
    assert file.read_bytes() == before
    model, _, card = pretrained.load(file)
    assert (model.hidden, card["config"]["speakers"], set(card["result"])) == (
        4,
        ["ann"],
        {"words", "found", "delay", "alarms", "recall"},
    )
    assert main([*flags, "3"]) == 2
    assert "made with other settings" in capsys.readouterr().err
