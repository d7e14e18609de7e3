"""Errors a user can mend. The command line prints them as one line and exits with code 2."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

SYSTEM = (
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES, errno.EPERM, errno.EAGAIN, errno.EINTR),
    *(errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ENOLCK, errno.ENOSPC, errno.EDQUOT, errno.EROFS),
)


class UsageError(Exception):
    """What was asked for cannot be done; the message names the argument, its value and the remedy."""


class DamagedError(UsageError):
    """A checkpoint differs from what was saved; the message names the step and the array."""


class DivergedError(Exception):
    """A loss or a gradient is no longer finite; the message names the quantity and the step."""


class StoppedError(Exception):
    """A run was ended from outside; the message says by what, and up to which step the run is saved."""


def disk_full(e: BaseException) -> str | None:
    """The system's words for a full disk or quota, if an error has them. Libraries put their own errors around it."""
    names = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
    return next((name for name in names if name in str(e)), None)


def system_error(e: BaseException) -> OSError | MemoryError | None:
    """The error of the system behind another error, if there is one: too many open files, no memory, a disk that cannot
    be read, no permission. It says nothing about the file. Libraries wrap such errors, and some keep only the words."""
    seen: BaseException | None = e
    while seen is not None:
        if isinstance(seen, MemoryError):
            return seen
        if isinstance(seen, OSError) and seen.errno in SYSTEM:
            return seen
        found = next((number for number in SYSTEM if os.strerror(number) in str(seen)), None)
        if found is not None or "RESOURCE_EXHAUSTED" in str(seen):
            return OSError(found or errno.ENOMEM, str(seen).split("\n")[0][:200])
        seen = seen.__cause__ or seen.__context__
    return None


def unknown(what: str, value: str, choices: Iterable[str]) -> UsageError:
    """An error for a name that is none of `choices`, with near matches."""
    choices = list(choices)
    near = difflib.get_close_matches(value, choices, n=3, cutoff=0.4)
    hint = f"perhaps you meant {' or '.join(near)}; " if near else ""
    return UsageError(f"{what} {value!r} is unknown: {hint}choose one of {', '.join(choices)}.")
