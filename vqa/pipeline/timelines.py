"""Scores along a video: windows that slide over it, each scored as if it were a video of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vqa.cache.store import time_average
from vqa.errors import VqaError
from vqa.extract.duration import Extent
from vqa.extract.items import Span, bytes_needed
from vqa.pipeline.gathering import Gathered, LoadedBundle, Wanted, gather
from vqa.pipeline.progress import Progress
from vqa.pipeline.sources import Source
from vqa.records import Reading, VideoFeatures
from vqa.report.notebook import curve_html

DEFAULT_WINDOW_SECONDS = 4.0
DEFAULT_STEP_SECONDS = 2.0
MOST_WINDOWS = 1_000_000
_WORST = 5
_MOST_AT_ONCE = 32


@dataclass(frozen=True)
class Moment:
    """A part of a video and its score."""

    begin_seconds: float
    end_seconds: float
    score: float


@dataclass(frozen=True, eq=False)
class ScoreTimeline:
    """The scores of windows along one video; W of them, in the order of time."""

    video: str
    """Its path as it was given, or the name of decoded frames."""
    window_seconds: float
    step_seconds: float
    seconds: float
    """How long the video lasts."""
    begin_seconds: NDArray[np.float64]
    """Shape (W,)."""
    end_seconds: NDArray[np.float64]
    """Shape (W,)."""
    scores: NDArray[np.float64]
    """On the training labels' scale, shape (W,); NaN where a window could not be decoded."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """Ends of each score's interval, shape (W,); NaN where it is unknown."""
    scale: tuple[float, float]
    """Worst and best of the training labels' scale."""
    reasons: tuple[str, ...]
    """Why a window has no score, W of them; empty where it has one."""
    reading: Reading | None = None
    """How the file was read; None for decoded frames."""

    @property
    def complete(self) -> bool:
        """Whether every window has a score."""
        return not any(self.reasons)

    @property
    def mean(self) -> float:
        """Of the scores that are known; NaN where none is."""
        known = self.scores[np.isfinite(self.scores)]
        return float(known.mean()) if len(known) else math.nan

    def worst(self, count: int = _WORST) -> tuple[Moment, ...]:
        """Return the windows with the lowest scores, the worst first; none overlaps one before it."""
        chosen: list[int] = []
        for place in np.argsort(self.scores, kind="stable"):
            apart = all(
                self.end_seconds[place] <= self.begin_seconds[other]
                or self.end_seconds[other] <= self.begin_seconds[place]
                for other in chosen
            )
            if len(chosen) < count and apart and np.isfinite(self.scores[place]):
                chosen.append(int(place))
        return tuple(
            Moment(float(self.begin_seconds[place]), float(self.end_seconds[place]), float(self.scores[place]))
            for place in chosen
        )

    def _repr_html_(self) -> str:
        middles = (self.begin_seconds + self.end_seconds) / 2
        worst = [(f"{one.begin_seconds:.1f} to {one.end_seconds:.1f} s", f"{one.score:.2f}") for one in self.worst()]
        return curve_html(middles, self.scores, scale=self.scale, caption=f"Scores along {self.video}", lowest=worst)


def plan_windows(seconds: float, *, window: float, step: float) -> tuple[Span, ...]:
    """Return the windows over a video.

        |-----|           window 4, step 2, a video of 9 seconds: those that fit whole,
          |-----|         and one that ends with the video
            |-----|
             |-----|

    Args:
        seconds: How long the video lasts; one shorter than a window is one window.
        window: Length of each, in seconds.
        step: From the beginning of one to that of the next, in seconds.

    Raises:
        VqaError: lengths that are not above 0, or too many windows.
    """
    if not (0 < window < math.inf and 0 < step < math.inf):
        raise VqaError(f"windows of {window:g} s every {step:g} s can't be made; use lengths above 0")
    if seconds <= window:
        return (Span(0.0, seconds),)
    count = math.floor((seconds - window) / step + 1e-9) + 1
    if count > MOST_WINDOWS:
        raise VqaError(f"{count} windows are more than {MOST_WINDOWS}; use a longer step than {step:g} s")
    begins = [number * step for number in range(count)]
    if seconds - (begins[-1] + window) > 1e-6:
        begins.append(seconds - window)
    return tuple(Span(begin, begin + window) for begin in begins)


def score_windows(
    loaded: LoadedBundle,
    source: Source,
    extent: Extent,
    *,
    window: float,
    step: float,
    progress: Progress,
) -> ScoreTimeline:
    """Score windows along a video of this extent; arguments and errors as of `Scorer.timeline`."""
    windows = plan_windows(extent.seconds, window=window, step=step)
    size = _spans_at_once(loaded)
    parts = {str(start): windows[start : start + size] for start in range(0, len(windows), size)}
    wanted = [Wanted(start, source.content, loaded.places, "", source.stamp, part) for start, part in parts.items()]
    if not extent.jumps:
        loaded, wanted = _in_passes(loaded, wanted)
    scores, low, high = (np.full(len(windows), np.nan) for _ in range(3))
    reasons = [""] * len(windows)
    readings: list[Reading] = []
    finished = 0

    def take(start: str, gathered: Gathered[NDArray[np.float32]]) -> None:
        nonlocal finished
        finished += len(parts[start])
        readings.extend([gathered.reading] if gathered.reading is not None else [])
        progress.update("scoring windows", finished, len(windows))
        rows = slice(int(start), int(start) + len(parts[start]))
        if gathered.reason:
            reasons[rows] = [gathered.reason] * len(parts[start])
            return
        said = loaded.predict(gathered.values)
        scores[rows], low[rows], high[rows] = said.scores, said.low, said.high

    gather(loaded, wanted, _average_parts, take)
    begins, ends = ([getattr(one, name) for one in windows] for name in ("begin_seconds", "end_seconds"))
    return ScoreTimeline(
        video=source.name,
        window_seconds=window,
        step_seconds=step,
        seconds=extent.seconds,
        begin_seconds=np.array(begins),
        end_seconds=np.array(ends),
        scores=scores,
        low=low,
        high=high,
        scale=loaded.scale,
        reasons=tuple(reasons),
        reading=readings[0] if readings else None,
    )


def _in_passes(loaded: LoadedBundle, parts: Sequence[Wanted]) -> tuple[LoadedBundle, list[Wanted]]:
    """Arrange the parts of a video whose decoder can't jump so that it is decoded twice, however many parts there are.

    One worker goes on from part to part where it stopped, with all cores' threads. Since a part begins before the one
    before it ends, it takes every other part in a first pass, and the rest in a second one:

        first pass     |--0--|     |--2--|     |--4--|
        second pass         |--1--|     |--3--|
    """
    alone = replace(loaded, options=replace(loaded.options, workers=1))
    return alone, [*parts[::2], *parts[1::2]]


def _average_parts(features: VideoFeatures) -> NDArray[np.float32]:
    """Return the time average of each span's features, shape (spans, D)."""
    return np.stack([time_average(features.take(rows)) for rows in features.parts])


def _spans_at_once(loaded: LoadedBundle) -> int:
    """Return how many windows go through one decode: as many as leave memory for four such runs."""
    needed = max(1, bytes_needed(loaded.backbones.candidates))
    return max(1, min(_MOST_AT_ONCE, loaded.options.memory_bytes // (4 * needed)))
