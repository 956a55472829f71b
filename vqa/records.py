"""Frozen values that cross between stages. Checked once, where they are made."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.errors import DegenerateDataError, VideoError

TRANSIENT = "transient"
"""Stage of a failure that is not the file's own: the next run tries again."""
EVERY_CANDIDATE = "*"
"""Stands for all candidates in a failure that lies in the video itself."""

IMPORTED = "imported"
"""Takes the place of the backend in the names of candidates whose features come from a table."""


WEIGHT_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""What the weights of a candidate end in where they are a local file."""


def is_imported(name: str) -> bool:
    """Return whether a candidate's features come from a table, not from a network."""
    return name.startswith(f"{IMPORTED}:")


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """Features of one video by one candidate.

    Raises:
        VideoError: the shapes do not agree, or a value is not finite.
    """

    values: NDArray[np.float16]
    """Shape (T, D): one row per frame, or per clip for a video network."""
    pts_seconds: NDArray[np.float64]
    """Presentation time of each row, shape (T,), in seconds."""
    parts: tuple[NDArray[np.intp], ...] = ()
    """Where spans of the video were looked at, the rows of each of them."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[:1] != self.pts_seconds.shape or 0 in self.values.shape:
            raise VideoError(f"features of shape {self.values.shape} do not fit {self.pts_seconds.shape} times")
        if not (np.isfinite(self.values).all() and np.isfinite(self.pts_seconds).all()):
            raise VideoError("features are not finite in float16; this video can't be used with this model")

    def take(self, rows: NDArray[np.intp]) -> VideoFeatures:
        """Return the features of some rows."""
        return VideoFeatures(self.values[rows], self.pts_seconds[rows])


@dataclass(frozen=True, eq=False)
class ImportedFeatures:
    """Features of one video that come from elsewhere.

    Raises:
        VideoError: the shape is another, or a value is infinite.
    """

    values: NDArray[np.float32]
    """Shape (1, D); NaN marks a missing cell."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != 1 or 0 in self.values.shape:
            raise VideoError(f"imported features have shape {self.values.shape}, not that of one row")
        if np.isinf(self.values).any():
            raise VideoError("imported features are infinite; missing ones are NaN")

    @property
    def pts_seconds(self) -> NDArray[np.float64]:
        """Time of the one row, shape (1,): they belong to the whole video."""
        return np.zeros(1)


def fingerprint_of(details: str) -> str:
    """Return the fingerprint of a candidate: the first 12 hexadecimal digits of the SHA-256 of its details.

    Of weights in a local file the bytes decide, which stand in the details by their own hash, not where the file lies.

    Args:
        details: All that decides a candidate's numbers, canonical JSON.
    """
    values = json.loads(details)
    spec = values.get("spec")
    if isinstance(spec, dict) and str(spec.get("weights")).endswith(WEIGHT_FILE_SUFFIXES):
        values["model"] = spec["weights"] = ""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class CandidateRecord:
    """A candidate as the cache and later stages see it."""

    name: str
    """Its text form, such as `timm:convnext_base.fb_in22k@fragments`."""
    fingerprint: str
    """Short hash over everything that decides its numbers."""
    details: str
    """The whole resolved spec, canonical JSON."""

    def detail(self, field: str) -> Any:
        """Return one top-level field of the details, or None."""
        return json.loads(self.details).get(field)

    def text(self, field: str) -> str:
        """Return one top-level field of the details that is text, empty where it is missing or none."""
        value = self.detail(field)
        return value if isinstance(value, str) else ""

    def mapping(self, field: str) -> dict[str, Any]:
        """Return one top-level field of the details that is a mapping, empty where it is missing or none."""
        value = self.detail(field)
        return value if isinstance(value, dict) else {}

    @property
    def generation(self) -> int:
        """How often its numbers changed for a reason that no other detail tells; 0 for the first."""
        value = self.detail("generation")
        return value if type(value) is int else 0


@dataclass(frozen=True)
class Reading:
    """How a video file was read."""

    stream: int
    """Index of the stream taken, as FFmpeg counts all streams of the file."""
    streams: int
    """How many streams of moving pictures the file has."""
    times: str
    """Where presentation times come from, such as `packets` or `decoded frames`."""
    colour: str
    """Where matrix and range come from and what they are, such as `stream: BT.709, limited`; empty: not known."""
    frames: int
    """How many are shown."""
    dropped: int
    """How many are coded and not shown, such as those before the first clean one."""
    unreadable: int
    """How many can't be decoded."""
    note: str
    """What of this a reader should know, in a few words; empty where all is as usual."""

    def __str__(self) -> str:
        counts = f"{self.frames} frames, {self.dropped} not shown, {self.unreadable} unreadable"
        return f"stream {self.stream}; times: {self.times}; colour: {self.colour or 'not known'}; {counts}"


@dataclass(frozen=True)
class Failure:
    """One row of the ledger: what could not be done, and why."""

    video: str
    """The video's id in its dataset."""
    key: str
    """The video's key, empty where the file could not be read at all."""
    candidate: str
    """A candidate's text form, or `EVERY_CANDIDATE`."""
    fingerprint: str
    """The candidate's fingerprint, or `EVERY_CANDIDATE`."""
    stage: str
    """`open`, `decode`, `features` or `weights`; `transient` where the reason lies outside of the file."""
    reason: str
    time: str
    """UTC, ISO 8601."""
    reading: str = ""
    """How its file was read, as far as it was."""
    rules: str = ""
    """Versions of the decoding rules of then."""

    @property
    def stands(self) -> bool:
        """Whether a plain `vqa extract` leaves it at that."""
        return self.stage != TRANSIENT


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Time-averaged features of several candidates on the same videos, rows in one order.

    Raises:
        DegenerateDataError: rows do not agree, or an id stands twice.
    """

    ids: tuple[str, ...]
    """The N video ids."""
    mos: NDArray[np.float64]
    """Mean opinion scores on the dataset's own scale, shape (N,)."""
    groups: tuple[str, ...] | None
    """Source content of each video, or None where it is not known."""
    blocks: Mapping[str, NDArray[np.float32]]
    """For each candidate's text form, features of shape (N, D); NaN marks a missing cell."""

    def __post_init__(self) -> None:
        rows = len(self.ids)
        if len(set(self.ids)) != rows:
            raise DegenerateDataError("the feature table names a video twice; ids must be unique")
        if self.mos.shape != (rows,) or (self.groups is not None and len(self.groups) != rows):
            raise DegenerateDataError(f"the feature table has {rows} ids but {self.mos.shape} scores; rows must agree")
        for name, block in self.blocks.items():
            if block.ndim != 2 or len(block) != rows:
                raise DegenerateDataError(f"{name}: features of shape {block.shape} for {rows} videos; rows must agree")

    def take(self, rows: NDArray[np.intp]) -> FeatureTable:
        """Return the table of the given rows."""
        groups = None if self.groups is None else tuple(self.groups[i] for i in rows)
        ids = tuple(self.ids[i] for i in rows)
        return FeatureTable(ids, self.mos[rows], groups, {name: block[rows] for name, block in self.blocks.items()})

    def keep(self, names: tuple[str, ...]) -> FeatureTable:
        """Return the table of the given candidates, in that order."""
        return FeatureTable(self.ids, self.mos, self.groups, {name: self.blocks[name] for name in names})


@dataclass(frozen=True)
class Ranked:
    """One candidate's place in a ranking."""

    name: str
    value: float
    """By the ranking's criterion."""
    dbi: float
    """Davies-Bouldin index on MOS pseudo clusters; 0 is best, smaller is better."""
    width: int
    """D, the number of its features."""
    ranked_width: int
    """Width the DBI was computed on, after PCA."""
    cost_ms: float | None = None
    """Time its network takes for one video, where known."""


@dataclass(frozen=True)
class Ranking:
    """Candidates from best to worst, and what they were ranked on."""

    rows: tuple[Ranked, ...]
    refused: Mapping[str, str]
    """Candidates that could not be ranked, each with the reason."""
    cluster_sizes: tuple[int, ...]
    """Videos per MOS pseudo cluster, worst first, after merging."""
    merges: tuple[str, ...]
    """One sentence for each MOS bin that had too few rows and was merged."""
    common_width: int
    """Width all candidates were brought to, where they have as many."""
    criterion: str = "dbi"
    budget_ms: float | None = None
    """Most that chosen candidates may cost together, for one video; then all costs are known."""

    def best(self, count: int) -> tuple[str, ...]:
        """Return the names of the best candidates, best first.

        They are taken in the order of ranks; one that does not fit into what the budget leaves is passed over.

        Args:
            count: Most names.
        """
        chosen: list[str] = []
        left = math.inf if self.budget_ms is None else self.budget_ms
        for row in self.rows:
            cost = 0.0 if self.budget_ms is None or row.cost_ms is None else row.cost_ms
            if len(chosen) < count and cost <= left:
                chosen.append(row.name)
                left -= cost
        return tuple(chosen)


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of one train/test split; the two never share a row or a group."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]
