"""The videos of a folder, a glob or a URL, and which of them a label names."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from vqa.errors import LabelsError
from vqa.files import VIDEO_SUFFIXES, composed
from vqa.urls import Place, is_url, place_of


def find_videos(videos: str) -> tuple[Place, list[Place]]:
    """Return the folder that ids are relative to, and the sorted paths of all videos in a folder or of a glob.

    Raises:
        LabelsError: there is none, or they can't be listed.
    """
    try:
        base, paths = _search_remote(videos) if is_url(videos) else _search(Path(videos).expanduser())
    except (ValueError, OSError, RuntimeError) as error:
        raise LabelsError(f"{videos}: the videos can't be listed ({error}); name a folder or a glob") from error
    visible = sorted((path for path in paths if not path.name.startswith(".")), key=lambda path: path.parts)
    if not visible:
        raise LabelsError(f"{videos}: no videos found; name a folder that holds some, or a glob like 'clips/*.mp4'")
    return base, visible


def _search(videos: Path) -> tuple[Place, list[Place]]:
    """Return the deepest folder that a path or glob names as it stands, and the files that fit."""
    base = next(folder for folder in (videos, *videos.parents) if folder.is_dir() or folder == folder.parent)
    if base == videos:
        return base, [path for path in _walk(base) if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos.is_file():
        return base, [videos]
    return base, [path for path in base.glob(str(videos.relative_to(base))) if not path.is_dir()]


def _search_remote(videos: str) -> tuple[Place, list[Place]]:
    """Do the same with a URL; nothing is asked of folders one by one."""
    whole = place_of(videos)
    if isinstance(whole, Path):
        return _search(whole)
    base = next(folder for folder in (whole, *whole.parents) if not glob.has_magic(str(folder)))
    if base != whole:
        return base, [path for path in base.glob(str(whole.relative_to(base))) if not path.is_dir()]
    if whole.is_file():
        return whole.parent, [whole]
    found = [path for path in whole.walk_files() if path.suffix.lower() in VIDEO_SUFFIXES]
    return base, [path for path in found if not _is_hidden(path.relative_to(base).parent)]


def _is_hidden(folder: PurePath) -> bool:
    return any(part.startswith(".") for part in folder.parts)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it, hidden folders left out.

    Each folder is entered once, so that links can't lead round for ever, and by its own name rather than by a link
    to it.
    """
    seen: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)
        status = current.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in sorted(os.scandir(current), key=lambda entry: entry.name):
            if not _is_folder(entry):
                yield Path(entry.path)
            elif not entry.name.startswith("."):
                (links if entry.is_symlink() else folders).append(Path(entry.path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; a link that leads round to itself is none: it fails as a video."""
    try:
        return entry.is_dir()
    except OSError:
        return False


class VideoIndex:
    """Finds a video by the end of its path, or by its whole path from the root.

    lsvq/batch1/725.mp4 -> 725.mp4, batch1/725.mp4, lsvq/batch1/725.mp4, and each without .mp4
    """

    def __init__(self, base: Place, paths: Iterable[Place]) -> None:
        self._paths = tuple(paths)
        self._whole: dict[str, list[Place]] = {}
        self._ends: dict[str, list[Place]] = {}
        folder = base.absolute().name
        for path in self._paths:
            for text in _texts(path.relative_to(str(base)).as_posix()):
                self._whole.setdefault(text, []).append(path)
                parts = (composed(folder), *PurePosixPath(text).parts)
                for start in range(len(parts)):
                    self._ends.setdefault("/".join(parts[start:]), []).append(path)

    def find(self, name: str) -> list[Place]:
        """Return the files a name fits: with their whole path if any does, else with the end of it.

        An absolute path or a URL names one file, and no other of that name elsewhere.
        """
        if is_url(name):
            return self._places.get(composed(name), [])
        if "\0" in name:
            return []
        if Path(name).is_absolute():
            found = self._places.get(composed(os.path.normpath(name)))
            return found or self._resolved.get(composed(os.path.realpath(name)), [])
        name = composed(PurePosixPath(name).as_posix())
        return self._whole.get(name) or self._ends.get(name, [])

    @functools.cached_property
    def _places(self) -> dict[str, list[Place]]:
        return self._by(lambda path: os.path.normpath(path.absolute()) if isinstance(path, Path) else str(path))

    @functools.cached_property
    def _resolved(self) -> dict[str, list[Place]]:
        """Where files lie when all links are followed."""
        return self._by(lambda path: os.path.realpath(path) if isinstance(path, Path) else str(path))

    def _by(self, place: Callable[[Place], str]) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for path in self._paths:
            for text in _texts(place(path)):
                found.setdefault(text, []).append(path)
        return found


def _texts(path: str) -> list[str]:
    """Return a path with its suffix and without, in one Unicode form; once, if it has none."""
    name = composed(path)
    return list(dict.fromkeys([name, str(PurePosixPath(name).with_suffix("")) if not is_url(name) else name]))
