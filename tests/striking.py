"""Harm done at one chosen operation on the disk: the process is killed or stopped there, or the disk refuses."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from disk import Operation, Perform

CHANGES = ("create", "truncate", "write", "sync", "rename", "mkdir", "remove")
_NEEDS_ROOM = ("create", "write", "mkdir", "rename")


@dataclass(eq=False)
class Strike:
    """What to do at one operation; all others are made as they are."""

    number: int
    """Which one, from 1 on, of those of these kinds."""
    how: str
    """A key of `HARM`."""
    kinds: tuple[str, ...] = CHANGES
    where: str = ""
    """Part of the paths that count; and outside which there is no harm."""
    seen: int = 0
    struck: list[Operation] = field(default_factory=list)
    """The operation, when it was met."""

    def __call__(self, operation: Operation, perform: Perform) -> Any:
        """Handle one operation of a `Disk`."""
        if self.where not in operation.path:
            return perform()
        self.seen += operation.kind in self.kinds
        if not self.struck and self.seen == self.number:
            self.struck.append(operation)
            return HARM[self.how](operation, perform)
        if self.struck and self._still_harmed(operation):
            raise _refusal(self.how)
        return perform()

    def _still_harmed(self, operation: Operation) -> bool:
        """Return whether a later operation fails too: a full disk stays full, a file that can't be written stays so."""
        if self.how in ("full", "short"):
            return operation.kind in _NEEDS_ROOM
        return self.how in ("error", "half") and operation.path == self.struck[0].path and operation.kind != "remove"


def _refusal(how: str) -> OSError:
    number = errno.ENOSPC if how in ("full", "short") else errno.EIO
    return OSError(number, os.strerror(number))


def _half(operation: Operation, perform: Perform) -> Any:
    """Make half of a write, and nothing of anything else."""
    return perform(len(operation.content) // 2) if operation.kind == "write" else None


def _kill(operation: Operation, perform: Perform) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_midway(operation: Operation, perform: Perform) -> Any:
    _half(operation, perform)
    _kill(operation, perform)


def _stop(operation: Operation, perform: Perform) -> Any:
    """Sleep until someone wakes this process, in the middle of a write."""
    written = _half(operation, perform)
    os.kill(os.getpid(), signal.SIGSTOP)
    return written if operation.kind == "write" else perform()


def _refuse(how: str) -> Callable[[Operation, Perform], Any]:
    def refuse(operation: Operation, perform: Perform) -> Any:
        if how == "half":
            _half(operation, perform)
        raise _refusal(how)

    return refuse


def _short(operation: Operation, perform: Perform) -> Any:
    """Write half and say so, as a disk does that becomes full; the next write would be refused."""
    return _half(operation, perform) if operation.kind == "write" else perform()


HARM: Mapping[str, Callable[[Operation, Perform], Any]] = MappingProxyType(
    {
        "kill": _kill,
        "kill midway": _kill_midway,
        "stop": _stop,
        "error": _refuse("error"),
        "half": _refuse("half"),
        "full": _refuse("full"),
        "short": _short,
    }
)
