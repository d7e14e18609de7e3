"""Flags whose value is one of a few names: a field's type `Literal` lists them, for --help and for the check."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from experiments.errors import unknown

T = TypeVar("T")


def from_arguments(kind: type[T], arguments: list[str], name: str, default: T | None = None) -> T:
    """The settings that the arguments of a command give, an instance of the dataclass `kind`.

    Args:
      kind: a dataclass whose fields are the flags.
      arguments: what follows the name of the command.
      name: of the command.
      default: what holds where no flag is given. None: the defaults of `kind`.

    Raises:
      UsageError: what the dataclass refuses.
      SystemExit: arguments that cannot be read; what is wrong is printed. Also after --help.
    """
    options: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(kind, args=arguments, prog=f"python -m experiments {name}", registry=_REGISTRY, **options)


def check_choices(settings: Any) -> None:
    """Checks every field of a dataclass whose type is a `Literal`, or a tuple of one.

    Raises:
      UsageError: a value that is none of the choices, with near matches.
    """
    for name, choices in _choices(type(settings)).items():
        value = getattr(settings, name)
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if one not in choices:
                raise unknown(f"--{name.replace('_', '-')}", one, choices)


@cache
def _choices(kind: type) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, hint in get_type_hints(kind).items():
        literal = get_args(hint)[0] if get_origin(hint) is tuple else hint
        if get_origin(literal) is Literal:
            found[name] = get_args(literal)
    return found


_REGISTRY = tyro.constructors.ConstructorRegistry()


@_REGISTRY.primitive_rule
def _any_word(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Literals take every word here: `check_choices` has the better message for a wrong one."""
    if get_origin(info.type) is not Literal:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(get_args(info.type))}}}",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [value],
    )
