"""Local copies of remote files, for what reads local files alone; they are gone with the process, whatever ends it.

    TMPDIR/vqa-copies-.../lock     locked for as long as the process lives
                          1, 2     copies

A killed process leaves its folder. The next one on that machine that makes copies finds the lock free and removes it.
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

from vqa.errors import StorageError, VideoError
from vqa.files import lock_file, sha256_of
from vqa.urls import Place

if TYPE_CHECKING:
    from vqa.remote import RemotePath

_PREFIX = "vqa-copies-"
_LOCK = "lock"
_KEPT_BYTES = 1 << 30
"""Of files that were fetched for their hash and are kept, for they are likely decoded next."""


class _Copies:
    """The copies of this process."""

    def __init__(self) -> None:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        lock_file(self._descriptor, wait=True)
        self._names = itertools.count(1)
        self._kept: dict[str, tuple[Path, int]] = {}
        """Copies and their bytes by SHA-256, the oldest first."""
        self._kept_bytes = 0
        self._lock = threading.Lock()
        atexit.register(self.remove)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

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
        if not _made or not _made[0].folder.is_dir():  # cleaners of temporary folders may have been there
            _made[:] = [_Copies()]
        return _made[0]


def _sweep() -> None:
    """Remove the folders of dead processes."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
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
        VideoError: it has other bytes.
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
        raise VideoError("the file changed after it was read; run again when it is written to its end")
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
