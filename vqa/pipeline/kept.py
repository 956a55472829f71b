"""What earlier commands left in a workspace, read back: the whole selection, and results of evaluations.

Each carries a digest, and may still come from a stranger with the workspace: each value is checked where it is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vqa.errors import MALFORMED, WorkspaceError
from vqa.escaping import for_terminal
from vqa.pipeline.crossing import CROSSING_SCHEMA, CrossContender
from vqa.pipeline.documents import EVALUATION_FILE, read_document, read_evaluation
from vqa.pipeline.evaluation import Contender
from vqa.pipeline.selected import SELECTION_SCHEMA, SelectionRow
from vqa.train.metrics import Metrics, summarise
from vqa.train.paired import compare_paired
from vqa.workspace import Workspace

_Kept = TypeVar("_Kept")

_METRICS = tuple(field.name for field in fields(Metrics))


@dataclass(frozen=True, eq=False)
class KeptSelection:
    """What `selection.json` says, as far as a page shows it."""

    criterion: str
    budget_ms: float | None
    rows: tuple[SelectionRow, ...]
    """Best first."""
    cka: NDArray[np.float64]
    """Of each two rows, shape (K, K)."""
    videos: int
    cluster_sizes: tuple[int, ...]
    common_width: int
    merges: tuple[str, ...]
    left_out: Mapping[str, str]
    rows_sha256: str
    """Of the labels it was made on; empty where the file does not say."""


@dataclass(frozen=True)
class KeptEvaluation:
    """What the last `vqa evaluate` left."""

    contenders: tuple[Contender, ...]
    selected: str
    """How models were chosen, in words."""
    criterion: str
    top_k: int
    """Most that were chosen in a split, 0 for all."""
    by_content: bool
    groups: int
    coverage: float
    covered: float | None
    left_out: Mapping[str, str]
    data_sha256: str
    splits_sha256: str


@dataclass(frozen=True)
class KeptPrediction:
    """A test row of one split."""

    id: str
    """As tables show it: what can't be seen in it is written by its code."""
    mos: float
    predicted: float
    low: float
    high: float
    """Ends of the interval; NaN where they are unknown."""


@dataclass(frozen=True)
class KeptCrossing:
    """What `vqa evaluate --on` left for one other workspace."""

    tested_on: str
    contenders: tuple[CrossContender, ...]
    training_videos: int
    test_videos: int
    test_part: str
    note: str
    """What the other's labels are, where they are not people's opinion."""


def read_kept_selection(workspace: Workspace) -> KeptSelection | None:
    """Return the whole selection, or None where there is none.

    Raises:
        WorkspaceError: the file can't be used.
    """
    return _read(workspace.selection_file, "vqa select", _selection)


def read_kept_evaluation(folder: Path) -> KeptEvaluation | None:
    """Return the last evaluation in a folder of results, or None where there is none.

    Raises:
        WorkspaceError: the file can't be used.
    """
    return _read(folder / EVALUATION_FILE, "vqa evaluate", lambda file: _evaluation(read_evaluation(file.parent) or {}))


def read_kept_predictions(folder: Path) -> tuple[KeptPrediction, ...] | None:
    """Return all test rows of the last evaluation, or None where there is none.

    Raises:
        WorkspaceError: the file can't be used.
    """
    return _read(
        folder / EVALUATION_FILE, "vqa evaluate", lambda file: _predictions(read_evaluation(file.parent) or {})
    )


def read_kept_crossings(folder: Path) -> tuple[KeptCrossing, ...]:
    """Return what evaluations on other workspaces left in a folder of results.

    Raises:
        WorkspaceError: a file can't be used.
    """
    files = sorted(folder.glob(f"on-*/{EVALUATION_FILE}"))
    found = (_read(file, "vqa evaluate --on OTHER", _crossing) for file in files)
    return tuple(crossing for crossing in found if crossing is not None)


def _read(file: Path, command: str, read: Callable[[Path], _Kept]) -> _Kept | None:
    try:
        return read(file) if file.is_file() else None
    except (OSError, *MALFORMED) as error:
        raise WorkspaceError(f"{_told(file)}: is damaged or of another version; run `{command}` again") from error


def _told(file: Path) -> str:
    """Return a file's name; that of a result with its folder, since several folders have one."""
    return f"{file.parent.name}/{file.name}" if file.name == EVALUATION_FILE else file.name


def _selection(file: Path) -> KeptSelection:
    document = read_document(file, digest_since=SELECTION_SCHEMA)
    rows = tuple(_selection_row(row) for row in document["rows"])
    cka = np.array([_numbers(line) for line in document["cka"]], dtype=np.float64)
    if cka.shape != (len(rows), len(rows)):
        raise ValueError("the similarities do not fit the rows")
    return KeptSelection(
        criterion=_text(document["criterion"]),
        budget_ms=None if document["budget_ms"] is None else _number(document["budget_ms"]),
        rows=rows,
        cka=cka,
        videos=int(_number(document["videos"])),
        cluster_sizes=tuple(map(int, _numbers(document["cluster_sizes"]))),
        common_width=int(_number(document["common_width"])),
        merges=tuple(map(_text, document["merges"])),
        left_out=_texts(document["left_out"]),
        rows_sha256=_text(document.get("rows_sha256", "")),
    )


def _selection_row(values: Mapping[str, Any]) -> SelectionRow:
    row = SelectionRow(**values)
    for text in (row.name, row.fingerprint, row.pretext):
        _text(text)
    figures = [row.rank, row.dbi, row.ranked_width, row.width, *row.values.values()]
    _numbers([*figures, *(row.rank_interval or ()), *(value for value in (row.pick, row.cost_ms) if value is not None)])
    if not isinstance(row.selected, bool) or (row.rank_interval and len(row.rank_interval) != 2):
        raise TypeError("a mark or an interval is of another form")
    return row


def _evaluation(document: Mapping[str, Any]) -> KeptEvaluation:
    methods = {name: _metrics(method["metrics"]) for name, method in document["methods"].items()}
    if {len(values) for values in methods.values()} != {len(document["predictions"])}:
        raise ValueError("methods do not have the same number of splits")
    first, interval = next(iter(methods.values())), document["interval"]
    return KeptEvaluation(
        contenders=tuple(
            _contender(name, _text(document["methods"][name]["title"]), values, first)
            for name, values in methods.items()
        ),
        selected=_text(document["selected"]),
        criterion=_text(document["criterion"]),
        top_k=int(_number(document["top_k"])),
        by_content=bool(document["by_content"]),
        groups=int(_number(document["groups"])),
        coverage=_number(interval["coverage"]),
        covered=None if interval["covered"] is None else _number(interval["covered"]),
        left_out=_texts(document["left_out"]),
        data_sha256=_text(document["data_sha256"]),
        splits_sha256=_text(document["splits_sha256"]),
    )


def _metrics(values: Mapping[str, Sequence[Any]]) -> tuple[Metrics, ...]:
    """Return the figures of each split, given by their names."""
    columns = [_numbers(values[name]) for name in _METRICS]
    return tuple(Metrics(**dict(zip(_METRICS, row, strict=True))) for row in zip(*columns, strict=True))


def _contender(name: str, title: str, values: Sequence[Metrics], first: Sequence[Metrics]) -> Contender:
    paired = None
    if values is not first:
        paired = compare_paired([each.srocc for each in first], [each.srocc for each in values])
    return Contender(name, title, tuple(values), summarise(values), paired)


def _predictions(document: Mapping[str, Any]) -> tuple[KeptPrediction, ...]:
    tested = [
        (for_terminal(_text(video)), _number(mos))
        for video, mos in zip(document["tested"]["ids"], document["tested"]["mos"], strict=True)
    ]
    rows = tuple(row for split in document["predictions"] for row in _split_rows(split, tested))
    if not rows:
        raise ValueError("there is no row")
    return rows


def _split_rows(split: Mapping[str, Any], tested: Sequence[tuple[str, float]]) -> Iterator[KeptPrediction]:
    columns = (split[name] for name in ("tested", "predicted", "low", "high"))
    for place, predicted, low, high in zip(*columns, strict=True):
        if type(place) is not int or place < 0:
            raise TypeError(f"{place!r} is no video's number")
        yield KeptPrediction(*tested[place], _number(predicted), _bound(low), _bound(high))


def _bound(value: Any) -> float:
    return math.nan if value is None else _number(value)


def _crossing(file: Path) -> KeptCrossing:
    document = read_document(file, digest_since=CROSSING_SCHEMA)
    contenders = tuple(
        CrossContender(
            _text(each["name"]),
            _text(each["title"]),
            Metrics(**{name: _number(each["metrics"][name]) for name in _METRICS}),
        )
        for each in document["contenders"]
    )
    return KeptCrossing(
        tested_on=Path(_text(document["tested_on"])).name or _text(document["tested_on"]),
        contenders=contenders,
        training_videos=int(_number(document["training_videos"])),
        test_videos=int(_number(document["test_videos"])),
        test_part=_text(document["test_part"]),
        note=_text(document["other_note"]),
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no finite number")
    return value


def _numbers(values: Sequence[Any]) -> list[float]:
    return [_number(value) for value in values]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items()}
