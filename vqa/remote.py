"""Paths of remote file systems, by fsspec: the part of pathlib's interface that is used here.

One request is one action: a file is put whole, or not at all, and a listing brings the sizes and times of all it names.
Errors are of two kinds. What a server says of one file is an OSError, as of a local file: it is missing, or forbidden.
All else (no server, no bucket, no credentials) holds for every file, and is a StorageError.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import IO, Any

import fsspec
from fsspec.caching import BlockCache
from upath.extensions import ProxyUPath

from vqa.answers import RemoteStatus, status_of, told
from vqa.errors import StorageError

_WHOLE_BYTES = 4 << 20
"""A file up to that size is read in one request; a larger one in blocks, where little of it is wanted."""
_BLOCK_BYTES = 1 << 20
_MOST_BLOCKS = 32
_VERSION = "?versionId="
"""s3fs takes that off a name and reads the current version, whatever it says."""


class RemotePath(ProxyUPath):
    """A file or folder; `remote_path` makes them. What a listing said of it, it keeps and does not ask again."""

    _info: Mapping[str, Any] | None = None
    _content: bytes | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return remote_path, (str(self),)

    @property
    def fs(self) -> Any:
        """The file system; one of its own in each process, for its connections do not survive a fork."""
        return fsspec.filesystem(self.protocol, **self.storage_options)

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what a folder holds, as it is now.

        Raises:
            FileNotFoundError: it holds nothing.
            OSError, StorageError: it can't be listed.
        """
        try:
            with told(str(self)):
                entries = self.fs.ls(self.path, detail=True)
        except FileNotFoundError:
            self._require_bucket()
            raise
        own = self.path.rstrip("/")
        yield from (self._with(info) for info in entries if info["name"].rstrip("/") != own)

    def walk_files(self) -> list[RemotePath]:
        """Return all files below a folder.

        Raises:
            OSError, StorageError: it can't be listed.
        """
        with told(str(self)):
            found = self.fs.find(self.path, detail=True)
        if not found:
            self._require_bucket()
        return [self._with(info) for info in found.values()]

    def glob(self, pattern: str) -> Iterator[RemotePath]:  # type: ignore[override]
        """Yield the files and folders that fit a pattern.

        Raises:
            OSError, StorageError: they can't be listed.
        """
        with told(str(self)):
            found = self.fs.glob(f"{self.path.rstrip('/')}/{pattern}", detail=True)
        yield from (self._with(info) for info in found.values())

    def _with(self, info: Mapping[str, Any]) -> RemotePath:
        """Return the path that a listing tells of."""
        path: RemotePath = self / info["name"].removeprefix(f"{self.path.rstrip('/')}/").rstrip("/")
        path._info = info
        return path

    def _require_bucket(self) -> None:
        """Tell a bucket that does not exist from an empty one."""
        with told(str(self)):
            is_there = not self.drive or self.fs.exists(self.drive)
        if not is_there:
            raise StorageError(f"{self}: there is no {self.drive}, or it is not yours; check its name and credentials")

    def _ask(self) -> Mapping[str, Any]:
        with told(str(self)), self._explained():
            return dict(self.fs.info(self.path))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Have S3 say why it refuses a HEAD, which it answers with a number alone, by a request for one byte."""
        try:
            yield
        except OSError as error:
            is_refused = isinstance(error, PermissionError) or error.errno == errno.EINVAL
            if is_refused and self.path.strip("/") != self.drive.strip("/"):
                self.fs.cat_file(self.path, start=0, end=1)
            raise

    def fresh(self) -> RemotePath:
        """Return the path without what is known of it."""
        return RemotePath._from_upath(self.__wrapped__)

    def stat(self, *, follow_symlinks: bool = True) -> RemoteStatus:  # type: ignore[override]
        """Return what a listing said of it, else what the server says now.

        Raises:
            OSError, StorageError: it is missing, or the server can't be asked.
        """
        if _VERSION in self.path:
            raise OSError(errno.EINVAL, f"a name with {_VERSION} can't be told from a version; rename it", str(self))
        info = self._ask() if self._info is None else self._info
        return status_of(info)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Ask whether it is there now.

        Raises:
            OSError, StorageError: the server can't be asked.
        """
        try:
            self._ask()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a folder; errors as of `exists`."""
        try:
            return stat.S_ISDIR(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file; errors as of `exists`."""
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def with_bytes(self) -> RemotePath:
        """Return the path with the file's bytes: reading it, however often, takes no request then."""
        path = self.fresh()
        path._content = self.read_bytes()
        path._info = self._info or {"type": "file", "size": len(path._content)}
        return path

    def is_symlink(self) -> bool:
        """Return False: no remote file system leads elsewhere."""
        return False

    def read_bytes(self) -> bytes:
        """Return a file's bytes, in one request where a listing told its size."""
        if self._content is not None:
            return self._content
        if self._info is not None:  # else its size is asked for first
            return self.read_range(0, int(self._info["size"]))
        with told(str(self)), self._explained():
            return bytes(self.fs.cat_file(self.path))

    def write_bytes(self, data: bytes) -> int:
        """Put a file, whole or not at all; one that is there is replaced."""
        with told(str(self)):
            self.fs.pipe_file(self.path, bytes(data))
        return len(data)

    def unlink(self, missing_ok: bool = False) -> None:  # noqa: FBT001 - pathlib's own
        """Remove a file."""
        with contextlib.suppress(*([FileNotFoundError] if missing_ok else [])), told(str(self)):
            self.fs.rm_file(self.path)

    def copy_to(self, target: RemotePath) -> None:
        """Copy a file within the remote file system."""
        with told(str(self)):
            self.fs.cp_file(self.path, target.path)

    def fetch(self, target: str, stopped: Callable[[], bool]) -> None:
        """Copy a file to a local one.

        Raises:
            InterruptedError: `stopped` said so.
            OSError, StorageError: it can't be read, or the local disk is full.
        """
        with told(str(self)):
            self.fs.get_file(self.path, target, callback=_Stop(stopped))

    def open(self, mode: str = "rb") -> IO[bytes]:  # type: ignore[override]
        """Open a file for reading; it is in memory then."""
        return self.open_random(self.stat().st_size)

    def open_random(self, wanted_bytes: int) -> IO[bytes]:
        """Open a file for reading here and there: whole where it is small or much of it is wanted, else in blocks."""
        size = self.stat().st_size
        if self._content is not None or size <= _WHOLE_BYTES or 2 * wanted_bytes >= size:
            return io.BytesIO(self.read_bytes())
        return io.BufferedReader(_Blocks(self, size), 1 << 12)

    def read_range(self, start: int, stop: int) -> bytes:
        """Return some of a file's bytes, in one request."""
        if start == stop:
            return b""
        with told(str(self)):
            return bytes(self.fs.cat_file(self.path, start=start, end=stop))

    def relative_to(self, other: object) -> PurePosixPath:  # type: ignore[override]
        """Return what leads from a folder to here."""
        return PurePosixPath(str(self).removeprefix(f"{str(other).rstrip('/')}/"))

    @property
    def parts(self) -> tuple[str, ...]:
        """Its bucket and the names of its folders, and its own."""
        return tuple(super().parts)


def remote_path(url: str) -> RemotePath:
    """Return the path of a URL; no request is made.

    Raises:
        StorageError: its protocol is not known, or the package that speaks it is not installed.
    """
    if url.endswith("://"):
        raise StorageError(f"{url}: names no bucket and no folder; write it like s3://bucket/folder")
    if _VERSION in url:
        raise StorageError(f"{url}: names one version of an object; leave out {_VERSION}..., or copy that version")
    try:
        # Other processes write meanwhile: a listing that is remembered would hide what they wrote.
        path = RemotePath(url.rstrip("/"), use_listings_cache=False)
        fsspec.get_filesystem_class(path.protocol)
    except ImportError as error:
        raise StorageError(f"{url}: {error}; run pip install 'vqa[s3]' for s3, else that package") from error
    except ValueError as error:
        raise StorageError(f"{url}: can't be used ({error}); write it like s3://bucket/folder") from error
    return path


class _Stop(fsspec.Callback):  # type: ignore[misc]
    """Ends a transfer that nobody wants any more."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._stopped = stopped

    def relative_update(self, inc: int = 1) -> None:
        """Take note of a part that was transferred."""
        if self._stopped():
            raise InterruptedError(errno.EINTR, "the transfer was stopped")


class _Blocks(io.RawIOBase):
    """A remote file read in blocks, the last ones of which are kept."""

    def __init__(self, path: RemotePath, size: int) -> None:
        self._cache = BlockCache(_BLOCK_BYTES, path.read_range, size, maxblocks=_MOST_BLOCKS)
        self._size, self._position = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        stop = min(self._position + len(buffer), self._size)
        found = self._cache._fetch(self._position, stop) if stop > self._position else b""
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)
