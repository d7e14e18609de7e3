"""Character text: predict the next character, with a state that is carried from window to window."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import asrnn_jax
from asrnn_jax.cell import Cell
from experiments.config import Text
from experiments.data import inside
from experiments.errors import UsageError
from experiments.tasks.task import Task, afresh, cross_entropy

MAX_BYTES = 1 << 30  # no text is larger
PIECE = 500  # steps that evaluation takes at once


class Corpus(NamedTuple):
    """Texts as numbers of characters; what training text does not have is the number after the last."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    characters: tuple[str, ...]


def load_text(data_dir: str | None) -> Corpus:
    """Loads ``*train*.txt``, ``*valid*.txt`` and ``*test*.txt`` of a folder, or of its subfolder text if it has one.

    Files with ".char." in their names are Penn Treebank's: characters separated by spaces, "_" for a space.

    Raises:
      UsageError: no such folder, none or several such files, one that is empty or no UTF-8 text.
    """
    if data_dir is None or not Path(data_dir).expanduser().is_dir():
        raise UsageError(f"--data-dir {data_dir}: give the folder with *train*.txt, *valid*.txt and *test*.txt.")
    folder = inside(data_dir, "text")
    train, valid, test = (_read(folder, part) for part in ("train", "valid", "test"))
    characters = tuple(sorted(set(train)))
    number = {character: i for i, character in enumerate(characters)}

    def numbers(text: list[str]) -> np.ndarray:
        return np.array([number.get(character, len(characters)) for character in text], np.int32)

    return Corpus(numbers(train), numbers(valid), numbers(test), characters)


def _read(folder: Path, part: str) -> list[str]:
    word = re.compile(rf"(?<![a-z]){part}", re.IGNORECASE)  # latest.txt is no test
    found = sorted(path for path in folder.glob("*.txt") if word.search(path.name))
    separated = [path for path in found if ".char." in path.name]
    found = separated or found
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(f"--data-dir {folder}: one file *{part}*.txt is needed, there is {names}.")
    path = found[0]
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES >> 30} GiB: cut it.")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise UsageError(f"{path} is no UTF-8 text ({e}): convert it.") from e
    except OSError as e:
        raise UsageError(f"{path} cannot be read ({e}).") from e
    if not separated:
        characters = list(text)
    else:
        characters = [" " if c == "_" else c for line in text.splitlines() for c in (*line.split(), "\n")]
    if len(characters) < 2:
        raise UsageError(f"{path} has {len(characters)} characters: give at least 2.")
    return characters


def text_task(config: Text) -> Task:
    """Windows of B contiguous parts of the training text; bits per character of whole validation and test texts."""
    corpus = load_text(config.data_dir)
    size, window, classes = config.training.batch, config.window, len(corpus.characters) + 1
    epoch = (len(corpus.train) - 1) // size // window
    if epoch < 1:
        raise UsageError(
            f"--batch {size} --window {window}: the training text has only {len(corpus.train):,} characters; give less."
        )
    streams = corpus.train[: epoch * window * size].reshape(size, epoch * window)
    following = corpus.train[1 : epoch * window * size + 1].reshape(size, epoch * window)

    def batch(step):
        here = slice(step % epoch * window, (step % epoch + 1) * window)
        begins = [np.full(size, step % epoch == 0)] if config.model.trained_start else []
        return streams[:, here], following[:, here], *begins

    def xs(batch):
        return jax.nn.one_hot(batch[0], classes)

    def loss(apply, params, batch, memory=(), control=()):
        _, labels, *begins = batch
        carry, logits = apply(params, xs(batch), carry=memory, **afresh(begins, window))
        ce = cross_entropy(logits, labels).mean(-1)
        return ce, {"bpc": ce / np.log(2)}, jax.lax.stop_gradient(carry)

    return Task(
        title=f"characters of {inside(config.data_dir or '', 'text').resolve().name}",
        inputs=classes,
        outputs=classes,
        length=window,
        steps=config.epochs * epoch,
        epoch=epoch,
        batch=batch,
        tests=lambda: iter([(batch(0), np.ones(size, np.float32))]),
        xs=xs,
        features={"kind": "characters", "alphabet": "".join(corpus.characters)},
        loss=loss,
        metric="bpc",
        better="min",
        baseline=("frequencies of characters", _entropy(corpus.test, corpus.train, classes)),
        memory=lambda cell, params: cell.start(cell.prepare(params), (size,), jnp.float32),
        evaluate=partial(_evaluate, {"test": corpus.test, "valid": corpus.valid}, config.eval_batch, classes),
    )


def _entropy(text: np.ndarray, train: np.ndarray, classes: int) -> float:
    """Bits per character of `text` if each is predicted by its frequency in the training text."""
    counts = np.bincount(train, minlength=classes) + 1
    return float(-np.log2(counts / counts.sum())[text].mean())


def _evaluate(texts: dict[str, np.ndarray], batch: int, classes: int, cell: Cell, params: Any) -> dict[str, float]:
    params = jax.tree.map(jnp.asarray, jax.device_get(params))  # on one device
    return {
        f"{part}_bpc": bits_per_character(cell, params, text, min(batch, len(text) - 1), classes)
        for part, text in texts.items()
    }


def bits_per_character(cell: Cell, params: Any, text: np.ndarray, batch: int, classes: int) -> float:
    """Mean bits of the characters of a text cut into `batch` parts, each read from a fresh state to its end."""
    length = (len(text) - 1) // batch
    here, following = (part[: batch * length].reshape(batch, length) for part in (text[:-1], text[1:]))
    weights = cell.prepare(params)
    carry, total = cell.start(weights, (batch,), jnp.float32), 0.0
    for start in range(0, length, PIECE):
        piece = slice(start, start + PIECE)
        carry, nats = _piece(cell, classes, weights, carry, here[:, piece], following[:, piece])
        total += float(nats)
    return total / (batch * length * np.log(2))


@partial(jax.jit, static_argnums=(0, 1))
def _piece(cell: Cell, classes: int, weights: Any, carry: Any, here: jax.Array, following: jax.Array):
    carry, logits = asrnn_jax.run(cell, weights, jax.nn.one_hot(here, classes), carry=carry)
    return carry, cross_entropy(logits, following).sum()
