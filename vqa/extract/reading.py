"""How a video file was read, in the words that scores and the ledger show."""

from __future__ import annotations

from vqa.extract.colour import FrameColour
from vqa.extract.streams import StreamChoice
from vqa.extract.timeline import PACKETS, Timeline
from vqa.records import Reading

_MATRICES = {0: "R'G'B'", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
_SAID_BY = {"frame": "stream"}


def describe_reading(timeline: Timeline, colour: FrameColour | None) -> Reading:
    """Return how a video is read.

    Args:
        timeline: When its frames are shown.
        colour: By what the first of them was converted; None where none was.
    """
    choice = timeline.choice
    why = f" ({choice.reason})" if choice.reason else ""
    notes = [
        (choice.count > 1, f"stream {choice.index} of the file, one of {choice.count} video streams{why}"),
        (timeline.source != PACKETS, f"times from {timeline.source}"),
        (timeline.dropped > 0, f"{timeline.dropped} frame(s) not shown"),
        (timeline.unreadable > 0, f"{timeline.unreadable} frame(s) can't be decoded"),
    ]
    return Reading(
        stream=choice.index,
        streams=choice.count,
        times=timeline.source,
        colour="" if colour is None else _describe_colour(colour),
        frames=len(timeline.pts),
        dropped=timeline.dropped,
        unreadable=timeline.unreadable,
        note="; ".join(note for matters, note in notes if matters),
    )


def describe_unread(choice: StreamChoice, unreadable: int) -> Reading:
    """Return how a video was read that gives no timeline.

    Args:
        choice: Of its stream.
        unreadable: How many of its pictures could not be decoded, or not without damage.
    """
    return Reading(choice.index, choice.count, "decoded frames", "", 0, 0, unreadable, "")


def _describe_colour(colour: FrameColour) -> str:
    """Say which matrix and range hold, and who says so."""
    matrix, by = _MATRICES[colour.matrix], _SAID_BY.get(colour.matrix_source, colour.matrix_source)
    span, span_by = "full" if colour.full_range else "limited", _SAID_BY.get(colour.range_source, colour.range_source)
    return f"{by}: {matrix}, {span}" if by == span_by else f"{by}: {matrix}, {span_by}: {span}"
