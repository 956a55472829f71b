"""Scores, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vqa.pipeline.trusting import TRAINING_MOS
from vqa.records import Reading
from vqa.report.notebook import table_html
from vqa.train.bundle import Bundle


@dataclass(frozen=True)
class VideoScore:
    """One video's score, or why it has none."""

    video: str
    """Its path as it was given, or the name of decoded frames."""
    score: float | None
    """On the training labels' scale; may lie a little beyond it."""
    low: float | None
    high: float | None
    """Ends of the interval in which the MOS of 9 of 10 videos like the training ones lies; None where it is unknown."""
    percentile: float | None
    """Share of the training MOS that lie below the score, 0 to 100; half of those that equal it."""
    scale: tuple[float, float]
    """Worst and best of the training labels' scale."""
    seconds: float | None
    """Time of decoding and of the networks; next to 0 where all features came from a cache."""
    cached: int
    """Backbones whose features came from a cache."""
    reason: str
    """Why there is no score; empty where there is one."""
    size: int | None = None
    """Of the file when it was scored, in bytes; None where it could not be read, and for decoded frames."""
    modified_ns: int | None = None
    """When the file was changed last, in nanoseconds since 1970."""
    changed_ns: int | None = None
    """When the file or its names were changed last (ctime), which nobody can set back; None where that is not known."""
    reading: Reading | None = None
    """How the file was read; None where nothing was decoded, as for features from a cache and for decoded frames."""
    note: str = ""
    """What of that a reader should know, in a few words; empty where all is as usual, and where nothing was decoded."""
    stage: str = ""
    """Where it failed, as in the ledger; empty where it did not."""

    @property
    def status(self) -> str:
        """Why there is no score, or `ok` with what should be known of how the file was read."""
        return self.reason or (f"ok; {self.note}" if self.note else "ok")

    def _repr_html_(self) -> str:
        return scores_html((self,))


@dataclass(frozen=True)
class BundleInfo:
    """What a bundle says of itself."""

    file: str
    sha256: str
    """Of the file's bytes."""
    scale: tuple[float, float]
    """Worst and best of the training labels' scale."""
    mos_range: tuple[float, float]
    """Lowest and highest label the scorer was trained on; beyond it scores are extrapolated."""
    labels: str
    """What the labels are, where they are not people's opinion."""
    videos: int
    """Videos it was trained on."""
    method: str
    data_sha256: str
    """Of what it was trained on."""
    models: tuple[BackboneInfo, ...]
    note: str = ""
    """What a user should know of the file, such as that damage in it can't be noticed; empty where there is nothing."""


@dataclass(frozen=True)
class BackboneInfo:
    """One backbone of a bundle."""

    name: str
    fingerprint: str
    weights_sha256: str
    weight: float | None
    """w_n in the fusion; None where the bundle does not say it."""
    details: dict[str, Any]
    """The whole resolved spec: all that decides its features."""
    versions: dict[str, str]
    """Of the libraries that computed the training features."""


@dataclass(frozen=True)
class ScoreReport(Sequence[VideoScore]):
    """The scores of several videos, in the order asked for."""

    scores: tuple[VideoScore, ...]
    bundle: BundleInfo
    versions: dict[str, str]
    """Of the libraries installed here."""
    resumed: int = 0
    """Rows that stood in the output file before."""

    @property
    def complete(self) -> bool:
        """Whether every video has a score."""
        return all(row.score is not None for row in self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[VideoScore]:
        return iter(self.scores)

    @overload
    def __getitem__(self, index: int) -> VideoScore: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[VideoScore]: ...

    def __getitem__(self, index: int | slice) -> VideoScore | Sequence[VideoScore]:
        return self.scores[index]

    def _repr_html_(self) -> str:
        return scores_html(self.scores)


def describe_bundle(bundle: Bundle, file: str, sha256: str) -> BundleInfo:
    """Return what a checked bundle says of itself."""
    header = bundle.header
    return BundleInfo(
        file=file,
        sha256=sha256,
        scale=_pair(header["scale"]),
        mos_range=_pair(header["mos_range"]),
        labels=str(header["labels"]),
        videos=int(header["videos"]),
        method=str(header.get("method", {}).get("name", "")),
        data_sha256=str(header.get("data_sha256", "")),
        models=tuple(
            BackboneInfo(
                name=entry["name"],
                fingerprint=entry["fingerprint"],
                weights_sha256=str(entry.get("weights_sha256", "")),
                weight=entry.get("weight"),
                details=dict(entry.get("details", {})),
                versions=dict(entry.get("versions", {})),
            )
            for entry in header["models"]
        ),
        note=bundle.note,
    )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def percentile(bundle: Bundle, score: float) -> float:
    """Return the share of a bundle's training MOS below a score, 0 to 100; those that equal it count half."""
    known: NDArray[np.float64] = bundle.extras[TRAINING_MOS]
    below, upto = np.searchsorted(known, score, side="left"), np.searchsorted(known, score, side="right")
    return float(50 * (below + upto) / len(known))


def scores_html(rows: Sequence[VideoScore]) -> str:
    """Return a table of scores for a notebook."""
    return table_html(
        ("video", "score", "scale", "9 of 10 lie in", "percentile", "seconds", "status"),
        [
            (
                row.video,
                _told(row.score),
                f"{row.scale[0]:g} (worst) to {row.scale[1]:g} (best)",
                "-" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}",
                _told(row.percentile, 0),
                _told(row.seconds),
                row.status,
            )
            for row in rows
        ],
    )


def _told(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
