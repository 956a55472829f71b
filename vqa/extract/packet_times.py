"""Times read from packets, which costs no decoding, and what speaks against them; docs/decoding.md has the rules."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from vqa.errors import VideoError
from vqa.extract.frame_times import ABSENT, GAP_SECONDS, Clock
from vqa.extract.packets import CODECS_WITH_PICTURE_TYPES, is_clean_start, is_hidden, picture_type
from vqa.extract.streams import stream_choice
from vqa.extract.tags import read_tags
from vqa.extract.timeline import LengthLimit, Timeline, require_two
from vqa.extract.transport_stream import ends_whole

if TYPE_CHECKING:
    from vqa.extract.packets import Packet

MAX_FRAMES = 1 << 24
"""77 hours at 60 frames per second; a bound on memory, since the time of each frame is kept."""

_CUT_ANYWHERE = {"mpegts", "mpeg"}  # they may end amid a picture

# Where what is shown after a key frame needs nothing before it; with H.264 that is so for IDR pictures alone.
_JUMPING_CODECS = {"h264", "hevc", "vp8", "vp9", "av1"}
_PROGRESSIVE = 1
_STORED_TIMES = {"avi", "asf"}  # FFmpeg makes presentation times of those of storage
_MAY_RESTART = 0x200  # AVFMT_TS_DISCONT
_USUAL_RATE = Fraction(25)
_MOST_RATE = 12_000


class PacketTimes:
    """What packets tell: 8 bytes for each and 24 for a key frame, whatever it weighs."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, max_seconds: float) -> None:
        assert stream.time_base is not None
        context = stream.codec_context
        self.choice, self.tags = stream_choice(container, stream), read_tags(container, stream)
        self.codec, self._container = context.codec.canonical_name, container.format.name
        may_restart = bool(container.format.flags & _MAY_RESTART)
        stored = self._container in _STORED_TIMES and not context.has_b_frames
        self.clock = Clock(
            stream.time_base, _nominal_rate(stream, by_codec=may_restart), may_restart=may_restart, stored=stored
        )
        self.file, self.pid = Path(container.name), stream.id if self._container == "mpegts" else None
        """Of a transport stream, the packet identifier."""
        self.last_may_be_cut = (
            self.codec == "hevc" and self._container in _CUT_ANYWHERE and not ends_whole(self.file, self.pid)
        )
        """Whether the decoder would not say so."""
        # AVI has no presentation times: those of B-frames are guessed, and guessed anew after a jump.
        self._jumping = (self.codec in _JUMPING_CODECS and self._container != "avi") or context.codec.intra_only
        self._tells_types = self.codec in CODECS_WITH_PICTURE_TYPES
        self._reorders = context.has_b_frames and not context.codec.intra_only and not self._tells_types
        self._may_be_fields = self.codec == "h264" and context.field_order != _PROGRESSIVE
        self._length = LengthLimit(stream.time_base, max_seconds)

        self._begin_state()

    def _begin_state(self) -> None:
        self.hidden, self.corrupt, self.keys = array("q"), array("q"), array("q")
        """Numbers of packets that show no frame of their own; that FFmpeg has doubts of; of key frames."""
        self.has_ticks_alone = self._container == "avi"
        """Whether a packet's duration is a tick, however long its frame is shown."""
        self.count = 0
        self.starts_clean = False
        """Whether nothing that is shown before the first key frame, but coded after it, needs what came before it."""
        self.restarts = False
        """Whether decoding times fall, or jump ahead: parts that were joined."""
        self.hides_after_restart = False
        """Whether the container leaves out something of what comes behind it."""
        self._pts, self._key_pts, self._key_dts = array("q"), array("q"), array("q")
        self._start: int | None = None
        self._ascending, self._timed = True, True
        self._shift: int | None = None
        self._last, self._last_duration = ABSENT, 0
        """The latest of all times, and how long its frame is shown."""

    def read(self, packets: Iterator[Packet]) -> None:
        """Take all packets; the loop is what reading a sound video costs, so most of it is left to rarer cases."""
        plain = self.codec != "vp8" and not self._tells_types and not self.clock.stored
        gap = GAP_SECONDS / float(self.clock.time_base) if self.clock.may_restart else math.inf
        last_dts: int | None = None
        last_position: int | None = None
        for packet in _all_but_the_last(packets) if self.last_may_be_cut else packets:
            pts, dts, position = packet.pts, packet.dts, packet.pos
            if dts is not None:
                if last_dts is not None and not last_dts <= dts <= last_dts + gap:
                    # An edit list that shows a part once more goes back in the file, too.
                    self._note_restart(again=dts < last_dts and (position or 0) < (last_position or 0))
                last_dts = dts
            last_position = position
            if packet.is_keyframe:
                self._note_key(packet)
            if (plain and pts is not None and not packet.is_discard and not packet.is_corrupt) or self._shows(packet):
                assert pts is not None
                self._length.check(pts)
                if pts > self._last:
                    self._last, self._last_duration = pts, packet.duration or 0
                else:
                    self._ascending = False
                self._pts.append(pts)
            self.count += 1
            if self.count > MAX_FRAMES:
                raise VideoError(f"it has more than {MAX_FRAMES} frames; cut it into parts")

    def _note_restart(self, *, again: bool) -> None:
        if not again:
            self.restarts = True
            self._length.begin_anew()

    def _note_key(self, packet: Packet) -> None:
        if self._tells_types and picture_type(packet, self.codec) != 1:
            return  # an index may call every picture one
        clean = is_clean_start(packet, self.codec)
        if not self.keys:
            del self._pts[:]  # what was read before it can't be decoded
            self._ascending, self._last = True, ABSENT
            self.starts_clean, self._start = clean, packet.pts
        self.keys.append(self.count)
        pts, dts = packet.pts, packet.dts
        if pts is None or dts is None or packet.is_discard or not (clean or self.codec == "hevc"):
            return
        if self._jumping:
            self._key_pts.append(pts)
            self._key_dts.append(dts)

    def _shows(self, packet: Packet) -> bool:
        """Note what speaks against a packet; return whether it shows a frame, and says when."""
        if self._tells_types and not self._reorders:
            self._reorders = picture_type(packet, self.codec) not in {1, 2}
        if packet.is_corrupt:
            self.corrupt.append(self.count)
        if packet.is_discard or is_hidden(packet, self.codec):
            self.hides_after_restart |= packet.is_discard and self.restarts
            self.hidden.append(self.count)
            return False
        if packet.pts is None:
            self._timed = False
            return False
        if self.clock.stored:  # such a time is good only as far as it goes with that of storage
            shift = packet.pts - (packet.pts if packet.dts is None else packet.dts)
            self._timed &= shift == (shift if self._shift is None else self._shift)
            self._shift = shift
        return True

    @property
    def shown(self) -> int:
        """How many packets should show a picture, or a field of one."""
        return self.count - len(self.hidden)

    @property
    def are_trusted(self) -> bool:
        """Whether nothing speaks against the packets' times."""
        if not self._timed or self.restarts or self.corrupt or self._may_be_fields or not self.keys:
            return False
        if self.codec == "h264" and not self.starts_clean:
            return False  # its decoder may show nothing for a while yet
        if self._reorders and (self._ascending or self._container == "avi"):
            return False  # times in storage order
        pts = np.sort(np.frombuffer(self._pts, np.int64))
        return bool((pts[1:] != pts[:-1]).all())

    def timeline(self) -> Timeline:
        """Sort frames by time; a last frame of unknown duration gets the median distance of the others."""
        pts, key_pts = np.frombuffer(self._pts, np.int64), np.frombuffer(self._key_pts, np.int64)
        pts.sort()
        read = len(pts)
        if self._start is not None and not self.starts_clean:
            pts = pts[np.searchsorted(pts, self._start) :]
        require_two(len(pts))
        order = np.argsort(key_pts)
        keys, key_dts = np.searchsorted(pts, key_pts[order]), np.frombuffer(self._key_dts, np.int64)[order]
        lasts = 0 if self.has_ticks_alone else max(self._last_duration, 0)
        end = int(pts[-1]) + (lasts or int(np.median(np.diff(pts))))
        self._length.check_whole(end - int(pts[0]))
        dropped = self.keys[0] + read - len(pts)
        return Timeline(pts, end, self.clock.time_base, keys, key_dts, self.choice, self.tags, dropped=dropped)


def _all_but_the_last(packets: Iterator[Packet]) -> Iterator[Packet]:
    for packet, _ in pairwise(packets):
        yield packet


def _nominal_rate(stream: av.VideoStream, *, by_codec: bool) -> Fraction:
    """Return the frame rate that the stream claims; FFmpeg's usual one where it claims none, or nonsense.

    Args:
        stream: The stream.
        by_codec: Believe its codec first, since its container knows of times alone.
    """
    rates = [stream.codec_context.framerate] * by_codec + [stream.guessed_rate, stream.average_rate]
    return next((rate for rate in rates if rate and 0 < rate <= _MOST_RATE), _USUAL_RATE)
