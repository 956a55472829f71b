"""Memory that processes share, given back when the last of them is gone, whoever ended them and how."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator
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
    return _Nameless.found(name) if "@" in name else _Named(SharedMemory(name), owned=False)


@contextlib.contextmanager
def _closed_on_error(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


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
        with _closed_on_error(descriptor):
            # Take the pages now: a worker that finds none left later is killed (SIGBUS).
            os.posix_fallocate(descriptor, 0, size)
            return cls(f"{os.fstat(descriptor).st_ino}@/proc/{os.getpid()}/fd/{descriptor}", descriptor)

    @classmethod
    def found(cls, name: str) -> _Nameless:
        inode, _, file = name.partition("@")
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        with _closed_on_error(descriptor):
            # Descriptors are used again, for other memory too.
            if os.fstat(descriptor).st_ino != int(inode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            return cls(name, descriptor)

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
