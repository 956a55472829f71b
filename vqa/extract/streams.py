"""Which of a file's video streams is looked at. The rule: docs/decoding.md."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import av
from av.stream import Disposition

from vqa.errors import VideoError
from vqa.extract.matroska import enabled_video_tracks

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
    if len(streams) == 1:
        return streams[0].index, False
    disabled = _disabled(container, streams)
    ranked = sorted(streams, key=lambda stream: _drawbacks(stream, disabled))
    counted = _is_mov(container) and all(stream.frames for stream in streams)
    counts = {stream.index: stream.frames for stream in streams} if counted else _count_packets(container, ranked)
    chosen = max(ranked, key=lambda stream: min(counts[stream.index], 2))  # the first of several
    return chosen.index, not counted


def stream_choice(container: av.container.InputContainer, stream: av.VideoStream) -> StreamChoice:
    """Tell of how many streams this one was chosen, and why those before it were not."""
    streams = _candidates(container)
    before = [other for other in streams if other.index < stream.index]
    disabled = _disabled(container, streams) if before else set()
    faults = (f"stream {other.index} {_fault(other, disabled)}" for other in before)
    return StreamChoice(stream.index, len(streams), "; ".join(faults))


def _candidates(container: av.container.InputContainer) -> list[av.VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _drawbacks(stream: av.VideoStream, disabled: Set[int]) -> tuple[bool, bool, bool, int]:
    """Rank a stream by what the header says: the smallest is the best."""
    return bool(stream.disposition & _STILLS), not _is_known(stream), stream.index in disabled, stream.index


def _fault(stream: av.VideoStream, disabled: Set[int]) -> str:
    still, unknown, not_enabled, _ = _drawbacks(stream, disabled)
    faults = {
        "holds thumbnails": still,
        "sends nothing that can be decoded": unknown,
        "is not enabled": not_enabled and stream.frames != 1,
    }
    return next((text for text, holds in faults.items() if holds), "has no more than one picture")


def _disabled(container: av.container.InputContainer, streams: Sequence[av.VideoStream]) -> set[int]:
    """Return the indices of streams that the container says are not to be shown."""
    if _is_mov(container):  # FFmpeg gives the flag of the track's header so
        return {stream.index for stream in streams if not stream.disposition & Disposition.default}
    if not container.format.name.startswith("matroska"):
        return set()
    enabled = enabled_video_tracks(Path(container.name))
    if len(enabled) != len(streams):
        return set()
    return {stream.index for stream, is_enabled in zip(streams, enabled, strict=True) if not is_enabled}


def _is_known(stream: av.VideoStream) -> bool:
    """Tell whether the stream's decoder and its picture size were found: not where a programme sends nothing."""
    return stream.codec_context is not None and stream.codec_context.width > 0


def _is_mov(container: av.container.InputContainer) -> bool:
    """Tell whether the file is of the family of MP4: their demuxer counts samples."""
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
