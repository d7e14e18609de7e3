"""What networks are trained on: sound, images, symbols and text as arrays of numbers over time.

A trained network's card names its features with all their settings, and `of` makes the function that computes them:

    >>> import numpy as np
    >>> from asrnn_jax import features, pretrained
    >>> model, params, card = pretrained.load("keyword-asrnn")
    >>> xs = features.of(card)(np.zeros(4000, "float32"), 8000)  # or *features.read_wav("seven.wav")
    >>> xs.shape[-1] == model.inputs
    True

For a network of your own, call them by name: `log_mel` for sound, `pixels` for images, `one_hot` for symbols,
`characters` for text.
"""

from __future__ import annotations

import inspect
import os
import wave
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

__all__ = ["PAPERS_PERMUTATION", "characters", "log_mel", "mel_filters", "of", "one_hot", "pixels", "read_wav"]

PAPERS_PERMUTATION = 92916
"""The seed of the order of pixels in permuted MNIST, of the asRNN paper and of those it compares with."""


def of(card: Mapping[str, Any]) -> Callable[..., jax.Array]:
    """The function that makes the inputs of a trained network.

    Args:
      card: what `asrnn_jax.pretrained.load` returns with the network. ``card["features"]`` has the name of a function
        of this module as its "kind", and the settings that the network was trained with.

    Returns:
      A function of what is not on the card: ``(sound, rate)`` for log_mel, which raises ValueError for another rate
      than that of training, ``(images)`` for pixels, ``(symbols)`` for one_hot, ``(text)`` for characters. It gives
      ``(*B, T, I)``.

    Raises:
      ValueError: a card without features, or with some that this version does not know.
    """
    entry = card.get("features")
    if not isinstance(entry, Mapping):
        raise ValueError(f"card['features'] is {entry!r}: this network does not name its inputs; ask its author.")
    settings = dict(entry)
    make = _KINDS.get(str(settings.pop("kind", None)))
    known = inspect.signature(make).parameters.values() if make else ()
    if make is None or settings.keys() != {p.name for p in known if p.kind == p.KEYWORD_ONLY}:
        raise ValueError(f"card['features'] is {dict(entry)}, which this version does not know: update asrnn_jax.")
    return partial(make, **settings)


def read_wav(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """Samples ``(N,)`` in [-1, 1), float32, and the sampling rate of a mono WAV file of 16 bit.

    Raises:
      ValueError: another kind of file, or a damaged one.
      OSError: it cannot be read.
    """
    most = os.stat(path).st_size  # a damaged header may announce any number
    try:
        with wave.open(os.fspath(path), "rb") as file:
            if file.getnchannels() != 1 or file.getsampwidth() != 2:
                raise ValueError(
                    f"{path}: {file.getnchannels()} channels of {8 * file.getsampwidth()} bit; give mono 16 bit."
                )
            rate, data = file.getframerate(), file.readframes(min(file.getnframes(), most))
    except (wave.Error, EOFError, RuntimeError) as e:
        raise ValueError(f"{path} is no readable WAV file ({e or type(e).__name__}).") from e
    if rate < 1000 or len(data) < 2:
        raise ValueError(f"{path}: {len(data) // 2} samples at {rate} Hz is no recording.")
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768, rate


def log_mel(
    sound: ArrayLike,
    rate: int,
    *,
    bands: int = 40,
    frame: float = 0.032,
    hop: float = 0.016,
    lowest: float = 20.0,
    floor: float = 1e-6,
    pad: bool = True,
) -> jax.Array:
    """Log-mel features ``(*B, T, bands)`` of sound ``(*B, N)`` in [-1, 1): 0 for silence, about 6 at the loudest.

    ``log10(1 + mel / floor)``, where mel is the power spectrum of a frame under a Hann window, the power of a
    full-scale sine taken as 1, through `mel_filters`.

    Args:
      sound: of any dtype of real numbers; computed in it.
      rate: samples a second.
      bands: triangles, evenly spaced on the mel scale.
      frame, hop: seconds of a frame, and from the start of one to that of the next.
      lowest: Hz where the first triangle begins; the last ends at half the rate.
      floor: mel power below which sound counts as silence.
      pad: a frame begins at every hop within the sound, the last ones filled up with silence. False: only whole
        frames, for sound that goes on: begin the next piece one hop after the start of the last frame.

    Raises:
      ValueError: integers (divide 16 bit samples by 32768), sound too short for a frame, settings out of range.
    """
    x = jnp.asarray(sound)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"sound has dtype {x.dtype}: give numbers in [-1, 1), 16 bit samples divided by 32768.")
    size, step = round(frame * rate), round(hop * rate)
    if bands < 1 or size < 2 or step < 1 or not 0 <= lowest < rate / 2 or floor <= 0:
        given = f"rate={rate}, bands={bands}, frame={frame}, hop={hop}, lowest={lowest}, floor={floor}"
        raise ValueError(f"{given}: give at least 2 samples a frame, 1 a hop, 1 band, lowest < rate / 2, floor > 0.")
    if x.ndim < 1 or x.shape[-1] < (1 if pad else size):
        raise ValueError(f"sound has shape {x.shape}: a frame has {size} samples; give a longer one, (*B, N).")
    return _log_mel(x, rate, bands, size, step, lowest, floor, pad)


@partial(jax.jit, static_argnums=range(1, 8))
def _log_mel(x, rate, bands, size, step, lowest, floor, pad):
    starts = np.arange(0, x.shape[-1] if pad else x.shape[-1] - size + 1, step)
    if pad:
        x = jnp.concatenate([x, jnp.zeros((*x.shape[:-1], size), x.dtype)], axis=-1)
    frames = x[..., starts[:, None] + np.arange(size)]
    frames = frames * jnp.broadcast_to(jnp.asarray(np.hanning(size), frames.dtype), frames.shape)
    power = jnp.abs(jnp.fft.rfft(frames, axis=-1)) ** 2 / (0.25 * size) ** 2
    return jnp.log10(1 + power @ mel_filters(rate, size, bands, lowest) / floor)


def mel_filters(rate: int, frame: int, bands: int, lowest: float) -> np.ndarray:
    """``(frame // 2 + 1, bands)`` triangles from `lowest` Hz to half the rate; `frame` is in samples.

    They are evenly spaced on the mel scale ``2595 log10(1 + f / 700)`` (O'Shaughnessy 1987, Speech Communication).
    """

    def mel(f):
        return 2595 * np.log10(1 + f / 700)

    edges = 700 * (10 ** (np.linspace(mel(lowest), mel(rate / 2), bands + 2) / 2595) - 1)
    f = np.fft.rfftfreq(frame, 1 / rate)[:, None]
    rising, falling = (f - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - f) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def pixels(images: ArrayLike, *, rows: bool = False, permutation: int | None = None, scale: float = 255.0) -> jax.Array:
    """Images ``(*B, height, width)`` as float32 ``(*B, height * width, 1)``, or ``(*B, height, width)`` by rows.

    Args:
      images: numbers from 0 to `scale`. NumPy divides its own arrays, XLA others; the last bit may differ.
      rows: a step is a row, not a pixel.
      permutation: of the pixels, ``np.random.RandomState(permutation).permutation(height * width)``; in permuted MNIST
        `PAPERS_PERMUTATION`. None: as they are.
      scale: what becomes 1.

    Raises:
      ValueError: images without two axes.
    """
    numbers = np if isinstance(images, np.ndarray) else jnp
    x = numbers.asarray(images)
    if x.ndim < 2:
        raise ValueError(f"images have shape {x.shape}: give (*B, height, width).")
    *batch, height, width = x.shape
    flat = x.reshape(*batch, height * width)
    if permutation is not None:
        flat = flat[..., np.random.RandomState(permutation).permutation(height * width)]
    return jnp.asarray((flat.astype(np.float32) / np.float32(scale)).reshape(*batch, -1, width if rows else 1))


def one_hot(symbols: ArrayLike, *, count: int) -> jax.Array:
    """Whole numbers ``(*B, T)`` from 0 to `count` - 1 as ``(*B, T, count)``, a 1 each.

    Raises:
      ValueError: a number outside; not inside `jax.jit`, where it becomes all 0.
    """
    if not isinstance(symbols, Tracer):
        found = np.asarray(symbols)
        if found.size and not 0 <= found.min() <= found.max() < count:
            raise ValueError(f"symbols range over [{found.min()}, {found.max()}], not 0..{count - 1}.")
    return jax.nn.one_hot(symbols, count)


def characters(text: str, *, alphabet: str) -> jax.Array:
    """Text of T characters as ``(T, len(alphabet) + 1)``, a 1 each; the last for any that is not in the alphabet."""
    number = {character: i for i, character in enumerate(alphabet)}
    numbers = np.array([number.get(character, len(alphabet)) for character in text], np.int32)
    return jax.nn.one_hot(numbers, len(alphabet) + 1)


def _sound(sound: ArrayLike, its_rate: int, *, rate: int, bands, frame, hop, lowest, floor) -> jax.Array:
    if its_rate != rate:
        raise ValueError(f"rate={its_rate}: this network was trained on sound of {rate} Hz; resample it to that.")
    return log_mel(sound, rate, bands=bands, frame=frame, hop=hop, lowest=lowest, floor=floor)


_KINDS = {"log_mel": _sound, "pixels": pixels, "one_hot": one_hot, "characters": characters}
