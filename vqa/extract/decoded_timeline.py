"""The timeline of a stream whose packets can't be trusted: all of it is decoded once for the times of its frames."""

from __future__ import annotations

from array import array
from dataclasses import replace

import av
import numpy as np
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.frame_times import ABSENT, FrameTimes, arrange_times
from vqa.extract.packet_times import PacketTimes
from vqa.extract.packets import CODECS_WITH_KEY_FLAGS, decode_packets, read_packets
from vqa.extract.reading import describe_unread
from vqa.extract.timeline import LengthLimit, Timeline, require_two
from vqa.extract.transport_stream import count_joins

_WAITING_DECODERS = {"h264", "hevc"}
"""These show nothing before the first picture that needs nothing before it, key frame or not."""
_LONG_STEP = 1.5
"""Where data is lost the next picture is later by so many of the usual distances, at least."""


class DecodedFrames:
    """What a decoder gave: 34 bytes for each frame."""

    def __init__(self) -> None:
        self._pts, self._dts, self._durations, self._numbers = array("q"), array("q"), array("q"), array("q")
        self._keys, self._corrupt = array("b"), array("b")
        self.errors: list[int] = []
        """Numbers of packets that it could not read."""

    def read(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        """Decode a stream."""
        for number, frame in decode_packets(read_packets(container, stream), stream):
            if frame is None:
                self.errors.append(number)
                continue
            self._pts.append(ABSENT if frame.pts is None else frame.pts)
            self._dts.append(ABSENT if frame.dts is None else frame.dts)
            self._durations.append(frame.duration or 0)
            self._numbers.append(number)
            self._keys.append(frame.key_frame)
            self._corrupt.append(frame.is_corrupt)

    @property
    def pts(self) -> NDArray[np.int64]:
        """Their times, `ABSENT` where they have none, shape (N,)."""
        return np.frombuffer(self._pts, np.int64)

    @property
    def dts(self) -> NDArray[np.int64]:
        """Times of the packets at which they came out, `ABSENT` where these have none, shape (N,)."""
        return np.frombuffer(self._dts, np.int64)

    @property
    def durations(self) -> NDArray[np.int64]:
        """Shape (N,), 0 where it is not known."""
        return np.frombuffer(self._durations, np.int64)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of the packet that each comes from, -1 where that is not known; shape (N,)."""
        return np.frombuffer(self._numbers, np.int64)

    @property
    def keys(self) -> NDArray[np.bool_]:
        """Which of them refer to no other, shape (N,)."""
        return np.frombuffer(self._keys, np.bool_)

    @property
    def corrupt(self) -> NDArray[np.bool_]:
        """Which of them are damaged, shape (N,)."""
        return np.frombuffer(self._corrupt, np.bool_)


def _damaged(how: str) -> VideoError:
    """Return the refusal of a damaged file."""
    return VideoError(f"the file is truncated or damaged: {how}; fetch it again")


def decode_timeline(
    container: av.container.InputContainer, stream: av.VideoStream, packets: PacketTimes, max_seconds: float
) -> Timeline:
    """Decode a stream for the times of its frames.

    Args:
        container: Freshly opened.
        stream: Of it.
        packets: What its packets say.
        max_seconds: What lasts longer is refused.

    Raises:
        VideoError: no frame can be decoded, the stream is damaged, or its parts can't be put together.
    """
    frames = DecodedFrames()
    frames.read(container, stream)
    try:
        return _arrange(frames, packets, max_seconds)
    except VideoError as error:
        unreadable = len(frames.errors) + int(frames.corrupt.sum()) if len(frames.pts) else packets.shown
        error.reading = describe_unread(packets.choice, unreadable)
        raise


def _arrange(frames: DecodedFrames, packets: PacketTimes, max_seconds: float) -> Timeline:
    """Put decoded frames in order; errors as of `decode_timeline`."""
    if len(frames.pts) == 0:
        raise _damaged(f"none of its {packets.count} pictures can be decoded")
    clock = replace(packets.clock, paired=packets.shown >= 1.5 * len(frames.pts))
    kept = np.flatnonzero(_clean(frames, packets))
    require_two(len(kept))
    durations = frames.durations * (not packets.has_ticks_alone)
    parts = kept[arrange_times(frames.pts[kept], frames.dts[kept], durations[kept], clock).parts]
    is_key = frames.keys if packets.codec in _WAITING_DECODERS else np.isin(frames.numbers, packets.keys)
    kept = _without_loose_starts(kept, parts, is_key)
    times = arrange_times(frames.pts[kept], frames.dts[kept], durations[kept], clock)
    _refuse_damage(frames, packets, kept, times)
    require_two(len(kept))
    LengthLimit(times.time_base, max_seconds).check_whole(times.end)
    return Timeline(
        times.pts,
        times.end,
        times.time_base,
        np.empty(0, np.intp),
        np.empty(0, np.int64),
        packets.choice,
        packets.tags,
        places=kept,
        source=times.source,
        dropped=_count_dropped(frames, packets, kept, paired=clock.paired),
        unreadable=int(frames.corrupt[kept].sum()) + len(frames.errors),
    )


def _count_dropped(frames: DecodedFrames, packets: PacketTimes, kept: NDArray[np.intp], *, paired: bool) -> int:
    """Count pictures that are not shown: those of the first group that gave no frame, and frames that were left out."""
    numbers = frames.numbers[kept]
    first_group = packets.keys[1] if len(packets.keys) > 1 else packets.count
    coded = np.setdiff1d(np.arange(first_group), np.array(packets.hidden, np.int64))
    is_sure = packets.codec in _WAITING_DECODERS and not paired  # elsewhere a packet may hold no picture of its own
    absent = np.setdiff1d(coded, numbers) if is_sure else coded[coded < numbers.min()]
    left_out = np.setdiff1d(frames.numbers, numbers)
    return len(absent) + int((left_out >= first_group).sum())


def _clean(frames: DecodedFrames, packets: PacketTimes) -> NDArray[np.bool_]:
    """Tell which frames refer to nothing that came before the stream's start, and are no picture cut off at its end."""
    count = len(frames.pts)
    if packets.codec in CODECS_WITH_KEY_FLAGS:
        begun = np.flatnonzero(np.isin(frames.numbers, packets.keys) & frames.keys)
    else:
        begun = np.flatnonzero(np.isin(frames.numbers, packets.keys[:1]))
    if not packets.keys and packets.codec not in _WAITING_DECODERS:
        raise VideoError("it has no key frame: each of its pictures refers to others; fetch the whole file")
    if packets.keys and not len(begun) and packets.codec not in _WAITING_DECODERS:
        raise _damaged("its first picture can't be decoded")
    first = int(begun[0]) if len(begun) else 0
    clean = np.arange(count) >= first
    if packets.starts_clean and frames.numbers[first] == packets.keys[0]:
        clean |= frames.numbers > packets.keys[0]
    if packets.last_may_be_cut:
        clean &= frames.numbers < packets.count  # which leaves out the last
    sound = np.flatnonzero(clean & ~frames.corrupt)
    if not len(sound):
        raise _damaged("each of its pictures is")
    shown: NDArray[np.bool_] = clean & (np.arange(count) >= sound[0])
    return shown


def _without_loose_starts(
    kept: NDArray[np.intp], parts: NDArray[np.intp], is_key: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Leave out what a joined part shows before its first key frame: it refers to what was cut off."""
    keys, loose = kept[is_key[kept]], np.zeros(len(is_key), np.bool_)
    ends = np.append(parts[1:], len(is_key))
    for begin, end in zip(parts[1:].tolist(), ends[1:].tolist(), strict=True):
        place = np.searchsorted(keys, begin)
        if place == len(keys) or keys[place] >= end:
            raise VideoError(
                "it was joined of parts of which one has no key frame: its pictures refer to others; join it anew"
            )
        loose[begin : keys[place]] = True
    return kept[~loose[kept]]


def _refuse_damage(frames: DecodedFrames, packets: PacketTimes, kept: NDArray[np.intp], times: FrameTimes) -> None:
    """Refuse a stream of which the decoder could not read a picture, or has lost one.

    Raises:
        VideoError: it is damaged, or its parts can't be put together.
    """
    numbers = frames.numbers[kept]
    if packets.hides_after_restart and len(times.parts) > 1:
        raise VideoError(
            "its times begin anew amid the file, and part of what follows is hidden; cut it into the parts it was "
            "joined of"
        )
    begins = np.minimum.accumulate(numbers[::-1])[::-1][times.parts]
    ends = np.append(np.maximum.accumulate(numbers)[times.parts[1:] - 1], 1 << 62)
    lost = sum(bool(((begins < number) & (number <= ends)).any()) for number in frames.errors)
    if lost:
        raise _damaged(f"{lost} of its pictures can't be decoded")
    if not _is_whole_around(frames, packets, kept, times):
        raise _damaged("a packet is cut off")


def _is_whole_around(frames: DecodedFrames, packets: PacketTimes, kept: NDArray[np.intp], times: FrameTimes) -> bool:
    """Tell whether nothing is lost around the packets that FFmpeg has doubts of: no decoder says so dependably.

    Where segments were joined, the counter of packets begins anew between two pictures, and the next refers to none.
    """
    joins = count_joins(packets.file, packets.pid) if packets.corrupt and packets.pid is not None else 0
    if joins is None or len(packets.corrupt) > joins:
        return False
    numbers, after = frames.numbers[kept], np.diff(times.pts)
    usual = float(np.median(after))
    keys = set(packets.keys)
    for number in packets.corrupt:
        if number + 1 in keys or number < numbers.min():
            continue
        place = np.flatnonzero(numbers == number)
        if not len(place) or (after[max(0, place[0] - 1) : place[0] + 1] > _LONG_STEP * usual).any():
            return False
    return True
