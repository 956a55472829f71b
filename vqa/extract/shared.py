"""Memory that processes share, given back when the last of them is gone, whoever ended them and how."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Protocol

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
"""Where Linux keeps shared memory; other systems keep it elsewhere."""
_NO_SUCH_FILES = (errno.EOPNOTSUPP, errno.EISDIR)
"""What a system says that has no files without names."""


class Shared(Protocol):
    """Memory that other processes find by its name."""

    @property
    def name(self) -> str:
        """By which another process attaches it; no other memory ever has it."""

    @property
    def buffer(self) -> memoryview:
        """Its bytes; it may be longer than asked for."""

    def close(self) -> None:
        """Give it back; a tensor that still looks at it keeps it mapped until it goes."""


def share(size: int) -> Shared:
    """Make shared memory, zeroed, of so many bytes.

    Raises:
        OSError: the system has no room for it.
    """
    if SHARED_MEMORY.is_dir():
        try:
            return _Nameless.made(size)
        except OSError as error:
            if error.errno not in _NO_SUCH_FILES:
                raise
    return _Named(SharedMemory(create=True, size=size), owned=True)


def attach(name: str) -> Shared:
    """Return the shared memory that another process has made.

    Raises:
        OSError: its owner is gone, or is another user's.
    """
    _, is_nameless, file = name.partition("@")
    return _Nameless.found(name, file) if is_nameless else _Named(SharedMemory(name), owned=False)


class _Nameless:
    """A file that was never in a folder (`O_TMPFILE`), reached through its owner's descriptor.

    The system frees it with the last process that has it open: memory with a name outlives a process group that is
    killed as a whole, with what was to clean up after it, as a cluster or a memory limit does.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, 0)
        self.buffer = memoryview(self._map)

    @classmethod
    def made(cls, size: int) -> _Nameless:
        descriptor = os.open(SHARED_MEMORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Take the pages now: a worker that finds none left later is killed (SIGBUS).
            os.posix_fallocate(descriptor, 0, size)
            # Descriptors are used again, tokens are not.
            return cls(f"{secrets.token_hex(8)}@/proc/{os.getpid()}/fd/{descriptor}", descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def found(cls, name: str, file: str) -> _Nameless:
        return cls(name, os.open(file, os.O_RDWR | os.O_CLOEXEC))

    def close(self) -> None:
        with contextlib.suppress(BufferError):
            self.buffer.release()
            self._map.close()
        os.close(self._descriptor)


class _Named:
    """What Python offers where there are no such files: it stays if all that know of it are killed at once."""

    def __init__(self, memory: SharedMemory, *, owned: bool) -> None:
        self._memory, self._owned = memory, owned

    @property
    def name(self) -> str:
        return self._memory.name

    @property
    def buffer(self) -> memoryview:
        assert self._memory.buf is not None, "used after it was closed"
        return self._memory.buf

    def close(self) -> None:
        if self._owned:
            self._memory.unlink()
        with contextlib.suppress(BufferError):
            self._memory.close()
