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
    """A checkpoint is not what was saved; the message names step and leaf."""


class DivergedError(Exception):
    """A loss stopped being finite; the message names quantity and step."""


class StoppedError(Exception):
    """Something from outside ended a run; the message says what, and up to where the run is saved."""


def disk_full(e: BaseException) -> str | None:
    """What a full disk or quota is called, if an error says so: libraries put their own errors around it."""
    names = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
    return next((name for name in names if name in str(e)), None)


def system_error(e: BaseException) -> OSError | MemoryError | None:
    """What the system has to say of itself in an error, and not of the file: too many open files, no memory, a disk
    that cannot be read, no permission. Libraries put their own errors around it, some only its words."""
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
