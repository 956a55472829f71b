"""Which videos failed, where and why: append-only, files of its own for each process that writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import MISSING, asdict, fields
from typing import Any

from vqa.cache.folder import DamagedLines, drop_damaged_lines
from vqa.cache.lines import OwnLines, all_lines
from vqa.records import EVERY_CANDIDATE, Failure
from vqa.urls import Place

_FOLDER = "failures"
_MOST_NS = 1 << 80
"""A time above that is none: Python reads longer numbers than it writes."""
_FIELDS = frozenset(field.name for field in fields(Failure))
_KINDS = ("failure", "resolved", "forgotten")
_NEEDED = frozenset(field.name for field in fields(Failure) if field.default is MISSING)
"""The others are not in the lines of older versions."""


class Ledger:
    """The failures in a cache folder. A later line overrides an earlier one, whoever wrote them.

    Args:
        root: The cache folder. Nothing is made in it before the first line.
    """

    def __init__(self, root: Place) -> None:
        self.root = root
        self._open: dict[tuple[str, str, str], Failure] | None = None
        self._damaged: list[DamagedLines] = []
        self._lines = OwnLines(root, root / _FOLDER)
        self._last_ns = 0

    def add(self, failure: Failure) -> None:
        """Note a failure; it is on the disk when this returns.

        Raises:
            CacheError: the ledger can't be read or written.
        """
        self._append({"failure": asdict(failure)})

    def resolve(self, key: str, fingerprint: str, *, video: str) -> None:
        """Cancel what stands against one video and one candidate, since they now have features.

        Cancels the pair's own failure and one that named every candidate. With `EVERY_CANDIDATE` as the fingerprint
        all failures of the video go. Where nothing stands against them, nothing is written.

        Args:
            key: The video's key.
            fingerprint: The candidate's, or `EVERY_CANDIDATE`.
            video: The video's id, for failures from before its file could be read.

        Raises:
            CacheError: the ledger can't be read or written.
        """
        values = {"key": key, "fingerprint": fingerprint, "video": video}
        if any(map(_resolved_by(values), self._state())):
            self._append({"resolved": values})

    def forget(self, fingerprint: str) -> int:
        """Cancel all that stands against one candidate alone; return how many failures that were.

        Raises:
            CacheError: the ledger can't be read or written.
        """
        count = sum(identity[2] == fingerprint for identity in self._state())
        if count:
            self._append({"forgotten": fingerprint})
        return count

    def open_failures(self) -> tuple[Failure, ...]:
        """Return all failures that nothing has cancelled, in the order they were first met.

        Raises:
            CacheError: the ledger can't be read.
        """
        return tuple(self._state().values())

    def failed(self, key: str, fingerprint: str) -> Failure | None:
        """Return what stands against a video and a candidate, or None.

        Raises:
            CacheError: the ledger can't be read.
        """
        state = self._state()
        return state.get((key, "", fingerprint)) or state.get((key, "", EVERY_CANDIDATE))

    def damaged(self) -> tuple[DamagedLines, ...]:
        """Return which files have damaged lines: each may have told a failure, or that one is cancelled.

        Raises:
            CacheError: the ledger can't be read.
        """
        self._state()
        return tuple(self._damaged)

    def drop_damaged(self) -> None:
        """Take the damaged lines out of the ledger.

        Raises:
            CacheError: the ledger can't be read or written.
        """
        for lines in self.damaged():
            drop_damaged_lines(lines.file, _is_older)
        self.refresh()

    def refresh(self) -> None:
        """Read again what other processes wrote, on the next question."""
        self._open = None

    def _state(self) -> dict[tuple[str, str, str], Failure]:
        if self._open is None:
            self._damaged = []
            self._open, latest_ns = _replay(all_lines(self.root / _FOLDER, _is_older, self._damaged))
            self._last_ns = max(self._last_ns, latest_ns)
        return self._open

    def _append(self, line: dict[str, Any]) -> None:
        state = self._state()
        self._last_ns = max(self._last_ns + 1, time.time_ns())  # a clock set back, or ahead elsewhere, reorders nothing
        self._lines.add({"written_ns": self._last_ns, **line})
        _apply(state, line)


def _is_older(line: dict[str, Any]) -> bool:
    """Return whether a line without a checksum is one of those of before."""
    return any(line.keys() == {"written_ns", kind} for kind in _KINDS)


def _replay(found: Iterable[dict[str, Any]]) -> tuple[dict[tuple[str, str, str], Failure], int]:
    """Return the failures left open by all lines of all writers, in the order of writing, and the last line's time."""
    lines = list(filter(_has_time, found))
    state: dict[tuple[str, str, str], Failure] = {}
    lines.sort(key=lambda line: int(line["written_ns"]))
    for line in lines:
        _apply(state, line)
    return state, int(lines[-1]["written_ns"]) if lines else 0


def _has_time(line: dict[str, Any]) -> bool:
    """Return whether a line says when it was written, in a number that a later line can still be above."""
    written_ns = line.get("written_ns")
    return isinstance(written_ns, int) and written_ns < _MOST_NS


def _apply(state: dict[tuple[str, str, str], Failure], line: dict[str, Any]) -> None:
    """Bring the open failures up to one more line; a line of another form is left aside."""
    match line:
        case {"failure": dict(values)} if _NEEDED <= values.keys() <= _FIELDS and _all_text(values):
            failure = Failure(**values)
            if failure.key:  # its file can be read by now
                state.pop(("", failure.video, EVERY_CANDIDATE), None)
            state[_identity(failure)] = failure
        case {"resolved": {"key": str(), "fingerprint": str(), "video": str()} as values}:
            for identity in list(filter(_resolved_by(values), state)):
                del state[identity]
        case {"forgotten": str(fingerprint)}:
            for identity in [identity for identity in state if identity[2] == fingerprint]:
                del state[identity]


def _identity(failure: Failure) -> tuple[str, str, str]:
    """Return what a failure stands against: a video, by its key or for want of one by its id, and a candidate."""
    return failure.key, "" if failure.key else failure.video, failure.fingerprint


def _resolved_by(values: dict[str, str]) -> Callable[[tuple[str, str, str]], bool]:
    """Return whether a line cancels the failure of an identity."""
    key, fingerprint, video = values["key"], values["fingerprint"], values["video"]

    def is_resolved(identity: tuple[str, str, str]) -> bool:
        same_video = identity[:2] in ((key, ""), ("", video))
        return same_video and (fingerprint == EVERY_CANDIDATE or identity[2] in (fingerprint, EVERY_CANDIDATE))

    return is_resolved


def _all_text(values: dict[str, Any]) -> bool:
    return all(isinstance(value, str) for value in values.values())
