"""How a video file was read, in the words that scores and the ledger show."""

from __future__ import annotations

import av

from vqa.records import Reading

PACKETS = "packets"
"""Where times come from, as a rule."""

_MATRICES = {1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
_RANGES = {1: "limited", 2: "full"}
_HD_LINES = 720


def describe_reading(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    *,
    times: str,
    frames: int,
    dropped: int = 0,
    unreadable: int = 0,
) -> Reading:
    """Return how a video is read, while its file is open.

    Args:
        container: The file.
        stream: The one that was taken.
        times: Where presentation times come from, in a few words; `PACKETS` where that is as usual.
        frames: How many are shown.
        dropped: How many are coded in the file and not shown.
        unreadable: How many can't be decoded.
    """
    covers = av.stream.Disposition.attached_pic
    moving = [each.index for each in container.streams.video if not each.disposition & covers]
    notes = [
        (len(moving) > 1, f"video stream {moving.index(stream.index) + 1} of {len(moving)}"),
        (times != PACKETS, f"times from {times}"),
        (dropped > 0, f"{dropped} frame(s) not shown"),
        (unreadable > 0, f"{unreadable} frame(s) can't be decoded"),
    ]
    return Reading(
        stream=stream.index,
        streams=len(moving),
        times=times,
        colour=_colour(stream.codec_context),
        frames=frames,
        dropped=dropped,
        unreadable=unreadable,
        note="; ".join(note for matters, note in notes if matters),
    )


def _colour(codec: av.VideoCodecContext) -> str:
    """Say which matrix and range hold, and whether the stream's tags say so."""
    if codec.format is not None and codec.format.is_rgb:
        return "R'G'B'"
    tagged, full = _MATRICES.get(codec.colorspace), _RANGES.get(codec.color_range)
    matrix = tagged or ("BT.709" if codec.height >= _HD_LINES else "BT.601")
    told = [("untagged" if tagged is None else "stream", matrix), ("untagged" if full is None else "stream", full)]
    parts = [f"{source}: {value or 'limited'}" for source, value in told]
    return ", ".join(parts) if told[0][0] != told[1][0] else f"{told[0][0]}: {matrix}, {full or 'limited'}"
