"""Which of a file's video streams is looked at. The rule: docs/decoding.md."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import av
from av.stream import Disposition

from vqa.errors import VideoError

_STILLS = Disposition.timed_thumbnails | Disposition.still_image


@dataclass(frozen=True)
class StreamChoice:
    """Which of a file's video streams was taken."""

    index: int
    """Of the stream, as FFmpeg counts all streams of the file."""
    count: int
    """How many video streams there are to choose from: all but cover art."""
    reason: str
    """Why those before it were not taken; empty where it is the first."""


def choose_stream(container: av.container.InputContainer) -> tuple[int, bool]:
    """Choose the first video stream that is enabled, no still picture beside a longer stream, and has frames.

    Packets are read only where several streams come into question and the header does not count their frames.

    Returns:
        The stream's index, and whether packets were read: the file is no longer at its start then.

    Raises:
        VideoError: there is no video stream.
    """
    streams = _candidates(container)
    if not streams:
        raise VideoError("the file has no video stream")
    ranked = sorted(streams, key=lambda stream: _drawbacks(container, stream))
    if len(ranked) == 1:
        return ranked[0].index, False
    counted = _is_mov(container) and all(stream.frames for stream in streams)
    counts = {stream.index: stream.frames for stream in streams} if counted else _count_packets(container, ranked)
    chosen = max(ranked, key=lambda stream: min(counts[stream.index], 2))  # the first of several
    return chosen.index, not counted


def stream_choice(container: av.container.InputContainer, stream: av.VideoStream) -> StreamChoice:
    """Tell of how many streams this one was chosen, and why those before it were not."""
    streams = _candidates(container)
    skipped = [f"{other.index} {_fault(container, other)}" for other in streams if other.index < stream.index]
    return StreamChoice(stream.index, len(streams), "; ".join(f"stream {each}" for each in skipped))


def _candidates(container: av.container.InputContainer) -> list[av.VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _drawbacks(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[bool, bool, bool, int]:
    """Rank a stream by what the header says: the smallest is the best."""
    disabled = _is_mov(container) and not stream.disposition & Disposition.default
    return bool(stream.disposition & _STILLS), not _is_known(stream), disabled, stream.index


def _fault(container: av.container.InputContainer, stream: av.VideoStream) -> str:
    still, unknown, disabled, _ = _drawbacks(container, stream)
    faults = {
        "holds thumbnails": still,
        "sends nothing that can be decoded": unknown,
        "is not enabled": disabled and stream.frames != 1,
    }
    return next((text for text, holds in faults.items() if holds), "has no more than one picture")


def _is_known(stream: av.VideoStream) -> bool:
    """Tell whether the stream's decoder and its picture size were found: not where a programme sends nothing."""
    return stream.codec_context is not None and stream.codec_context.width > 0


def _is_mov(container: av.container.InputContainer) -> bool:
    """Tell whether the file is of the family of MP4: their demuxer counts samples, and tells enabled tracks."""
    return container.format.name.startswith("mov,")


def _count_packets(container: av.container.InputContainer, ranked: Sequence[av.VideoStream]) -> dict[int, int]:
    """Count packets of each stream until the best has two, which makes it the one to take."""
    counts = {stream.index: 0 for stream in ranked}
    with contextlib.suppress(av.FFmpegError, OSError, IndexError):  # damage is told where the chosen one is read
        for packet in container.demux(tuple(ranked)):
            counts[packet.stream_index] += bool(packet.size and not packet.is_discard)
            if counts[ranked[0].index] == 2:
                break
    return counts
