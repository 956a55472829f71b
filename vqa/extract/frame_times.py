"""When decoded frames are shown, where packets can't be trusted: by their own times as far as these make sense.

absent      - - - 120 160 200        counted back, forth, or between neighbours  ->   0 40 80 120 160 200
equal       0 0 0 0 1 1 1 1 2        evenly between                              ->   0 .25 .5 .75 1 1.25 ...
parts       0 40 80 | 0 40 80        one behind the other                        ->   0 40 80 120 160 200
no times    40 160 120 200 80        the nominal rate, in the order of output    ->   0 40 80 120 160
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

ABSENT = -(1 << 63)
"""Stands for a time that a frame does not have."""
GAP_SECONDS = 10.0
"""In a container whose clock may be set anew (MPEG-TS, MPEG-PS), a longer gap begins a part; ffmpeg's own limit."""
_GAP_DISTANCES = 25
"""It must be so much longer than the usual distance, too: a slide show keeps its times."""
_MOST_REORDERED = 16
"""Frames that a decoder may hold back: a smaller step backwards is a time of storage order, no new part."""
_FINE = 1000
"""Ticks are divided by it where several frames share one."""
_LONG_STEPS = 2.5
"""A step that is longer by so much is a hole, or something is held: it is not shared out."""
_MOST_DURATION = 1 << 38
_MOST_TICKS = 1 << 52
"""No video is so long in ticks; a time further from zero is none."""


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """When frames are shown, in the order of the decoder's output."""

    pts: NDArray[np.int64]
    """Strictly ascending, shape (N,), in ticks."""
    end: int
    """When the last one leaves the screen, in ticks."""
    time_base: Fraction
    """Seconds per tick."""
    parts: NDArray[np.intp]
    """Index of the first frame of each part, shape (P,), the first is 0."""
    source: str
    """Where the times come from, in a few words."""


@dataclass(frozen=True)
class Clock:
    """What is known of a stream's times beside those of its frames."""

    time_base: Fraction
    rate: Fraction
    """Frames per second, nominally."""
    may_restart: bool = False
    """Whether the container's times may jump ahead without a frame being shown meanwhile."""
    paired: bool = False
    """Whether two packets make a frame, so that a packet's duration is none of a frame."""
    stored: bool = False
    """Whether the container has times of storage alone, of which FFmpeg makes presentation times."""


def arrange_times(
    pts: NDArray[np.int64], dts: NDArray[np.int64], durations: NDArray[np.int64], clock: Clock
) -> FrameTimes:
    """Return when decoded frames are shown.

    Args:
        pts: What the decoder says, `ABSENT` where it says nothing; in the order of its output, shape (N,), in ticks.
        dts: Times of the packets at which frames came out, the same way: the order of storage, which is late by as many
            frames as the decoder holds back.
        durations: Of each frame, 0 where it is not known; shape (N,), in ticks.
        clock: Of the stream.
    """
    step = max(1, round(1 / (clock.rate * clock.time_base)))
    durations = np.where(durations < _MOST_DURATION, durations, 0)  # such a one is none
    lasting = np.where((durations > 0) & (not clock.paired), durations, step)
    known = np.abs(pts.astype(np.float64)) < _MOST_TICKS
    if not known.any():
        if (durations > 0).all() and not clock.paired:
            starts = np.concatenate([[0], np.cumsum(durations)])
            return FrameTimes(starts[:-1], int(starts[-1]), clock.time_base, _ONE_PART, "durations of the frames")
        return _at_rate(len(pts), clock)
    filled = _fill(pts, lasting, known)
    steps = np.diff(filled)
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else float(step)
    falls = steps < 0
    if clock.stored or (falls & (steps >= -_MOST_REORDERED * usual)).any() or not (steps > 0).any():
        return _in_storage(dts, lasting, step, clock)
    gaps = (steps > GAP_SECONDS / float(clock.time_base)) & (steps > _GAP_DISTANCES * usual) & clock.may_restart
    parts = np.concatenate([[0], np.flatnonzero(falls | gaps) + 1])
    # Between two parts the last frame of the first is shown.
    shown = np.minimum(lasting[:-1], round(_GAP_DISTANCES * usual))
    joined = filled[0] + np.concatenate([[0], np.cumsum(np.where(falls | gaps, shown, steps))])
    last = int(lasting[-1]) if not clock.paired and durations[-1] > 0 else max(1, round(usual))
    source = "decoded frames" if known.all() else "decoded frames, some of them counted"
    source += f", {len(parts)} parts one behind the other" if len(parts) > 1 else ""
    if (np.diff(joined) > 0).all():
        return FrameTimes(joined, int(joined[-1]) + last, clock.time_base, parts, source)
    end = (int(joined[-1]) + last) * _FINE
    return FrameTimes(_spread(joined, last), end, clock.time_base / _FINE, parts, source)


_ONE_PART = np.zeros(1, np.intp)


def _at_rate(count: int, clock: Clock) -> FrameTimes:
    """Return times at the nominal rate."""
    return FrameTimes(np.arange(count, dtype=np.int64), count, 1 / clock.rate, _ONE_PART, "nominal rate")


def _in_storage(dts: NDArray[np.int64], lasting: NDArray[np.int64], step: int, clock: Clock) -> FrameTimes:
    """Return the order of the decoder's output at the nominal rate; at the times of storage where these are uneven."""
    known = np.abs(dts.astype(np.float64)) < _MOST_TICKS
    filled = _fill(dts, lasting, known) if known.sum() > 2 else np.arange(len(dts)) * step
    steps = np.diff(filled)
    usual = float(np.median(steps)) if len(steps) else float(step)
    even = (steps <= _LONG_STEPS * usual).all() and abs(usual - step) <= step / 2
    if even or (steps <= 0).any():
        return _at_rate(len(dts), clock)
    return FrameTimes(filled, int(filled[-1] + usual), clock.time_base, _ONE_PART, "times of storage")


def _fill(pts: NDArray[np.int64], lasting: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give times to frames that have none: back from the first known, forth from the last, evenly between two."""
    places = np.flatnonzero(known)
    first, last = int(places[0]), int(places[-1])
    filled = np.where(known, pts, 0)
    filled[:first] = pts[first] - np.cumsum(lasting[:first][::-1])[::-1]
    filled[last + 1 :] = filled[last] + np.cumsum(lasting[last:-1])
    wide = np.flatnonzero(np.diff(places) > 1)
    for before, after in zip(places[wide].tolist(), places[wide + 1].tolist(), strict=True):
        known_step, expected = int(filled[after] - filled[before]), int(lasting[before:after].sum())
        if 0 < known_step <= _LONG_STEPS * expected:
            filled[before:after] = np.linspace(filled[before], filled[after], after - before, endpoint=False).round()
        else:
            filled[before + 1 : after] = filled[before] + np.cumsum(lasting[before : after - 1])
    return filled


def _spread(pts: NDArray[np.int64], last: int) -> NDArray[np.int64]:
    """Give frames of one tick times of their own, evenly up to the next; in thousandths of a tick."""
    firsts = np.flatnonzero(np.concatenate([[True], np.diff(pts) > 0]))
    counts = np.diff(np.append(firsts, len(pts)))
    until = np.append(pts[firsts[1:]], pts[-1] + last)
    within = np.arange(len(pts)) - np.repeat(firsts, counts)
    width = np.repeat(until - pts[firsts], counts)
    spread: NDArray[np.int64] = pts * _FINE + within * (width * _FINE) // np.repeat(counts, counts)
    return spread
