"""Memory that processes share, given back when the last of them is gone, whoever ended them and how."""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import os
import shutil
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Protocol

from vqa.rlimits import free_memory

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
"""Where Linux keeps shared memory that has names, and what containers often have little of; not all systems do."""
_REFUSED = (errno.EOPNOTSUPP, errno.EISDIR)
"""What a file system says that has no files without names."""


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


def room() -> tuple[int, str] | None:
    """Return how many bytes more can be shared at this moment, and where they are; None where the system does not say.

    What is shared is memory, wherever it lies: it counts for what the control group of a container may take.
    """
    told = [] if (free := free_memory()) is None else [(free, "the memory that is free here")]
    if needs_folder():
        free = shutil.disk_usage(SHARED_MEMORY).free
        told.append((free, f"the shared memory that the system allows, {SHARED_MEMORY}"))
    return min(told, default=None)


@functools.cache
def _has_files_in_memory() -> bool:
    """Return whether files can be made that lie in memory alone: on Linux, but for builds of Python that are old."""
    try:
        os.close(_in_memory())
    except (AttributeError, OSError):
        return False
    return True


def needs_folder() -> bool:
    """Return whether shared memory takes room in /dev/shm."""
    return not _has_files_in_memory() and SHARED_MEMORY.is_dir()


def share(size: int) -> Shared:
    """Make shared memory, zeroed, of so many bytes.

    Raises:
        OSError: the system has no room for it.
    """
    if (left := room()) is not None and left[0] < size:  # to take it all the same is answered by SIGKILL
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if _has_files_in_memory():
        return _Nameless.made(_in_memory(), size)
    if needs_folder():
        try:
            return _Nameless.made(os.open(SHARED_MEMORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), size)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
    return _Named(SharedMemory(create=True, size=size), owned=True)


def _in_memory() -> int:
    return os.memfd_create("vqa", os.MFD_CLOEXEC)


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
    """A file without a name (`memfd_create`, else `O_TMPFILE`), reached through its owner's descriptor.

    The system frees it with the last process that has it open: memory with a name outlives a process group that is
    killed as a whole, with what was to clean up after it, as a cluster or a memory limit does.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, 0)
        self.buffer = memoryview(self._map)

    @classmethod
    def made(cls, descriptor: int, size: int) -> _Nameless:
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
