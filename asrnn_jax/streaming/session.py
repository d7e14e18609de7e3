"""A network that runs for ever: push chunks, get outputs, in bounded memory, with monitors and a fallback."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from asrnn_jax import saved
from asrnn_jax.cell import Carry, Cell, Params, Weights
from asrnn_jax.dtypes import cast, compute_dtype
from asrnn_jax.loop import where
from asrnn_jax.streaming import chunks, options, stored
from asrnn_jax.streaming.advance import State, advance, plain, prepare
from asrnn_jax.streaming.monitors import Event, Limits, Readings, Reference, Watch, vitals
from asrnn_jax.streaming.options import NonFinite
from asrnn_jax.streaming.policies import Policy, never
from asrnn_jax.typing import Array, Bool, Float, Given


class Session:
    """A trained model on one endless stream, or on a batch of them.

    Args:
      cell: the model, one that gives logits for the monitors of entropy to mean something.
      params: its params or prepared weights.
      batch: number of streams, or the shape of a batch of them; () for a single one.
      policy: when to reset, of `asrnn_jax.streaming.policies`; by default never.
      fallback: the policy that takes over for a stream while one of its monitors is tripped; None: none does.
      reference: statistics of the training streams; without them there are no monitors.
      limits: where monitors trip; None: the defaults of `Limits`.
      monitor_every: steps between readings, each of all steps since the last and averaged over about ten readings.
        A reading costs a few steps.
      non_finite: what to do with NaN and infinity: "raise" a ValueError and leave the session as it was; "hold" the
        last finite value of that input; or take the step as "missing": the state is held, and the output read from it.

    A session belongs to one thread at a time: `push` reads and writes its state without a lock. Several sessions of one
    cell can run in as many threads; for one session in several threads put a lock around its calls.

    Raises:
      ValueError: params of another cell, a bidirectional cell, a batch that is no shape, an unknown option.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import cells, streaming
      >>> model = cells.with_output(cells.gru(inputs=3, hidden=8), 10)
      >>> session = streaming.Session(model, model.init(jax.random.key(0)))
      >>> session.push(jnp.ones((20, 3))).shape, session.push(jnp.ones((1, 3))).shape, session.steps
      ((20, 10), (1, 10), 21)
    """

    def __init__(
        self,
        cell: Cell,
        params: Params | Weights,
        *,
        batch: int | np.integer | tuple[int, ...] = (),
        policy: Policy | None = None,
        fallback: Policy | None = None,
        reference: Reference | None = None,
        limits: Limits | None = None,
        monitor_every: int = 256,
        non_finite: NonFinite = "raise",
    ):
        options.check(cell, policy, fallback, reference, monitor_every, non_finite)
        batch = (int(batch),) if isinstance(batch, int | np.integer) else tuple(batch)
        self.cell, self.batch, self.limits, self.non_finite = cell, batch, limits or Limits(), non_finite
        self._weights = prepare(cell, params)
        dtype = compute_dtype(self._weights, jnp.zeros((), jnp.float32))
        self._weights, self._dtype = cast(self._weights, dtype), np.dtype(dtype)
        self._fallback = fallback
        self._policies = (policy or never(), fallback or policy or never())
        self._plain = self._program()
        self._watch = None if reference is None else Watch(reference, monitor_every, batch)
        self.steps = 0
        """Steps pushed so far."""
        self.events: deque[Event] = deque(maxlen=1000)
        """What happened, newest last."""
        self.on_event: Callable[[Event], None] | None = None
        """Called with each event as it happens."""
        self.readings: Readings | None = None
        """The monitors' last readings."""
        self._lengths = chunks.Lengths()
        self._quick = self._dtype in (np.float32, np.float64)
        self._held = np.zeros((*batch, cell.inputs), self._dtype)
        self._state = self._start()

    def _start(self) -> State:
        of = tuple(policy.init(self.batch) for policy in self._policies)
        zeros, no = jnp.zeros(self.batch, self._dtype), jnp.zeros(self.batch, bool)
        return State(self.cell.start(self._weights, self.batch, self._dtype), of, zeros + 1, zeros, no, no)

    @property
    def carry(self) -> Carry:
        """Where the network is now."""
        return self._state.carry

    def _program(self) -> Any:
        """That of a session that never resets; None: `advance`."""
        return plain(self.cell) if all(policy == never() for policy in self._policies) else None

    @property
    def policy(self) -> Policy:
        """When to reset; can be set, and then starts anew."""
        return self._policies[0]

    @policy.setter
    def policy(self, policy: Policy) -> None:
        options.check_policy("policy", policy)
        kept = policy.init(self.batch) if self._fallback is None else self._state.policies[1]
        self._policies = (policy, self._fallback or policy)
        self._plain = self._program()
        start = self._start()  # of a session that never resets, what policies look at is not kept up to date
        self._state = start._replace(
            carry=self._state.carry, policies=(start.policies[0], kept), tripped=self._state.tripped
        )

    def reset(self, streams: Given[ArrayLike, "*B"] | None = None) -> None:
        """Starts afresh: all streams, or those where ``streams (*B,)`` is True.

        Raises:
          ValueError: streams of another shape.
        """
        which = np.ones(self.batch, bool) if streams is None else np.asarray(streams, bool)
        if which.shape != self.batch:
            raise ValueError(f"streams has shape {which.shape}: pass one bool a stream, {self.batch}.")
        self._state = where(jnp.asarray(which), self._start(), self._state)._replace(tripped=self._state.tripped)

    def push(
        self, chunk: Given[ArrayLike, "*B T I"], *, boundary: Given[ArrayLike, "*B T"] | None = None
    ) -> Float[Array, "*B T O"]:
        """The outputs ``(*B, T, O)`` of a chunk ``(*B, T, I)`` of any number of steps.

        Pushing a stream in chunks of whatever sizes gives what one run over the whole would give.

        Args:
          chunk: the next steps of the stream.
          boundary: bool ``(*B, T)``, where samples begin; only the policy `oracle` looks at it.

        Raises:
          ValueError: another width, batch or number of axes; non-finite samples where the session says "raise". The
            session is then as it was.
          TypeError: samples that are not floating point.
        """
        xs = chunks.as_samples(chunk, self._dtype)
        flags = None if boundary is None else np.asarray(boundary, bool)
        chunks.check(xs, flags, self.batch, self.cell.inputs)
        there = None
        host = np.asarray(xs)
        surely = self._quick and math.isfinite(np.vdot(host, host))  # to look at each value takes as long as a step
        if not surely and not np.isfinite(host).all():
            xs, there = self._mend(host)
        if self.non_finite == "hold" and xs.shape[-2]:
            self._held = np.array(np.asarray(xs)[..., -1, :])  # a copy: callers reuse their buffers
        if xs.shape[-2] in self._lengths.compiled:
            return self._advance(xs, there, flags)
        outputs, at, host = [], 0, np.asarray(xs)
        for steps in self._lengths.pieces(xs.shape[-2]):
            piece = xs if steps == xs.shape[-2] else host[..., at : at + steps, :]
            outputs.append(self._advance(piece, chunks.cut(there, at, steps), chunks.cut(flags, at, steps)))
            at += steps
        if not outputs:
            return jnp.zeros((*self.batch, 0, self.cell.outputs), self._dtype)
        if len(outputs) == 1:
            return outputs[0]
        # With jnp.concatenate or asarray JAX would compile, and keep, a program for each length.
        return jax.device_put(np.concatenate(jax.device_get(outputs), axis=-2))

    def _advance(self, xs: Any, there: Any, boundary: Any) -> Float[Array, "*B T O"]:
        if self._plain is not None and there is None:
            carry, ys = self._plain(self._weights, self._state.carry, xs)
            self._state = State._make((carry, *self._state[1:]))  # quicker than _replace
        else:
            self._state, ys = advance(self.cell, self._policies, self._weights, self._state, xs, there, boundary)
        steps = xs.shape[-2]
        self.steps += steps
        if self._watch is not None and self._watch.add(xs, ys, there):
            self._read(self._watch, xs[..., -1, :])
        return ys

    def _mend(
        self, xs: Float[np.ndarray, "*B T I"]
    ) -> tuple[Float[np.ndarray, "*B T I"], Bool[np.ndarray, "*B T"] | None]:
        good = np.asarray(np.isfinite(xs))
        bad_steps = np.asarray(~good.all(-1))
        streams = np.flatnonzero(bad_steps.reshape(-1, xs.shape[-2]).any(-1))
        if self.non_finite == "raise":
            at = tuple(int(i) for i in np.argwhere(~good)[0])
            raise ValueError(
                f"chunk{list(at)} is {xs[at]}: mend the samples, or make the session with non_finite='hold' or "
                "'missing'."
            )
        self._say(Event(self.steps, "non_finite", "", tuple(map(int, streams)), float(bad_steps.sum())))
        if self.non_finite == "missing":
            return np.where(bad_steps[..., None], 0, xs), ~bad_steps
        return chunks.filled(xs, good, self._held), None

    def _read(self, watch: Watch, x: Any) -> None:
        norm, saturated = jax.device_get(vitals(self.cell, self._weights, self._state.carry, x))
        self.readings, events = watch.read(norm, saturated, self.limits, self.steps)
        for event in events:
            self._say(event)
        self._state = self._state._replace(tripped=jnp.asarray(watch.state.tripped.any(0)))

    def _say(self, event: Event) -> None:
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def __getstate__(self) -> dict[str, Any]:
        """For pickling, the model included: programs are compiled again, and who listens has to listen anew."""
        return {**self.__dict__, "_plain": None, "on_event": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._plain = self._program()

    # ---------------------------------------------------------------------------------------- on disk

    def save(self, to: str | os.PathLike | saved.Writable) -> None:
        """Writes where the session is to a file; the model is not in it. The format is safetensors.

        Args:
          to: a path, whose file is written whole or not at all, or a file object that is open for writing bytes.

        Raises:
          OSError: it cannot be written; a file at the path is then as it was.
        """
        stored.write(to, *self._kept(), self.steps)

    def load(self, source: str | os.PathLike | saved.Readable) -> None:
        """Goes on where a session of the same model, batch and policies was saved.

        Args:
          source: a path, or a file object that is open for reading bytes.

        Raises:
          ValueError: a file of another model, batch or policy, or one that is damaged. The session is then as it was.
          OSError: it cannot be read.
        """
        where, self.steps = stored.read(source, *self._kept(), self._dtype)
        self._state, self._held = jax.tree.map(jnp.asarray, where["state"]), where["held"]
        if self._watch is not None:
            self._watch.state = where["watched"]

    def _kept(self) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
        """Where it is, what a session that goes on from there must be, and what the model answers."""
        watched = None if self._watch is None else self._watch.state
        about = {
            "format": 3,
            "cell": self.cell.name,
            "batch": list(map(int, self.batch)),
            "policies": [policy.name for policy in self._policies],
            "monitors": self._watch is not None,
        }
        where = {"state": self._state, "watched": watched, "held": self._held}
        return where, about, stored.answers(self.cell, self._weights, self._dtype)
