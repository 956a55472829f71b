"""Which videos are meant: files, folders, globs, and lists of them."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vqa.dataset import find_videos
from vqa.errors import LabelsError, VqaError
from vqa.urls import Place, place_of

LIST = "-"
"""Stands for a list of names, one on each line."""


def expand_videos(arguments: Sequence[str], lines: Iterable[str] = ()) -> list[Place]:
    """Return the videos that some arguments mean, each once, in their order.

    Args:
        arguments: Files, by their paths or URLs, as they are, there or not; folders, searched with all below them for
            known video suffixes; globs, where one that fits nothing is taken for a file; and `-` for the names on
            `lines`.
        lines: Names of files or folders, one on each line, as they stand; empty lines are left out.

    Raises:
        VqaError: a folder holds no video, a name is empty, or nothing is named at all.
    """
    found: dict[str, Place] = {}
    for argument in arguments:
        names = [line.rstrip("\r\n") for line in lines] if argument == LIST else [argument]
        if argument == "":
            raise VqaError("a video's name is empty; name videos, folders or globs")
        for video in (video for name in names if name for video in _expand(name, globs=argument != LIST)):
            found.setdefault(_absolute(video), video)
    videos = list(found.values())
    if not videos:
        raise VqaError("there is nothing to score: the list is empty; name videos, folders or globs")
    return videos


def _absolute(video: Place) -> str:
    return os.path.abspath(video) if isinstance(video, Path) else str(video)  # noqa: PTH100 - links stay as they are


def _expand(name: str, *, globs: bool) -> list[Place]:
    path = place_of(name)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError):  # no file can be called so; the row says why
        return [path]
    if is_folder:
        return find_videos(name)[1]
    if globs and glob.has_magic(name) and not is_there:
        with contextlib.suppress(LabelsError):
            return find_videos(name)[1]
    return [path]
