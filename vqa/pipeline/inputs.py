"""Which videos are meant: files, folders, globs, and lists of them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from vqa.dataset import find_videos
from vqa.errors import VqaError

LIST = "-"
"""Stands for a list of names, one on each line."""


def expand_videos(arguments: Sequence[str], lines: Iterable[str] = ()) -> list[Path]:
    """Return the videos that some arguments mean, each once, in their order.

    Args:
        arguments: Files as they are, there or not; folders, searched with all below them for known video suffixes;
            globs; and `-` for the names on `lines`.
        lines: Names of files, folders or globs, one on each line; empty lines are left out.

    Raises:
        VqaError: a folder or a glob holds no video, or nothing is named at all.
    """
    named: list[str] = []
    for argument in arguments:
        named += [line for line in (line.rstrip("\r\n") for line in lines) if line] if argument == LIST else [argument]
    videos = list(dict.fromkeys(video for name in named for video in _expand(name)))
    if not videos:
        raise VqaError("there is nothing to score: the list is empty; name videos, folders or globs")
    return videos


def _expand(name: str) -> list[Path]:
    path = Path(name)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError):  # no file can be called so; the row says why
        return [path]
    if is_folder or (glob.has_magic(name) and not is_there):
        return find_videos(name)[1]
    return [path]
