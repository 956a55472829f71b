"""Names: which column or array of a table of features holds what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from vqa.errors import TableError
from vqa.escaping import for_terminal

SET_PREFIX = "feat__"
"""Arrays of this prefix are feature sets; others in the same file are then left aside."""

_GUESSES = {
    "id": (
        *("ids", "id", "video", "videos", "video_id", "video_ids", "video_name", "video_names", "name", "names"),
        *("filename", "filenames", "file", "files", "file_name", "file_names", "vid", "flickr_id", "path"),
    ),
    "mos": ("mos", "MOSFull", "mos_score", "score", "scores", "mean_opinion_score"),
    "group": ("group", "groups", "content", "contents", "source", "scene"),
    "split": ("split", "splits"),
}
_SHOWN = 12


@dataclass(frozen=True)
class TableNames:
    """What the user says of a table's columns or arrays: None to guess, empty for what is not to be read."""

    id: str | None = None
    mos: str | None = None
    group: str | None = None
    split: str | None = None
    matrices: tuple[str, ...] = ()
    """Names or globs of the feature sets to take; none for all."""

    def find(self, what: str, known: Iterable[str], file: Path) -> str | None:
        """Return which of the known names holds `id`, `mos`, `group` or `split`, None where none does.

        The case of letters does not matter, nor the groups of an HDF5 file that a name begins with.

        Raises:
            TableError: the name asked for is not there.
        """
        wanted, names = getattr(self, what), list(known)
        if wanted == "":
            return None
        for guess in _GUESSES[what] if wanted is None else (wanted,):
            same = (name for name in names if name == guess)
            alike = (name for name in names if name.rpartition("/")[2].casefold() == guess.casefold())
            if (found := next(same, None) or next(alike, None)) is not None:
                return found
        if wanted is None:
            return None
        raise TableError(f"{file}: has no {wanted!r}, but {listing(names)}; correct --{what}-column")

    def wants(self, name: str) -> bool:
        """Return whether a feature set is to be taken; its prefix may be left out."""
        return any(fnmatchcase(text, pattern) for pattern in self.matrices for text in (name, set_name(name)))

    def require_matches(self, names: Iterable[str], file: Path) -> None:
        """Refuse a name or glob that matches nothing.

        Raises:
            TableError: names it, and lists what there is.
        """
        known = list(names)
        for pattern in self.matrices:
            if not any(fnmatchcase(text, pattern) for name in known for text in (name, set_name(name))):
                raise TableError(f"{file}: has no {pattern!r}, but {listing(known)}; correct --matrix")


def is_id_name(text: str) -> bool:
    """Return whether a text is the usual heading of a list of ids."""
    return text.casefold() in _GUESSES["id"]


def set_name(array: str) -> str:
    """Return a feature set's name: its array's without the prefix."""
    return array.removeprefix(SET_PREFIX)


def listing(names: Iterable[str]) -> str:
    """Return names for a message, the first of many."""
    known = [for_terminal(name) for name in names]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return (", ".join(known[:_SHOWN]) or "nothing") + more
