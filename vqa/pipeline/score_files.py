"""Scores in a file: CSV, JSON or JSON Lines, written as they come, and gone on with after a stop."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from filelock import FileLock, Timeout

from vqa.errors import VideoError, VqaError
from vqa.escaping import csv_text, for_terminal, from_csv
from vqa.extract.decoding import Stamp, read_stamp
from vqa.files import make_folders, require_regular, write_text
from vqa.pipeline.scores import BundleInfo, ScoreReport, VideoScore
from vqa.records import TRANSIENT, Reading
from vqa.urls import place_of

FORMATS = ("csv", "json", "jsonl")
_WRITE_SHARE = 20
"""A JSON file is written anew as often as takes a twentieth of the time."""


@dataclass(frozen=True)
class ScoreRow:
    """One row of a file of scores; None where something is not known."""

    video: str
    score: float | None
    low: float | None
    high: float | None
    percentile: float | None
    scale_worst: float
    scale_best: float
    seconds: float | None
    cached: int
    reason: str
    bundle: str
    """SHA-256 of the bundle's file."""
    size: int | None
    """Of the video's file, in bytes."""
    modified_ns: int | None
    """When the video's file was changed last, in nanoseconds since 1970."""
    changed_ns: int | None = None
    """When the file or its names were changed last (ctime), which nobody can set back."""
    note: str = ""
    """What should be known of how the file was read."""
    stage: str = ""
    """Where it failed, as in the ledger."""
    reading: Reading | None = None
    """How it was read; not in CSV."""

    def is_of(self, stamp: Stamp | None) -> bool:
        """Return whether a file that has such a stamp now is the one that was scored; None where it can't be read."""
        if stamp is None:
            return self.size is None or not self.reason
        return (self.size, self.modified_ns, self.changed_ns or 0) == (stamp.size, stamp.mtime_ns, stamp.changed_ns)

    def as_score(self) -> VideoScore:
        """Return the score without what tells the file."""
        own = {field.name: getattr(self, field.name) for field in fields(VideoScore) if field.name != "scale"}
        return VideoScore(**own, scale=(self.scale_worst, self.scale_best))


COLUMNS = tuple(field.name for field in fields(ScoreRow) if field.name != "reading")
_OLDER_COLUMNS = tuple(field.name for field in fields(ScoreRow) if field.default is MISSING)
"""Those of files that were begun before there were the others: such rows are in doubt, and scored again."""
_TEXT = ("video", "reason", "bundle", "note", "stage")
_WHOLE = ("cached", "size", "modified_ns", "changed_ns")


def make_row(score: VideoScore, bundle: BundleInfo) -> ScoreRow:
    """Return a score as a row of a file."""
    own = {field.name: getattr(score, field.name) for field in fields(VideoScore) if field.name != "scale"}
    return ScoreRow(**own, scale_worst=score.scale[0], scale_best=score.scale[1], bundle=bundle.sha256)


def _stamp(video: str) -> Stamp | None:
    try:
        return read_stamp(place_of(video))
    except VideoError:
        return None


def header_line(kind: str) -> str:
    """Return what stands before the rows of a kind that is written row by row."""
    return csv_text([COLUMNS]) if kind == "csv" else ""


def row_line(row: ScoreRow, kind: str) -> str:
    """Return one row, CSV or JSON Lines, with the end of its line; numbers are exact."""
    values = asdict(row)
    return csv_text([[values[name] for name in COLUMNS]]) if kind == "csv" else json.dumps(values) + "\n"


def json_document(rows: Sequence[ScoreRow], bundle: BundleInfo, versions: Mapping[str, str]) -> str:
    """Return scores as one JSON document, with what the bundle says of itself and the versions installed here."""
    document = {"bundle": asdict(bundle), "versions": dict(versions), "scores": [asdict(row) for row in rows]}
    return json.dumps(document, indent=2) + "\n"


def report_text(report: ScoreReport) -> str:
    """Return a report as the JSON document that a file of scores is."""
    return json_document([make_row(row, report.bundle) for row in report.scores], report.bundle, report.versions)


class RowPrinter:
    """Prints rows as they come.

    Args:
        stream: Where to.
        kind: `csv` or `jsonl`.
        bundle: Whose scores they are.
    """

    def __init__(self, stream: TextIO, kind: str, bundle: BundleInfo) -> None:
        self._stream, self._kind, self._bundle = stream, kind, bundle
        stream.write(header_line(kind))
        stream.flush()

    def __call__(self, score: VideoScore) -> None:
        """Print one row."""
        self._stream.write(row_line(make_row(score, self._bundle), self._kind))
        self._stream.flush()


class ScoreFile:
    """A file of scores that is written while they come.

    CSV and JSON Lines grow row by row; JSON is written anew, whole, every now and then. On the way rows stand in the
    order in which they come; `finish` brings them into the order asked for. A lock beside the file keeps a second run
    from it.

    Args:
        path: A file of an earlier run with the same bundle is gone on with.
        kind: One of `FORMATS`.
        bundle: Its scores.
        versions: Of the libraries installed here.

    Raises:
        VqaError: the file holds scores of another bundle, or something else, or another run writes it; it stays as it
            is.
    """

    def __init__(self, path: Path, kind: str, bundle: BundleInfo, versions: Mapping[str, str]) -> None:
        self._path, self._kind = path, kind
        self._bundle, self._versions = bundle, versions
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        self._rows: dict[str, ScoreRow] = {}
        self._file: io.TextIOWrapper | None = None
        self._due = 0.0

    def __enter__(self) -> Self:
        make_folders(self._path.parent)
        try:
            with contextlib.suppress(NotImplementedError):  # a file system without locks
                self._lock.acquire()
        except Timeout as error:
            raise VqaError(f"{self._path}: another run writes it; wait for that one, or name another file") from error
        try:
            self._rows = {row.video: row for row in _read_rows(self._path, self._kind, self._bundle)}
            self._write()  # whole: the last row may have been cut off by a kill
            if self._kind != "json":
                self._file = self._path.open("a", encoding="utf-8")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._file is not None:
                self._file.close()
            elif kind is not None and self._kind == "json":
                self._write()
        finally:
            self._lock.release()

    def known(self, video: str, *, retry_failed: bool) -> VideoScore | None:
        """Return the score of a video that stands in the file, unless its file is another by now.

        A score stays where the file is away; that it can't be opened now says nothing of what it was.
        """
        name = video if video in self._rows or self._kind != "csv" else for_terminal(video)
        row = self._rows.get(name)
        if row is None or (row.reason and (retry_failed or row.stage == TRANSIENT)) or not row.is_of(_stamp(video)):
            return None
        del self._rows[name]
        self._rows[video] = replace(row, video=video)  # CSV shows what can't be seen by its code
        return self._rows[video].as_score()

    def add(self, score: VideoScore) -> None:
        """Write a score."""
        row = make_row(score, self._bundle)
        self._rows[row.video] = row
        if self._file is not None:
            self._file.write(row_line(row, self._kind))
            self._file.flush()
        elif time.monotonic() >= self._due:
            self._write()

    def finish(self, order: Sequence[str]) -> None:
        """Bring the rows into the order asked for; those of other videos come first."""
        asked = dict.fromkeys(order)
        others = {video: row for video, row in self._rows.items() if video not in asked}
        self._rows = others | {video: self._rows[video] for video in asked}
        self._write()

    def _write(self) -> None:
        """Write all rows, whole or not at all."""
        began = time.monotonic()
        rows = list(self._rows.values())
        if self._kind == "json":
            text = json_document(rows, self._bundle, self._versions)
        else:
            text = header_line(self._kind) + "".join(row_line(row, self._kind) for row in rows)
        write_text(self._path, text)
        ended = time.monotonic()
        self._due = ended + _WRITE_SHARE * (ended - began)


def _read_rows(path: Path, kind: str, bundle: BundleInfo) -> list[ScoreRow]:
    """Return the rows of an earlier run; one that was cut off at the end is left out."""
    if not path.exists():
        return []
    try:
        require_regular(path)
        rows = _PARSERS[kind](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VqaError(f"{path}: can't be gone on with ({error.strerror or error}); name another file") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise VqaError(
            f"{path}: holds something else than scores of `vqa score` as {kind}; name another file, or move it away"
        ) from error
    others = {row.bundle for row in rows} - {bundle.sha256}
    if others:
        raise VqaError(
            f"{path}: holds scores of another bundle (SHA-256 {min(others)[:12]}..., this one has "
            f"{bundle.sha256[:12]}...); name another file, or move it away"
        )
    return rows


def _parse_csv(text: str) -> list[ScoreRow]:
    whole = text[: text.rfind("\n") + 1]
    if not whole:
        return []
    table = csv.reader(io.StringIO(whole), strict=True)
    columns = tuple(next(table))
    if columns not in (COLUMNS, _OLDER_COLUMNS):
        raise ValueError("other columns")
    return [_make_row(dict(zip(columns, map(_cell, columns, cells), strict=True))) for cells in table]


def _cell(name: str, text: str) -> Any:
    if name in _TEXT:
        return from_csv(text)
    if text == "":
        return None
    return int(text) if name in _WHOLE else float(text)


def _parse_lines(text: str) -> list[ScoreRow]:
    whole = text[: text.rfind("\n") + 1]
    return [_make_row(json.loads(line)) for line in whole.splitlines()]


def _parse_document(text: str) -> list[ScoreRow]:
    return [_make_row(values) for values in json.loads(text)["scores"]]


def _make_row(values: dict[str, Any]) -> ScoreRow:
    """Check one row's values: text, whole numbers, numbers, and how the file was read."""
    reading = values.get("reading")
    row = ScoreRow(**values | {"reading": None if reading is None else _make_reading(reading)})
    for name in COLUMNS:
        value = getattr(row, name)
        kinds = str if name in _TEXT else int if name in _WHOLE else (int, float)
        may_lack = name not in (*_TEXT, "cached", "scale_worst", "scale_best")
        if not (isinstance(value, kinds) and not isinstance(value, bool)) and not (value is None and may_lack):
            raise ValueError(f"{name} is of another form")
    return row


def _make_reading(values: dict[str, Any]) -> Reading:
    if any(type(values[field.name]).__name__ != field.type for field in fields(Reading)):
        raise ValueError("how it was read is of another form")
    return Reading(**values)


_PARSERS = {"csv": _parse_csv, "json": _parse_document, "jsonl": _parse_lines}
