"""Probe and decode a video file: time from its packets, colour by its tags, rotation from its display matrix.

Numbers in a file's header (duration, frame count) are hints and are not used: the timeline is read from the packets,
which costs no decoding, and frames are then matched on their presentation time. The rules: docs/decoding.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.container import DEFAULT_MAX_PIXELS, Opened, from_av, opened
from vqa.extract.pixels import to_pixels
from vqa.extract.timeline import DEFAULT_MAX_SECONDS, Timeline, read_timeline, with_times

__all__ = ["DEFAULT_MAX_PIXELS", "DEFAULT_MAX_SECONDS", "Passage", "Timeline", "decode_frames", "read_timeline"]

# A jump to a key frame pays from about so many skipped frames on.
_WORTH_A_JUMP = 12


@dataclass(eq=False)
class Passage:
    """Where decoding of a video from its start was left, so that it may go on there: its decoder stays open."""

    _frames: Iterator[tuple[int, av.VideoFrame]] | None = None
    """Those to come, with their times."""
    _reached: int = 0
    """The latest time among the frames that are gone, in ticks."""

    def take(self, pts: int) -> Iterator[tuple[int, av.VideoFrame]] | None:
        """Return the frames to come, if that of time `pts` is still among them; the passage is empty then."""
        frames, self._frames = self._frames, None
        return frames if self._reached < pts else None

    def leave(self, frames: Iterator[tuple[int, av.VideoFrame]], reached: int) -> None:
        """Keep the frames to come; those up to a time in ticks are gone."""
        self._frames, self._reached = frames, reached


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
        VideoError: a wanted frame can't be decoded, is too large, or its colour is PQ or HLG.
    """
    left = [int(index) for index in wanted]
    with contextlib.suppress(_LostError):
        for index, frame in _jumping(opened(path, max_pixels, threads, timeline.choice.index), timeline, left):
            yield index, to_pixels(frame, max_pixels, timeline.tags)
            left = left[1:]
    if left:
        source = opened(path, max_pixels, threads, timeline.choice.index)
        for index, frame in _sequential(source, timeline, left, len(wanted), passage or Passage()):
            yield index, to_pixels(frame, max_pixels, timeline.tags)


class _LostError(Exception):
    """After a jump the frames were not the expected ones."""


def _sequential(
    source: Opened, timeline: Timeline, left: Sequence[int], wanted: int, passage: Passage
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode from the start, or on, until all frames that are left of those wanted were there."""
    index_of = {int(timeline.pts[index]): index for index in left}
    frames = passage.take(int(timeline.pts[left[0]])) or _from_start(source)
    reached = int(timeline.pts[0])
    for pts, frame in frames:
        reached = max(reached, pts)
        index = index_of.pop(pts, None)
        if index is None:
            continue
        if frame.is_corrupt:
            raise VideoError(f"the frame at {timeline.pts_seconds[index]:.2f} s is damaged; fetch the file again")
        yield index, frame
        if not index_of:
            passage.leave(frames, reached)
            return
    first = min(index_of.values())
    raise VideoError(
        f"{len(index_of)} of {wanted} frames can't be decoded, the first at {timeline.pts_seconds[first]:.2f} s; "
        "the file is truncated or damaged: fetch it again"
    )


def _from_start(source: Opened) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode all frames, with their times."""
    with source as (container, stream):
        yield from with_times(from_av(container.decode(stream)))


def _jumping(source: Opened, timeline: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode with jumps to key frames: nothing where none pays, `_LostError` at the first doubt."""
    runs = _runs(timeline.keys, wanted)
    if all(key is None for key, _ in runs):
        return
    with source as (container, stream):
        try:
            for key, run in runs:
                frames = (
                    from_av(container.decode(stream)) if key is None else _from_key(container, stream, timeline, key)
                )
                for index in run:
                    pts = timeline.pts[index]
                    frame = next((frame for frame in frames if frame.pts is None or frame.pts >= pts), None)
                    if frame is None or frame.pts != pts or frame.is_corrupt:
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
) -> Iterator[av.VideoFrame]:
    """Jump to a key frame and decode from it on; the first frame is it."""
    pts, dts = int(timeline.pts[timeline.keys[key]]), int(timeline.key_dts[key])
    begun = False
    for packet in _packets_from(container, stream, pts, dts):
        for frame in packet.decode():
            if not begun and (frame.pts is None or frame.pts < pts):
                continue  # shown before the key frame: may lack what it refers to
            if not begun and (frame.pts != pts or not frame.key_frame):
                raise _LostError
            begun = True
            yield frame


def _packets_from(
    container: av.container.InputContainer, stream: av.VideoStream, pts: int, dts: int
) -> Iterator[av.Packet[av.VideoStream]]:
    for target in (pts, dts):  # a container is searched by the one or the other
        container.seek(target, stream=stream)
        packets = from_av(container.demux(stream))
        for packet in packets:
            if packet.pts == pts and packet.is_keyframe:
                return chain([packet], packets)
            if packet.dts is None or packet.dts > dts:
                break
    raise _LostError
