"""What each candidate looks at: frames, clips or runs, of a whole video or of spans of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqa.extract.sampling import sample_dense_clips, sample_frames, sample_runs
from vqa.extract.spec import Candidate, NativeInput
from vqa.extract.views import View, view_of

_TICK = 1e-9
"""Times are sums of ticks: an instant must not slip to the frame before."""


@dataclass(frozen=True)
class Span:
    """A part of a video, looked at as if it were a video of its own."""

    begin_seconds: float
    """From the video's first frame."""
    end_seconds: float


@dataclass(frozen=True, eq=False)
class Items:
    """What a candidate looks at: frames, clips, or runs of consecutive frames."""

    frames: NDArray[np.intp]
    """Indices of the video's frames, shape (I, n): n = 1 for single frames."""
    pts_seconds: NDArray[np.float64]
    """Time of each item, of its middle where it is a clip; shape (I,), in seconds."""
    parts: tuple[NDArray[np.intp], ...] = ()
    """For each span the rows of its items; none for a whole video."""


def find_items(
    times: NDArray[np.float64], end_seconds: float, candidate: Candidate, spans: Sequence[Span] = ()
) -> Items:
    """Return what a candidate looks at; single frames are distinct, a clip keeps its length and repeats frames.

    Args:
        times: When each frame is shown, ascending from 0, shape (N,), in seconds.
        end_seconds: When the last one leaves the screen.
        candidate: Who looks.
        spans: Parts to look at; none for the whole video. An item that several of them have is looked at once.
    """
    if not spans:
        return _items_of(times, end_seconds, candidate)
    found = [_items_within(times, end_seconds, candidate, span) for span in spans]
    frames = np.concatenate([items.frames for items in found])
    seconds = np.concatenate([items.pts_seconds for items in found])
    distinct, first, row_of = np.unique(frames, axis=0, return_index=True, return_inverse=True)
    borders = np.cumsum([len(items.frames) for items in found])[:-1]
    return Items(distinct, seconds[first], tuple(np.split(row_of.ravel(), borders)))


def _items_within(times: NDArray[np.float64], end_seconds: float, candidate: Candidate, span: Span) -> Items:
    """Return what a candidate looks at in a span, as in a file cut out of the video there."""
    begin, end = span.begin_seconds, min(span.end_seconds, end_seconds)
    first = max(0, int(np.searchsorted(times, begin + _TICK, side="right")) - 1)
    last = max(first + 1, int(np.searchsorted(times, end - _TICK)))
    items = _items_of(np.maximum(times[first:last] - begin, 0), end - begin, candidate)
    return Items(items.frames + first, items.pts_seconds + begin)


def _items_of(times: NDArray[np.float64], end: float, candidate: Candidate) -> Items:
    spec, count = candidate.input, candidate.spec.frames
    if isinstance(spec, NativeInput):
        runs = sample_runs(times, end, count=count, run=spec.run)
        return Items(runs, times[runs[:, 0]])
    if not spec.clip_frames:
        frames = np.unique(sample_frames(times, end, count))
        return Items(frames[:, None], times[frames])
    if not candidate.spec.clips:
        return Items(sample_frames(times, end, spec.clip_frames)[None], np.array([end / 2]))
    clips = sample_dense_clips(times, end, clips=candidate.spec.clips, clip_frames=spec.clip_frames, fps=spec.clip_fps)
    return Items(clips, (times[clips[:, 0]] + times[clips[:, -1]]) / 2)


def bytes_needed(candidates: Sequence[Candidate]) -> int:
    """Return how much memory the views of any one video can take, whatever its length; in bytes.

    So much, too, for each span of a video.
    """
    counts: dict[View, set[tuple[int, int]]] = {}
    for candidate in candidates:
        if not isinstance(candidate.input, NativeInput):
            rule = (candidate.clip_frames or candidate.spec.frames, candidate.spec.clips)
            counts.setdefault(view_of(candidate), set()).add(rule)
    return sum(view.frame_bytes * frames * max(1, clips) for view, rules in counts.items() for frames, clips in rules)
