"""WAV folders and log-mel features, against scipy and by hand."""

import wave

import numpy as np
import pytest
import scipy.signal

from asrnn_jax import streaming
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


def test_features_are_scipys_spectrum_through_the_triangles():
    sound = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    frame, hop = 256, 128
    _, _, Z = scipy.signal.stft(
        sound, window=np.hanning(frame), nperseg=frame, noverlap=frame - hop, boundary=None, padded=False
    )
    power = np.abs(Z.T * np.hanning(frame).sum()) ** 2 / (frame / 4) ** 2
    expected = np.log10(1 + power @ audio.mel_filters(RATE, frame) / audio.FLOOR)
    np.testing.assert_allclose(audio.log_mel(sound, rate=RATE), expected, rtol=1e-3, atol=1e-4)


def test_silence_is_zero_and_a_tone_is_where_it_belongs():
    assert (np.asarray(audio.log_mel(np.zeros(4000, np.float32), rate=RATE)) == 0).all()
    filters = audio.mel_filters(RATE, 256)
    centres = (np.fft.rfftfreq(256, 1 / RATE) @ filters) / filters.sum(0)
    for frequency in (400, 1000, 2500):
        features = np.asarray(audio.log_mel(tone(frequency).astype(np.float32), rate=RATE))
        loudest = centres[features.mean(0).argmax()]
        assert abs(loudest - frequency) < 0.1 * frequency + 40
    np.testing.assert_allclose(filters.max(), 1, atol=0.2)
    assert (np.diff(centres) > 0).all()


def test_both_layouts_of_folders(tmp_path):
    for digit in "01":
        for index in (3, 4, 5, 12):
            write(
                tmp_path / "data" / "spoken_digit" / f"{digit}_jo_{index}.wav",
                tone(500 + 500 * int(digit), 0.2 + 0.01 * index),
            )
    speech = audio.load_speech(str(tmp_path / "data"))
    np.testing.assert_array_equal(speech.train, audio.load_speech(str(tmp_path / "data" / "spoken_digit")).train)
    assert speech.train.shape[0] == speech.test.shape[0] == 4
    assert speech.classes == ("0", "1")
    np.testing.assert_array_equal(speech.test_labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(speech.test_lengths, [-(-int(RATE * s) // 128) for s in (0.23, 0.24)] * 2)
    assert (speech.test[0, speech.test_lengths[0] :] == 0).all()
    for name in ("yes/a_nohash_0", "yes/b_nohash_0", "no/a_nohash_0", "no/c_nohash_1", "_background_noise_/hum"):
        write(tmp_path / "words" / f"{name}.wav", tone(700, 1.0), rate=16000)
    (tmp_path / "words" / "testing_list.txt").write_text("yes/b_nohash_0.wav\nno/c_nohash_1.wav\n")
    speech = audio.load_speech(str(tmp_path / "words"))
    assert speech.classes == ("no", "yes")
    np.testing.assert_array_equal(speech.test_labels, [0, 1])
    assert len(speech.train) == 2
    hum, rate = audio.read_wav(tmp_path / "words" / "_background_noise_" / "hum.wav")
    np.testing.assert_array_equal(speech.background, audio.log_mel(hum, rate=rate))
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
