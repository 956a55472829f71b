"""What earlier commands left in a workspace, read back: the whole selection, and results of evaluations.

These files may come from a stranger with the workspace: each value is checked where it is read.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vqa.errors import MALFORMED, WorkspaceError
from vqa.escaping import from_csv
from vqa.pipeline.crossing import CrossContender
from vqa.pipeline.evaluation import Contender
from vqa.pipeline.selected import SelectionRow
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
    """As the file shows it: what can't be seen in it is written by its code."""
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
        WorkspaceError: its files can't be used, or do not fit each other.
    """
    return _read(folder / "evaluation.json", "vqa evaluate", lambda file: _evaluation(file, folder / "metrics.csv"))


def read_kept_predictions(folder: Path) -> tuple[KeptPrediction, ...] | None:
    """Return all test rows of the last evaluation, or None where there is none.

    Raises:
        WorkspaceError: the file can't be used.
    """
    return _read(folder / "predictions.csv", "vqa evaluate", _predictions)


def read_kept_crossings(folder: Path) -> tuple[KeptCrossing, ...]:
    """Return what evaluations on other workspaces left in a folder of results.

    Raises:
        WorkspaceError: a file can't be used.
    """
    files = sorted(folder.glob("on-*/evaluation.json"))
    found = (_read(file, "vqa evaluate --on OTHER", _crossing) for file in files)
    return tuple(crossing for crossing in found if crossing is not None)


def _read(file: Path, command: str, read: Callable[[Path], _Kept]) -> _Kept | None:
    try:
        return read(file) if file.is_file() else None
    except (OSError, csv.Error, *MALFORMED) as error:
        raise WorkspaceError(f"{file.name}: is damaged or of another version; run `{command}` again") from error


def _selection(file: Path) -> KeptSelection:
    document = json.loads(file.read_text(encoding="utf-8"))
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


def _evaluation(file: Path, metrics_file: Path) -> KeptEvaluation:
    document = json.loads(file.read_text(encoding="utf-8"))
    titles = {name: _text(method["title"]) for name, method in document["methods"].items()}
    metrics = _metrics_by_method(metrics_file)
    if metrics.keys() != titles.keys():
        raise ValueError("the methods of its two files differ")
    if any(document["methods"][name]["splits"] != len(values) for name, values in metrics.items()):
        raise ValueError("the splits of its two files differ")
    first = next(iter(metrics.values()))
    interval = document["interval"]
    return KeptEvaluation(
        contenders=tuple(_contender(name, titles[name], values, first) for name, values in metrics.items()),
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


def _contender(name: str, title: str, values: Sequence[Metrics], first: Sequence[Metrics]) -> Contender:
    paired = None
    if values is not first:
        paired = compare_paired([each.srocc for each in first], [each.srocc for each in values])
    return Contender(name, title, tuple(values), summarise(values), paired)


def _metrics_by_method(file: Path) -> dict[str, list[Metrics]]:
    found: dict[str, list[Metrics]] = {}
    for row in _csv_rows(file):
        figures = {name: _number(float(row[name])) for name in _METRICS}
        found.setdefault(from_csv(row["method"]), []).append(Metrics(**figures))
    if not found or len({len(values) for values in found.values()}) > 1:
        raise ValueError("methods have no splits, or not the same number")
    return found


def _predictions(file: Path) -> tuple[KeptPrediction, ...]:
    rows = tuple(
        KeptPrediction(
            id=from_csv(row["id"]),
            mos=_number(float(row["mos"])),
            predicted=_number(float(row["predicted"])),
            low=float(row["low"]),
            high=float(row["high"]),
        )
        for row in _csv_rows(file)
    )
    if not rows:
        raise ValueError("there is no row")
    return rows


def _csv_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _crossing(file: Path) -> KeptCrossing:
    document = json.loads(file.read_text(encoding="utf-8"))
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
