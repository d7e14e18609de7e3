"""WAV folders as sets of sequences."""

import wave

import numpy as np
import pytest

from asrnn_jax import features, streaming
from experiments.config import Stream
from experiments.data import audio
from experiments.data.samples import gaps_of, load_samples, stream_of
from experiments.errors import UsageError

RATE = 8000


def streams_are_finite(samples):
    window = stream_of(samples, 0, streaming.Gaps(5, 9, kinds=("background",))).window(0, 300)
    return np.isfinite(window.xs).all()


def tone(frequency, seconds=0.5, level=0.5):
    return level * np.sin(2 * np.pi * frequency * np.arange(int(RATE * seconds)) / RATE)


def write(path, sound, rate=RATE, channels=1, width=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((np.asarray(sound) * 32767).astype("<i2").tobytes())


def test_both_layouts_of_folders(tmp_path):
    folder = tmp_path / "data" / "spoken_digit"
    for digit in "01":
        for index in (3, 4, 5, 12):
            write(
                folder / f"{digit}_jo_{index}.wav",
                tone(500 + 500 * int(digit), 0.2 + 0.01 * index),
            )
    speech = audio.load_speech(str(tmp_path / "data"))
    np.testing.assert_array_equal(speech.train, audio.load_speech(str(folder)).train)
    assert speech.train.shape[0] == speech.test.shape[0] == 4
    assert speech.classes == ("0", "1")
    np.testing.assert_array_equal(speech.test_labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(speech.test_lengths, [-(-int(RATE * s) // 128) for s in (0.23, 0.24)] * 2)
    assert (speech.test[0, speech.test_lengths[0] :] == 0).all()
    for xs, length, path in zip(speech.test, speech.test_lengths, ("0_jo_3", "0_jo_4", "1_jo_3", "1_jo_4")):
        alone = features.of({"features": speech.features})(*audio.read_wav(folder / f"{path}.wav"))
        np.testing.assert_allclose(xs[:length], alone, rtol=0, atol=2e-6)  # as who classifies one file makes them
    for name in ("yes/a_nohash_0", "yes/b_nohash_0", "no/a_nohash_0", "no/c_nohash_1", "_background_noise_/hum"):
        write(tmp_path / "words" / f"{name}.wav", tone(700, 1.0), rate=16000)
    (tmp_path / "words" / "testing_list.txt").write_text("yes/b_nohash_0.wav\nno/c_nohash_1.wav\n")
    speech = audio.load_speech(str(tmp_path / "words"))
    assert speech.classes == ("no", "yes")
    np.testing.assert_array_equal(speech.test_labels, [0, 1])
    assert len(speech.train) == 2
    hum, rate = audio.read_wav(tmp_path / "words" / "_background_noise_" / "hum.wav")
    np.testing.assert_array_equal(speech.background, features.log_mel(hum, rate, pad=False))
    train, _, _ = load_samples(Stream(dataset="speech", data_dir=str(tmp_path / "words")))
    assert gaps_of(Stream(kinds=("white",)), train).kinds == ("white", "background")
    assert streams_are_finite(train)


def test_folders_and_files_that_will_not_do_are_named(tmp_path):
    def expect(message, folder=tmp_path):
        with pytest.raises(UsageError, match=message):
            audio.load_speech(str(folder))

    expect("give the folder", tmp_path / "nowhere")
    expect("no WAV files found")
    write(tmp_path / "0_jo_1.wav", tone(500))
    expect("both sets are needed")
    write(tmp_path / "0_jo_9.wav", tone(500), rate=16000)
    expect("several sampling rates")
    write(tmp_path / "0_jo_9.wav", np.zeros(100), channels=2)
    expect("2 channels of 16 bit")
    whole = (tmp_path / "0_jo_1.wav").read_bytes()
    for damaged in (b"", whole[:30], b"RIFX" + whole[4:], whole[:44]):
        (tmp_path / "0_jo_9.wav").write_bytes(damaged)
        expect("0_jo_9.wav")
    (tmp_path / "0_jo_9.wav").write_bytes(whole[:40] + b"\xff\xff\xff\x7f" + whole[44:])  # a length it does not have
    sound, _ = audio.read_wav(tmp_path / "0_jo_9.wav")
    assert len(sound) == 4000
