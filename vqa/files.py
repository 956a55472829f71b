"""Files written whole or not at all, hashes, and where downloads lie."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20

VIDEO_SUFFIXES = frozenset(
    [".mp4", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg", ".m4v", ".ts", ".y4m", ".flv", ".wmv", ".3gp", ".ogv"]
)
"""What is taken for a video when a folder is searched, in lower case."""


def without_video_suffix(name: str) -> str:
    """Return a video's name without its suffix; one that is no video's stays: `clip.v2` and `clip.v2.mp4` are alike."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in VIDEO_SUFFIXES else name


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; on success it replaces `target`, on any error it is gone.

        fill temporary file -> fsync -> rename over target -> fsync folder

    A reader sees the old file or the new one, never a part; so does the disk after a power loss.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        settle(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def settle(temporary: Path, target: Path) -> None:
    """Bring a filled temporary file to the disk under its final name in the same folder."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name != "posix":
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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


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
