"""The tasks that networks are trained on, one family a file."""

from __future__ import annotations

from experiments.config import Adding, Config, CopyMemory, Pixels, Stream, Text
from experiments.tasks.pixels import pixels_task
from experiments.tasks.stream import stream_task
from experiments.tasks.synthetic import adding_task, copy_memory_task
from experiments.tasks.task import Task
from experiments.tasks.text import text_task


def make_task(config: Config) -> Task:
    """The task of a config.

    Raises:
      UsageError: data that is missing or damaged.
    """
    if isinstance(config, CopyMemory):
        return copy_memory_task(config)
    if isinstance(config, Adding):
        return adding_task(config)
    if isinstance(config, Pixels):
        return pixels_task(config)
    if isinstance(config, Text):
        return text_task(config)
    if isinstance(config, Stream):
        return stream_task(config)
    raise TypeError(f"no task for {type(config).__name__}")
