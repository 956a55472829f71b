"""What servers of remote files answer: what they say of a file, and errors, which each library raises as it likes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vqa.errors import StorageError

_OF_ONE_FILE = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
}
_CODES_OF_ONE_FILE = ("AccessDenied", "NoSuchKey", "NoSuchVersion", "InvalidObjectState", "403", "404")
"""What S3 says of one object; to HEAD it answers with a number alone. s3fs calls others forbidden or missing, too, that
hold for all: ExpiredToken, InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed, NoSuchBucket."""
_CHANGED = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")
"""What file systems call the time of the last change."""
_NANO = 1_000_000_000
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class RemoteStatus:
    """What is known of a file or folder."""

    st_mode: int
    st_size: int
    """In bytes."""
    st_mtime_ns: int
    """Last change. Object stores count whole seconds; the rest is then a number made of the object's ETag."""


def status_of(info: Mapping[str, Any]) -> RemoteStatus:
    """Return what fsspec says of a file or folder as its status."""
    if info["type"] == "directory":
        return RemoteStatus(stat.S_IFDIR, 0, 0)
    return RemoteStatus(stat.S_IFREG, int(info["size"]), _changed_ns(info))


def _changed_ns(info: Mapping[str, Any]) -> int:
    """Return when a file was changed last, as `RemoteStatus` has it; 0 where that is not known."""
    value = next((info[name] for name in _CHANGED if info.get(name) is not None), 0)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    seconds = value.timestamp() if isinstance(value, datetime) else float(value)
    tag = info.get("ETag")
    if tag is None:
        return round(seconds * 1e6) * 1000
    return int(seconds) * _NANO + zlib.crc32(str(tag).encode()) % _NANO


@contextlib.contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what fsspec and the libraries below it raise into an OSError of one file, or a StorageError."""
    try:
        yield
    except tuple(_OF_ONE_FILE) as error:
        if _s3_code(error) not in (None, *_CODES_OF_ONE_FILE):
            raise _unusable(url, error) from error
        code = next(code for kind, code in _OF_ONE_FILE.items() if isinstance(error, kind))
        said = str(error)
        raise OSError(code, said if " " in said else os.strerror(code), url) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EINTR):  # of the local disk, and our own
            raise
        raise _unusable(url, error) from error
    except Exception as error:  # each protocol's libraries have errors of their own
        raise _unusable(url, error) from error


def _s3_code(error: BaseException) -> str | None:
    """Return the code of S3's answer behind an error; None where there is no such answer."""
    cause: BaseException | None = error
    while cause is not None:
        answer = getattr(cause, "response", None)
        if isinstance(answer, Mapping):
            return str(answer.get("Error", {}).get("Code"))
        cause = cause.__cause__
    return None


def _unusable(url: str, error: Exception) -> StorageError:
    said = " ".join(str(getattr(error, "strerror", None) or error).split())[:_SHOWN_CHARACTERS] or type(error).__name__
    return StorageError(f"{url}: can't be reached ({said}); check its address, the credentials and the network")
