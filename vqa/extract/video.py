"""Probe and decode a video file: when its frames are shown, and their pixels.

Numbers in a file's header (duration, frame count) are hints and are not used: the timeline is read from the packets,
which costs no decoding, where they tell the truth, and frames are then matched on their presentation time. Else all of
the video is decoded for its timeline, and frames are matched on their place in the decoder's output.
The rules: docs/decoding.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.colour import FrameColour, frame_colour
from vqa.extract.container import DEFAULT_MAX_PIXELS, Opened, check_size, opened
from vqa.extract.decoded_timeline import decode_timeline
from vqa.extract.packet_times import PacketTimes
from vqa.extract.packets import CODECS_WITH_KEY_FLAGS, decode_packets, read_packets
from vqa.extract.pixels import to_pixels
from vqa.extract.reading import describe_unread
from vqa.extract.tags import StreamTags
from vqa.extract.timeline import DEFAULT_MAX_SECONDS, Timeline

if TYPE_CHECKING:
    from vqa.extract.packets import Packet

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "DEFAULT_MAX_SECONDS",
    "FalseTimelineError",
    "Passage",
    "Timeline",
    "decode_frames",
    "read_timeline",
]

# A jump to a key frame pays from about so many skipped frames on.
_WORTH_A_JUMP = 12


class FalseTimelineError(VideoError):
    """A timeline that was read from packets is not that of the decoded frames: read it again, `decoded=True`."""


@dataclass(eq=False)
class Passage:
    """Where decoding of a video from its start was left, so that it may go on there: its decoder stays open."""

    timeline: Timeline | None = None
    """Of the decoded frames, where that of the packets was found to be false."""
    colour: FrameColour | None = None
    """By what its first frame was converted, of those that were decoded."""
    _frames: Iterator[tuple[int, av.VideoFrame]] | None = None
    """Those to come, with their indices."""
    _reached: int = -1
    """The index of the last frame that is gone."""

    def note_colour(self, frame: av.VideoFrame, tags: StreamTags) -> None:
        """Note by what a frame is converted, if it is the first; one that can't be is told where it is converted."""
        if self.colour is None:
            with contextlib.suppress(VideoError):
                self.colour = frame_colour(frame, tags)

    def take(self, index: int) -> Iterator[tuple[int, av.VideoFrame]] | None:
        """Return the frames to come, if one is still among them; the passage is empty then."""
        frames, self._frames = self._frames, None
        return frames if self._reached < index else None

    def leave(self, frames: Iterator[tuple[int, av.VideoFrame]], reached: int) -> None:
        """Keep the frames to come; those up to an index are gone."""
        self._frames, self._reached = frames, reached


def read_timeline(
    path: Path,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_seconds: float = DEFAULT_MAX_SECONDS,
    decoded: bool = False,
) -> Timeline:
    """Read when each frame of a video is shown.

    Args:
        path: The video file.
        max_pixels: A larger frame is refused.
        max_seconds: A longer video is refused once its packets show it, whatever its header says.
        decoded: Decode all of it for its times, even if nothing speaks against those of its packets.

    Raises:
        VideoError: no video stream, fewer than two frames, too many pixels or frames, too long, damaged or truncated.
    """
    with opened(path, max_pixels) as (container, stream):
        check_size(stream.codec_context.width, stream.codec_context.height, max_pixels)
        packets = PacketTimes(container, stream, max_seconds)
        packets.read(read_packets(container, stream))
    if packets.are_trusted and not decoded:
        return packets.timeline()
    try:
        with opened(path, max_pixels, stream_index=packets.choice.index) as (container, stream):
            return decode_timeline(container, stream, packets, max_seconds)
    except VideoError as error:
        error.reading = error.reading or describe_unread(packets.choice, packets.shown)
        raise


def decode_frames(
    path: Path,
    timeline: Timeline,
    wanted: NDArray[np.intp],
    *,
    threads: int = 1,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    passage: Passage | None = None,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode the wanted frames in one pass, in the order in which they are shown.

    Args:
        path: The video file.
        timeline: What `read_timeline` said of it.
        wanted: Indices into the timeline, ascending and distinct.
        threads: Of the codec; the pixels don't depend on it.
        max_pixels: A larger frame is refused; the size may change within a stream.
        passage: Of this very file: taken up where it was left, instead of decoding from the start once more.

    Yields:
        A frame's index, and its pixels: R'G'B', full range 0 to 255, shape (H, W, 3), upright.

    Raises:
        FalseTimelineError: wanted frames don't come at their times: these are false, or the file is damaged.
        VideoError: a wanted frame is damaged or too large, or its colour is PQ or HLG.
    """
    left, passage = [int(index) for index in wanted], passage or Passage()
    with contextlib.suppress(_LostError):
        for index, frame in _jumping(opened(path, max_pixels, threads, timeline.choice.index), timeline, left):
            passage.note_colour(frame, timeline.tags)
            yield index, to_pixels(frame, max_pixels, timeline.tags)
            left = left[1:]
    if left:
        source = opened(path, max_pixels, threads, timeline.choice.index)
        for index, frame in _sequential(source, timeline, left, len(wanted), passage):
            passage.note_colour(frame, timeline.tags)
            yield index, to_pixels(frame, max_pixels, timeline.tags)


class _LostError(Exception):
    """After a jump the frames were not the expected ones."""


def _sequential(
    source: Opened, timeline: Timeline, left: Sequence[int], wanted: int, passage: Passage
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode from the start, or on, until all frames that are left of those wanted were there."""
    missing = set(left)
    frames = passage.take(left[0]) or _from_start(source, timeline)
    for index, frame in frames:
        if index not in missing:
            continue
        if frame.is_corrupt:
            raise VideoError(f"the frame at {timeline.pts_seconds[index]:.2f} s is damaged; fetch the file again")
        yield index, frame
        missing.remove(index)
        if not missing:
            passage.leave(frames, index)
            return
    raise FalseTimelineError(
        f"{len(missing)} of {wanted} frames can't be decoded, the first at "
        f"{timeline.pts_seconds[min(missing)]:.2f} s; the file is truncated or damaged: fetch it again"
    )


def _from_start(source: Opened, timeline: Timeline) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode the frames of a timeline from the start on; see `_frames_of`."""
    with source as (container, stream):
        yield from _frames_of(container, stream, timeline)


def _frames_of(
    container: av.container.InputContainer, stream: av.VideoStream, timeline: Timeline
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode the frames of a timeline, each with its index, as far as they are the expected ones."""
    frames = _decoded(read_packets(container, stream), stream)
    if timeline.places is None:
        start = int(timeline.pts[0])
        begun = dropwhile(lambda frame: frame.pts is None or frame.pts < start, frames)
        first = next(begun, None)
        if first is not None and (first.key_frame or timeline.tags.codec not in CODECS_WITH_KEY_FLAGS):
            yield from _expected(chain([first], begun), timeline, 0)
        return
    index, count = 0, len(timeline.places)
    for place, frame in enumerate(frames):
        if place == timeline.places[index]:
            yield index, frame
            index += 1
            if index == count:
                return


def _decoded(packets: Iterable[Packet], stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    return (frame for _, frame in decode_packets(packets, stream) if frame is not None)


def _expected(frames: Iterable[av.VideoFrame], timeline: Timeline, begin: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Give frames their indices, from `begin` on, until one that should come does not."""
    index, count = begin, len(timeline.pts)
    for frame in frames:
        if frame.pts is None or frame.pts > timeline.pts[index]:
            return
        if frame.pts == timeline.pts[index]:
            yield index, frame
            index += 1
            if index == count:
                return


def _jumping(source: Opened, timeline: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode with jumps to key frames: nothing where none pays, `_LostError` at the first doubt."""
    runs = _runs(timeline.keys, wanted)
    if all(key is None for key, _ in runs):
        return
    with source as (container, stream):
        try:
            for key, run in runs:
                frames = (
                    _frames_of(container, stream, timeline)
                    if key is None
                    else _from_key(container, stream, timeline, key)
                )
                for index in run:
                    frame = next((frame for found, frame in frames if found == index), None)
                    if frame is None or frame.is_corrupt:
                        raise _LostError
                    yield index, frame
        except av.FFmpegError as error:
            raise _LostError from error


def _runs(keys: NDArray[np.intp], wanted: Sequence[int]) -> list[tuple[int | None, list[int]]]:
    """Group wanted frames by the key frame to jump to before them, as a position in `keys`; None: go on from the start.

    keys    |         |         |         |         |
    wanted    x  x                          x     x
            start: 2                      jump: 2
    """
    runs: list[tuple[int | None, list[int]]] = [(None, [])]
    position = 0
    for index in wanted:
        key = int(np.searchsorted(keys, index, side="right")) - 1
        if key >= 0 and keys[key] - position >= _WORTH_A_JUMP:
            runs.append((key, []))
        runs[-1][1].append(index)
        position = index
    return [run for run in runs if run[1]]


def _from_key(
    container: av.container.InputContainer, stream: av.VideoStream, timeline: Timeline, key: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Jump to a key frame and decode from it on; the first frame is it."""
    index, dts = int(timeline.keys[key]), int(timeline.key_dts[key])
    pts = int(timeline.pts[index])
    decoded = _decoded(_packets_from(container, stream, pts, dts), stream)
    # What is shown before the key frame may lack what it refers to.
    frames = dropwhile(lambda frame: frame.pts is None or frame.pts < pts, decoded)
    first = next(frames, None)
    if first is None or not first.key_frame:
        raise _LostError
    return _expected(chain([first], frames), timeline, index)


def _packets_from(
    container: av.container.InputContainer, stream: av.VideoStream, pts: int, dts: int
) -> Iterator[Packet]:
    for target in (pts, dts):  # a container is searched by the one or the other
        container.seek(target, stream=stream)
        packets = read_packets(container, stream)
        for packet in packets:
            if packet.pts == pts and packet.is_keyframe:
                return chain([packet], packets)
            if packet.dts is None or packet.dts > dts:
                break
    raise _LostError
