"""A fitted estimator on an endless stream of raw rows, in bounded memory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from asrnn_jax import saved
from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators.preparing.live import Live
from asrnn_jax.streaming import Session

SESSION, LIVE, MEMORY = "session", "live.", "memory."
Memory = dict[str, np.ndarray]
"""What answers need of the past beside the network's state."""


class LiveSession:
    """Raw rows in, answers out: the preparation of the training data and the network, one after the other, for ever.

    Made by ``model.session()``. It gives, step by step, what the model says of the whole stream
    (``predict_proba`` with one answer a step, or a forecaster's ``predict``), to 1e-5, in whatever chunks the rows
    come.

    Args:
      live: the preparation.
      cell, params: the network.
      read: ``(memory, outputs (*B, T, O), live, inputs (*B, T, I)) -> (memory, answers)``.
      memory: arrays that `read` begins with.
      batch: the shape of a batch of streams that get their rows at the same time.
    """

    def __init__(
        self,
        live: Live,
        cell: Cell,
        params: Params,
        read: Callable[[Memory, np.ndarray, Live, np.ndarray], tuple[Memory, Any]],
        *,
        memory: Memory | None = None,
        batch: int | tuple[int, ...] = (),
    ):
        self.live = live
        """What happens to the rows; `live.findings` says what was wrong with them."""
        self.network = Session(cell, params, batch=batch, non_finite="missing")
        """The session of the network."""
        self._read, self._memory = read, memory or {}

    @property
    def steps(self) -> int:
        """Steps so far."""
        return self.network.steps

    def push(self, rows: Any, times: Any = None, **options: Any) -> Any:
        """The answers to the next rows.

        Args:
          rows: one row or several: a mapping from names to values or lists, a table, or an array of all channels that
            the network takes, see `asrnn_jax.estimators.Live.push`.
          times: of arrays.
          options: of the network's `asrnn_jax.streaming.Session.push`, such as `boundary`.

        Raises:
          ValueError: other channels, or no times where they are needed. The session is then as it was.
        """
        xs, valid = self.live.push(rows, times)
        held = np.where(valid[..., None], xs, np.float32(np.nan))  # the state is, where all is missing
        outputs = self.network.push(held, **options)
        self._memory, answers = self._read(self._memory, np.asarray(outputs), self.live, xs)
        return answers

    def save(self, to: str | os.PathLike | saved.Writable) -> None:
        """Writes where the session is to a file; the model is not in it.

        Raises:
          OSError: it cannot be written.
        """
        file = io.BytesIO()
        self.network.save(file)
        arrays = {LIVE + name: array for name, array in self.live.state().items()}
        arrays |= {MEMORY + name: array for name, array in self._memory.items()}
        saved.write(to, {**arrays, SESSION: np.frombuffer(file.getvalue(), np.uint8)}, {"format": 1})

    def load(self, source: str | os.PathLike | saved.Readable) -> None:
        """Goes on where a session of the same model was saved, with the same bits.

        Raises:
          ValueError: a file of another model, or one that is damaged. The session is then as it was.
        """
        arrays, _ = saved.read(source, "saved session of an estimator")
        if SESSION not in arrays:
            raise ValueError(f"{source} is no saved session of an estimator.")
        memory = {key.removeprefix(MEMORY): array for key, array in arrays.items() if key.startswith(MEMORY)}
        if {key: array.shape for key, array in memory.items()} != {key: a.shape for key, a in self._memory.items()}:
            raise ValueError(f"{source} is of another model or batch.")
        before = self.live.state()
        self.live.restore({key.removeprefix(LIVE): a for key, a in arrays.items() if key.startswith(LIVE)})
        try:
            self.network.load(io.BytesIO(arrays[SESSION].tobytes()))
        except ValueError:
            self.live.restore(before)
            raise
        self._memory = memory
