"""Files written whole or not at all, hashes, and where downloads lie."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import sys
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa.urls import Place, is_url

if sys.platform != "win32":
    import fcntl

_CHUNK = 1 << 20
_TEMPORARY = ".tmp"
_TICK_NS = 50_000_000
"""Longer than a tick of any system's clock: two changes within one tick leave the same time."""
_COARSE_NS = 2_000_000_000
"""The same where a file system counts whole seconds, or two of them."""

VIDEO_SUFFIXES = frozenset(
    [".mp4", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg", ".m4v", ".ts", ".y4m", ".flv", ".wmv", ".3gp", ".ogv"]
)
"""What is taken for a video when a folder is searched, in lower case."""


def composed(name: str) -> str:
    """Return a name in the Unicode form by which names are compared: macOS writes an accent as a character of its own.

    Names that look alike are one name; files may still have both.
    """
    return unicodedata.normalize("NFC", name)


def look_alike(one: str, other: str) -> bool:
    """Return whether two names differ in their Unicode form alone, which nobody sees."""
    return one != other and composed(one) == composed(other)


def without_video_suffix(name: str) -> str:
    """Return a video's name without its suffix, in one Unicode form; `clip.v2` and `clip.v2.mp4` are alike."""
    name = composed(name)
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in VIDEO_SUFFIXES else name


@contextlib.contextmanager
def written_whole(target: Path, *, make_folder: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `target`; on success it replaces `target`, on any error it is gone.

        make temporary file, lock it -> fill it -> fsync -> rename over target -> fsync folder

    A reader sees the old file or the new one, never a part; so does the disk after a power loss. The lock is on the
    temporary file alone and goes with its process: by it `sweep_temporaries` tells what a dead one left behind.
    """
    if make_folder:
        make_folders(target.parent)
    with _locked_temporary(target) as temporary:
        try:
            yield temporary
            settle(temporary, target)
        finally:
            with contextlib.suppress(OSError):  # the error above is the one to tell
                temporary.unlink(missing_ok=True)


def put_whole(target: Place, content: bytes, *, make_folder: bool = True) -> None:
    """Write a file whole or not at all: by `written_whole`, or by one request where a remote file system takes it.

    Raises:
        OSError: it can't be written.
        StorageError: the remote file system can't be used.
    """
    if not isinstance(target, Path):
        target.write_bytes(content)
        return
    with written_whole(target, make_folder=make_folder) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def _locked_temporary(target: Path) -> Iterator[Path]:
    """Make an empty hidden file beside `target` and hold a lock on it; the lock follows it through a rename."""
    while True:
        temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{_TEMPORARY}")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            lock_file(descriptor, wait=True)
            if os.fstat(descriptor).st_nlink:  # else a sweeper came between
                yield temporary
                return
        finally:
            os.close(descriptor)


def lock_file(descriptor: int, *, wait: bool) -> bool:
    """Lock a file for this process, with `wait` as soon as it is free; return whether that can be done here."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def check_writable(target: Path) -> None:
    """Find out whether a file can be written, before anything is done for it.

    Raises:
        OSError: it can't: there is no such place, it is a folder, or that is not allowed.
    """
    make_folders(target.parent)
    if target.exists():
        require_regular(target)
    with _locked_temporary(target) as temporary:
        temporary.unlink()


def sweep_temporaries(folder: Place) -> int:
    """Remove the temporary files that dead writers left in a folder; those of live ones stay, on whatever machine.

    Where the file system has no locks nothing is removed; a remote one has no temporary files.

    Returns:
        How many were removed.
    """
    return sum(map(_swept, folder.glob(f".*{_TEMPORARY}"))) if isinstance(folder, Path) else 0


def _swept(temporary: Path) -> bool:
    try:
        descriptor = os.open(temporary, os.O_RDWR)
    except OSError:  # gone, or not ours to remove
        return False
    try:
        if not lock_file(descriptor, wait=False):
            return False
        temporary.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def make_folders(folder: Place) -> None:
    """Make a folder and those it lies in, and bring the names of all that are new to the disk.

    A remote folder is there with the first file in it.

    Raises:
        OSError: it can't be made; nor one whose name is what is left of a URL, where a local file was asked for.
    """
    if not isinstance(folder, Path):
        return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    if missing and is_url(f"{folder.parts[0]}//"):
        raise OSError(errno.EINVAL, "is a URL; only videos and cache can be one", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)


def settle(temporary: Path, target: Path) -> None:
    """Bring a filled temporary file to the disk under its final name in the same folder."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Place) -> None:
    """Flush a folder's entries to the disk, where there is one and the system can."""
    if os.name != "posix" or not isinstance(folder, Path):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_regular(path: Place) -> None:
    """Refuse what is no regular file before it is opened: a pipe would be waited for, for ever.

    Raises:
        OSError: it is none, or is not there.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "is a folder, a pipe or a device, not a file", str(path))


def refuse_link(path: Place) -> None:
    """Refuse a link where something of ours is to be written: in a cache from elsewhere it could lead anywhere.

    Raises:
        OSError: it is one.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def sha256_of(path: Place) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        OSError: it can't be read, or is no regular file.
    """
    require_regular(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def inode_and_change(status: Any) -> tuple[int, int]:
    """Return a file's inode and when it was changed last (ctime, in nanoseconds), each 0 where there is none.

    No program can set that time, as it can set the time of modification. Windows gives the time of creation by its
    name; remote file systems give neither.
    """
    changed_ns = 0 if sys.platform == "win32" else getattr(status, "st_ctime_ns", 0)
    return getattr(status, "st_ino", 0), changed_ns


def may_change_unseen(changed_ns: int) -> bool:
    """Return whether a file was changed so lately that one more change could leave the same time, as git asks, too.

    Waits for a tick of the clock to end. Where the file system counts seconds only, or a clock stands still, it does
    not wait, and the answer is yes.
    """
    if not changed_ns:
        return False
    if abs(time.time_ns() - changed_ns) < _TICK_NS:
        time.sleep(_TICK_NS / 1e9)
    margin_ns = _TICK_NS if changed_ns % 1_000_000_000 else _COARSE_NS
    return abs(time.time_ns() - changed_ns) < margin_ns


@dataclass(frozen=True)
class Downloads:
    """Where what is downloaded lies, and whether anything may be downloaded at all."""

    offline: bool = False
    folder: Path | None = None
    """In place of the user's cache folder; None for that."""


_downloads = Downloads()


def downloads() -> Downloads:
    """Return what holds at this moment, for the whole process."""
    return _downloads


@contextlib.contextmanager
def downloading(*, offline: bool = False, folder: Path | None = None) -> Iterator[None]:
    """Settle for the block, in all threads, whether and where to download; a block around this one has the last word.

    So a command line, applied first, wins over a workspace's settings, applied inside.
    """
    global _downloads
    before = _downloads
    _downloads = Downloads(before.offline or offline, before.folder or folder)
    try:
        yield
    finally:
        _downloads = before


def user_cache_dir() -> Path:
    """Return the folder for downloads: the one settled, else `$VQA_HOME`, `$XDG_CACHE_HOME/vqa` or `~/.cache/vqa`."""
    if _downloads.folder is not None:
        return _downloads.folder
    if home := os.environ.get("VQA_HOME"):
        return Path(home).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "vqa"
    return Path.home() / ".cache" / "vqa"
