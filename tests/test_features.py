"""What networks take, against scipy, against the definitions written out, and as it was in training."""

import json
import wave

import jax
import numpy as np
import pytest
import scipy.signal

from asrnn_jax import features, pretrained

RATE = 8000
SPEECH = {"kind": "log_mel", "rate": RATE, "bands": 40, "frame": 0.032, "hop": 0.016, "lowest": 20.0, "floor": 1e-6}


def tone(frequency, seconds=0.5, level=0.5):
    return (level * np.sin(2 * np.pi * frequency * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


def triangle(f, low, middle, high):
    """One mel filter at the frequency f, from its definition."""
    if low < f <= middle:
        return (f - low) / (middle - low)
    return (high - f) / (high - middle) if middle < f < high else 0.0


def by_definition(sound, bands=40, size=256, hop=128):
    """Frames one by one, the discrete Fourier transform as a sum, the triangles one by one."""
    top, bottom = 2595 * np.log10(1 + RATE / 2 / 700), 2595 * np.log10(1 + 20 / 700)
    edges = [700 * (10 ** ((bottom + i * (top - bottom) / (bands + 1)) / 2595) - 1) for i in range(bands + 2)]
    n, frequencies = np.arange(size), np.arange(size // 2 + 1) * RATE / size
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / (size - 1))
    waves = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), n) / size)
    triangles = np.array([[triangle(f, *edges[i : i + 3]) for f in frequencies] for i in range(bands)])
    silence = np.zeros(size)
    rows = []
    for start in range(0, len(sound), hop):
        frame = np.concatenate([sound, silence])[start : start + size]
        power = abs(waves @ (window * frame)) ** 2 / (size / 4) ** 2  # a sine of 1 has N/4 in its bin under this window
        rows.append(np.log10(1 + triangles @ power / 1e-6))
    return np.array(rows)


def test_log_mel_is_its_definition():
    sound = np.random.default_rng(0).normal(scale=0.1, size=(2, 3001))
    found = features.log_mel(sound, RATE)
    assert found.shape == (2, 24, 40)
    np.testing.assert_allclose(found, [by_definition(s) for s in sound], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        features.log_mel(sound[0], RATE, bands=12, frame=0.016, hop=0.01),
        by_definition(sound[0], 12, 128, 80),
        rtol=1e-5,
        atol=1e-6,
    )


def test_whole_frames_are_scipys_spectrum_through_the_triangles():
    sound = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    frame, hop = 256, 128
    _, _, Z = scipy.signal.stft(
        sound, window=np.hanning(frame), nperseg=frame, noverlap=frame - hop, boundary=None, padded=False
    )
    power = np.abs(Z.T * np.hanning(frame).sum()) ** 2 / (frame / 4) ** 2
    expected = np.log10(1 + power @ features.mel_filters(RATE, frame, 40, 20.0) / 1e-6)
    np.testing.assert_allclose(features.log_mel(sound, RATE, pad=False), expected, rtol=1e-3, atol=1e-4)


def test_silence_is_zero_and_a_tone_is_where_it_belongs():
    assert (np.asarray(features.log_mel(np.zeros(4000, np.float32), RATE)) == 0).all()
    filters = features.mel_filters(RATE, 256, 40, 20.0)
    centres = (np.fft.rfftfreq(256, 1 / RATE) @ filters) / filters.sum(0)
    for frequency in (300, 1000, 3000):
        found = np.asarray(features.log_mel(tone(frequency), RATE))
        loudest = centres[found.mean(0).argmax()]
        assert abs(loudest - frequency) < 0.1 * frequency + 40
    np.testing.assert_allclose(filters.max(), 1, atol=0.2)
    assert (np.diff(centres) > 0).all()


def test_sound_in_pieces_has_the_frames_of_the_whole():
    sound = np.random.default_rng(1).normal(scale=0.1, size=128 * 9 + 128).astype(np.float32)
    pieces = [features.log_mel(sound[128 * t : 128 * (t + 3) + 128], RATE, pad=False) for t in (0, 3, 6)]
    np.testing.assert_allclose(np.concatenate(pieces), features.log_mel(sound, RATE, pad=False), rtol=0, atol=2e-6)


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("permutation", [None, 92916])
def test_pixels_one_by_one(rows, permutation):
    images = np.random.default_rng(0).integers(256, size=(2, 28, 28), dtype=np.uint8)
    order = list(range(784)) if permutation is None else np.random.RandomState(92916).permutation(784)
    found = features.pixels(images, rows=rows, permutation=permutation)
    assert found.shape == ((2, 28, 28) if rows else (2, 784, 1))
    assert found.dtype == np.float32
    for b in range(2):
        flat = found[b].reshape(-1)
        expected = [np.float32(images[b, i // 28, i % 28]) / np.float32(255) for i in order]
        np.testing.assert_array_equal(flat, expected)
    compiled = jax.jit(lambda x: features.pixels(x, rows=rows, permutation=permutation))(images)
    np.testing.assert_array_max_ulp(np.asarray(compiled), np.asarray(found), 1)
    assert features.PAPERS_PERMUTATION == 92916


def test_symbols_and_characters():
    np.testing.assert_array_equal(features.one_hot(np.array([[2, 0]]), count=3), [[[0, 0, 1], [1, 0, 0]]])
    np.testing.assert_array_equal(features.characters("ba?", alphabet="ab"), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"symbols range over \[0, 3\], not 0..2"):
        features.one_hot(np.array([0, 3]), count=3)
    outside = jax.jit(lambda s: features.one_hot(s, count=3))(np.array([0, 3]))
    np.testing.assert_array_equal(outside, [[1, 0, 0], [0, 0, 0]])


def test_every_network_of_the_package_says_what_it_takes():
    given = {
        "log_mel": (tone(500), RATE),
        "pixels": (np.zeros((28, 28), np.uint8),),
        "one_hot": (np.arange(5),),
    }
    for name in pretrained.names():
        model, _, card = pretrained.load(name)
        xs = features.of(card)(*given[card["features"]["kind"]])
        assert xs.shape[-1] == model.inputs
        assert json.loads(json.dumps(card["features"])) == card["features"]
        assert card["labels"] is None or len(card["labels"]) == model.outputs
    permuted, straight = (pretrained.load(f"{name}-asrnn")[2]["features"] for name in ("pmnist", "smnist"))
    assert permuted == straight | {"permutation": 92916}


@pytest.mark.parametrize("dataset", ["digits", "speech", "text"])
def test_the_card_names_what_training_used(dataset, tmp_path):
    """A recipe's own inputs of a batch, beside what its card says of the same images, sounds and characters."""
    from experiments.config import Pixels, Stream, Text, Training
    from experiments.tasks import make_task

    if dataset == "digits":
        task, plain = (make_task(Pixels(permute=permute, training=Training(batch=4))) for permute in (True, False))
        images, _ = plain.batch(0)
        expected = images.reshape(4, 64)[:, np.random.RandomState(92916).permutation(64), None] / np.float32(255)
        np.testing.assert_array_equal(task.xs(task.batch(0)), expected)
        np.testing.assert_array_equal(features.of({"features": task.features})(images), expected)
        assert task.labels == tuple("0123456789")
        return
    if dataset == "text":
        for part in ("train", "valid", "test"):
            (tmp_path / f"{part}.txt").write_text("to be or not to be")
        task = make_task(Text(data_dir=str(tmp_path), window=5, training=Training(batch=1)))
        make = features.of({"features": task.features})
        np.testing.assert_array_equal(task.xs(task.batch(0))[0], make("to be"))
        np.testing.assert_array_equal(
            make("be!").argmax(-1), [*(sorted(set("to be or not")).index(c) for c in "be"), 7]
        )
        return
    for digit, index in ((0, 1), (1, 1), (0, 9), (1, 9)):
        write(tmp_path / f"{digit}_jo_{index}.wav", tone(400 + 300 * digit, 0.2))
    task = make_task(Stream(dataset="speech", data_dir=str(tmp_path), regime="separate", training=Training(batch=4)))
    assert (task.features, task.labels) == (SPEECH, ("0", "1"))
    xs, labels = task.batch(0)
    for x, label in zip(xs, labels[:, 0]):
        np.testing.assert_allclose(x, by_definition(as_written(tone(400 + 300 * label, 0.2))), rtol=1e-3, atol=1e-3)


def as_written(sound):
    return (np.asarray(sound) * 32767).astype("<i2").astype(np.float64) / 32768


def write(path, sound, rate=RATE, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((np.asarray(sound) * 32767).astype("<i2").tobytes())


def test_wav_files_are_read_and_others_named(tmp_path):
    path = tmp_path / "a.wav"
    write(path, tone(500))
    sound, rate = features.read_wav(path)
    assert (rate, sound.dtype) == (RATE, np.float32)
    np.testing.assert_array_equal(sound, as_written(tone(500)))
    whole = path.read_bytes()
    for damaged in (b"", whole[:30], b"RIFX" + whole[4:], whole[:44]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.wav"):
            features.read_wav(path)
    path.write_bytes(whole[:40] + b"\xff\xff\xff\x7f" + whole[44:])  # a length it does not have
    np.testing.assert_array_equal(features.read_wav(path)[0], sound)
    write(path, np.zeros(100), channels=2)
    with pytest.raises(ValueError, match="2 channels of 16 bit; give mono"):
        features.read_wav(path)
    with pytest.raises(OSError, match="nowhere"):
        features.read_wav(tmp_path / "nowhere.wav")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: features.log_mel(np.zeros(300, np.int16), RATE), "dtype int16.*divided by 32768"),
        (lambda: features.log_mel(np.zeros(0), RATE), r"shape \(0,\)"),
        (lambda: features.log_mel(np.zeros(255), RATE, pad=False), "a frame has 256 samples"),
        (lambda: features.log_mel(np.zeros(300), RATE, lowest=5000.0), "lowest=5000.0"),
        (lambda: features.log_mel(np.zeros(300), 10), "rate=10"),
        (lambda: features.pixels(np.zeros(784)), r"shape \(784,\): give \(\*B, height, width\)"),
        (lambda: features.of({"features": SPEECH})(tone(500), 16000), "rate=16000.*trained on sound of 8000 Hz"),
        (lambda: features.of({}), "does not name its inputs"),
        (lambda: features.of({"features": {"kind": "mfcc"}}), "mfcc.*update asrnn_jax"),
        (lambda: features.of({"features": {"kind": ["log_mel"]}}), "update asrnn_jax"),
        (lambda: features.of({"features": SPEECH | {"power": 2}}), "power.*update asrnn_jax"),
        (lambda: features.of({"features": {"kind": "log_mel"}}), "update asrnn_jax"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
