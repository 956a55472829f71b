"""Temporary folders, and local copies of remote files in one; they are gone with the process, whatever ends it.

    TMPDIR/vqa-copies-.../lock     locked for as long as the process lives
                          1, 2     copies
    TMPDIR/vqa-mp-.../             in the same way, by which processes find each other
    TMPDIR/vqa-files-.../          in the same way, what is only needed for a moment

A killed process leaves its folders. The next one on that machine that makes any finds the locks free and removes them.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.errors import StorageError, TransientError
from vqa.files import lock_file, sha256_of
from vqa.urls import Place

if TYPE_CHECKING:
    from vqa.remote import RemotePath

_PREFIXES = {kind: f"vqa-{kind}-" for kind in ("copies", "mp", "files")}
_LOCK = "lock"
_KEPT_BYTES = 1 << 30
"""Of files that were fetched for their hash and are kept, for they are likely decoded next."""


class TemporaryFolder:
    """A folder of this process; whoever makes it sees to it that it is removed in the end.

    Args:
        kind: What for: `copies`, `mp` or `files`.
        parent: Where; None for the folder of temporary files.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, kind: str, parent: str | None = None) -> None:
        _sweep(Path(parent or tempfile.gettempdir()))
        self._owner, self._descriptor = os.getpid(), -1
        while self._descriptor < 0 or not os.fstat(self._descriptor).st_nlink:  # else a sweeper came between
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIXES[kind], dir=parent))
            self._descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            lock_file(self._descriptor, wait=True)

    @property
    def is_here(self) -> bool:
        """Whether it is still there, and is this process's: a fork of it takes one of its own."""
        return self._owner == os.getpid() and self.path.is_dir()

    def remove(self) -> None:
        """Remove it with all that is in it."""
        if self._owner == os.getpid() and self._descriptor >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._descriptor)
            self._descriptor = -1


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give an empty folder for as long as the block runs.

    Raises:
        OSError: it can't be made.
    """
    folder = TemporaryFolder("files")
    try:
        yield folder.path
    finally:
        folder.remove()


class _Copies:
    """The copies of this process."""

    def __init__(self) -> None:
        self._own = TemporaryFolder("copies")
        self.folder = self._own.path
        self._names = itertools.count(1)
        self._kept: dict[str, tuple[Path, int]] = {}
        """Copies and their bytes by SHA-256, the oldest first."""
        self._kept_bytes = 0
        self._lock = threading.Lock()
        atexit.register(self._own.remove)

    @property
    def is_here(self) -> bool:
        """Whether its folder is still there: cleaners of temporary folders may have been there."""
        return self._own.is_here

    def fetch(self, source: RemotePath, stopped: Callable[[], bool]) -> Path:
        with self._lock:
            target = self.folder / str(next(self._names))
        try:
            source.fetch(str(target), stopped)
        except BaseException as error:
            target.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageError(
                    f"{self.folder}: no room for a copy of {source} ({error.strerror}); free some, or set TMPDIR"
                ) from error
            raise
        return target

    def keep(self, sha256: str, copy: Path) -> None:
        """Keep a copy for whoever takes it; the oldest ones make room, for of many nobody may ever ask."""
        with self._lock:
            size = copy.stat().st_size
            if sha256 in self._kept or size > _KEPT_BYTES:
                copy.unlink()
                return
            while self._kept_bytes + size > _KEPT_BYTES:
                self._forget(next(iter(self._kept))).unlink(missing_ok=True)
            self._kept[sha256] = (copy, size)
            self._kept_bytes += size

    def _forget(self, sha256: str) -> Path:
        copy, size = self._kept.pop(sha256)
        self._kept_bytes -= size
        return copy

    def take(self, sha256: str) -> Path | None:
        """Return a kept copy, which is the caller's from then on."""
        with self._lock:
            return self._forget(sha256) if sha256 in self._kept else None


_made: list[_Copies] = []
_making = threading.Lock()


def _copies() -> _Copies:
    with _making:
        if not _made or not _made[0].is_here:
            try:
                _made[:] = [_Copies()]
            except OSError as error:
                raise StorageError(
                    f"copies of remote files have no place ({error.strerror or error}); set TMPDIR to another folder"
                ) from error
        return _made[0]


def _sweep(parent: Path) -> None:
    """Remove the folders of dead processes."""
    for folder in [found for prefix in _PREFIXES.values() for found in parent.glob(f"{prefix}*")]:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder / _LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                if lock_file(descriptor, wait=False):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def remote_sha256(source: RemotePath) -> str:
    """Return the SHA-256 of a remote file's bytes; they are kept for `fetch_copy`, as far as there is room.

    Raises:
        OSError: the file is missing or forbidden.
        StorageError: the server can't be reached, or there is no room for a copy.
    """
    copies = _copies()
    copy = copies.fetch(source, lambda: False)
    sha256 = sha256_of(copy)
    copies.keep(sha256, copy)
    return sha256


def fetch_copy(source: RemotePath, sha256: str = "", *, stopped: Callable[[], bool] = lambda: False) -> Path:
    """Return a local copy of a remote file, which the caller removes.

    Args:
        source: The file.
        sha256: Of the bytes that it has to have; empty for any.
        stopped: Asked now and then whether to give up.

    Raises:
        TransientError: it has other bytes.
        OSError, StorageError: as of `remote_sha256`.
        InterruptedError: it was given up.
    """
    copies = _copies()
    kept = copies.take(sha256)
    if kept is not None:
        return kept
    copy = copies.fetch(source, stopped)
    if sha256 and sha256_of(copy) != sha256:
        copy.unlink()
        raise TransientError("the file changed after it was read; run again when it is written to its end")
    return copy


@contextlib.contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """Give a file that is local: itself where it is, else a copy for as long as the block runs.

    Raises:
        OSError, StorageError: as of `remote_sha256`.
    """
    if isinstance(place, Path):
        yield place
        return
    copy = fetch_copy(place)
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)
