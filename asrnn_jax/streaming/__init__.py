"""Recurrent networks on streams that never end: streams to train on, reset policies, the session, its monitors."""

from asrnn_jax.streaming.monitors import Limits, Readings, Reference, reference
from asrnn_jax.streaming.policies import (
    Policy,
    Signals,
    never,
    on_energy,
    on_entropy,
    on_saturation,
    oracle,
    periodic,
)
from asrnn_jax.streaming.session import Event, Session
from asrnn_jax.streaming.streams import BACKGROUND, DISTRACTOR, NOISES, Gaps, Stream, Window, windows

__all__ = [
    "BACKGROUND",
    "DISTRACTOR",
    "NOISES",
    "Event",
    "Gaps",
    "Limits",
    "Policy",
    "Readings",
    "Reference",
    "Session",
    "Signals",
    "Stream",
    "Window",
    "never",
    "on_energy",
    "on_entropy",
    "on_saturation",
    "oracle",
    "periodic",
    "reference",
    "windows",
]
