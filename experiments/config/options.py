"""The options of a cell, on the command line and in JSON: ``--options map=expm dynamic=true kappa=30``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import tyro

from experiments.errors import UsageError

Option = bool | int | float | str

# Flags of their own in earlier versions, and fields of the model in the run folders of those.
FORMER = (
    *("map", "init", "dynamic", "rho", "saturation", "a", "b", "eps", "slope", "kappa"),
    *("activation", "forget_bias"),
)


def parsed(words: Iterable[str]) -> dict[str, Option]:
    """Options by name from ``NAME=VALUE``: true and false, whole numbers, numbers, else text.

    Raises:
      UsageError: a word that is no ``NAME=VALUE``.
    """
    return dict(map(_pair, words))


def _pair(word: str) -> tuple[str, Option]:
    name, equals, text = word.partition("=")
    if not (name and equals and text):
        raise UsageError(f"--options {word}: give NAME=VALUE, for example map=expm.")
    if text in ("true", "false"):
        return name, text == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return name, kind(text)
    return name, text


def words(options: Mapping[str, Option]) -> list[str]:
    """Inverse of `parsed`."""
    return [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in options.items()]


SPEC = tyro.constructors.PrimitiveConstructorSpec[Any](
    nargs="*",
    metavar="NAME=VALUE ...",
    instance_from_str=parsed,
    is_instance=lambda value: isinstance(value, dict),
    str_from_instance=words,
)
"""How the command line reads and shows options."""


def current(model: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON values of a model as they are written today.

    Earlier versions had a field for each of `FORMER`, where None was the cell's default, and a list of ``NAME=VALUE``.
    """
    others = {name: value for name, value in model.items() if name not in FORMER}
    former = {name: model[name] for name in FORMER if model.get(name) is not None}
    options = others.get("options", {})
    options = former | (options if isinstance(options, dict) else parsed(options))
    return others | {"options": options | _meant(model["cell"], options) if "kappa" in model else options}


def _meant(cell: str, options: dict[str, Any]) -> dict[str, Any]:
    """What options of run folders with `FORMER` meant where the same words mean something else today."""
    by_expm = options.get("map") == "expm" or cell in ("exprnn", "dtriv")
    by_entries = {"init": "exprnn"} if by_expm and options.get("init") == "cayley" else {}
    bounded = {"kappa": options.get("kappa", 10.0), "gain": 1.0} if options.get("saturation") == "bounded" else {}
    return by_entries | bounded


def refuse_former(arguments: list[str]) -> None:
    """Looks for flags that earlier versions had.

    Raises:
      UsageError: there are some; the message has what to write instead.
    """
    found: dict[str, str] = {}
    for argument, following in zip(arguments, [*arguments[1:], "VALUE"]):
        flag, equals, value = argument.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if flag.startswith("--") and name in FORMER:
            value = value if equals else "VALUE" if following.startswith("--") else following
            found[name] = value.lower() if value in ("True", "False") else value
    if found:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in found)
        instead = " ".join(f"{name}={value}" for name, value in found.items() if value != "None")
        write = f"write --options {instead}" if instead else "leave it out"
        raise UsageError(f"{flags}: options of a cell are given by --options now; {write}.")
