"""Records of functions that remember how they were made; equal arguments make equal records. They can be pickled."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import jax
import numpy as np
from jax.core import Tracer

Maker = TypeVar("Maker", bound=Callable)

KEPT = 32  # by each maker, of those made last; one that is forgotten and made again equals the one before


@dataclass(frozen=True, eq=False)
class Made:
    """What `remembered` makes; a static argument of jitted functions, so its functions are not compared one by one."""

    made_by: tuple[Callable, tuple[tuple[str, Any], ...]] | None = field(default=None, repr=False, kw_only=True)
    """The maker and its arguments; None for a record made or changed in another way, which equals only itself."""

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Made) and self.made_by is not None and self.made_by == other.made_by

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return object.__hash__(self) if self.made_by is None else hash(self.made_by)

    def __reduce__(self):
        if self.made_by is None:
            raise pickle.PicklingError(f"{self!r} was not made by a factory: pickle what it is made of, make it again.")
        maker, arguments = self.made_by
        return functools.partial(maker, **dict(arguments)), ()


def remembered(make: Maker, build: Callable[..., Made] | None = None) -> Maker:
    """`make` with results that are equal for equal arguments, and not made anew while they are in use.

    Args:
      make: a function at the top of its module. Its arguments may be numbers of any library; it gets plain ones.
      build: what is called in its place, by keywords; None: itself.
    """
    signature = inspect.signature(make)
    build = build or make

    @functools.lru_cache(KEPT, typed=True)
    def made(*values: Any) -> Made:
        arguments = dict(zip(signature.parameters, values))
        return dataclasses.replace(build(**arguments), made_by=(once, tuple(arguments.items())))

    @functools.wraps(make)
    def once(*args, **kwargs):
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        return made(*(_plain(name, value) for name, value in call.arguments.items()))

    return cast("Maker", once)


def _plain(name: str, value: Any) -> Any:
    """An argument as Python's own number, or as a dtype: what is equal must also be the same."""
    if name == "dtype":
        return np.dtype(value)
    if isinstance(value, Tracer):
        raise TypeError(f"{name}={value}: this decides what is compiled, pass a plain number.")
    if isinstance(value, np.generic | np.ndarray | jax.Array) and np.ndim(value) == 0:
        return value.item()
    return tuple(value) if isinstance(value, list) else value
