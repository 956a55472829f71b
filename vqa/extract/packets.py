"""Packets of a stream and what its decoder makes of them, in storage order; what a packet says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import av

from vqa.errors import VideoError
from vqa.extract.container import from_av

if TYPE_CHECKING:
    Packet = av.Packet[av.VideoStream]

_PICTURE_HEADS = {
    "mpeg1video": re.compile(rb"\x00\x00\x01\x00.(.)", re.DOTALL),
    "mpeg2video": re.compile(rb"\x00\x00\x01\x00.(.)", re.DOTALL),
    "mpeg4": re.compile(rb"\x00\x00\x01\xb6(.)", re.DOTALL),
}
CODECS_WITH_PICTURE_TYPES = frozenset(_PICTURE_HEADS)
_EMPTY_VOP_BYTES = 16
_MSMPEG4 = ("msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2")
CODECS_WITH_KEY_FLAGS = frozenset([*_PICTURE_HEADS, *_MSMPEG4, "h261", "h263", "h263p", "flv1", "vp8", "vp9"])
"""Their decoders tell key frames apart; a container may call every packet one."""


def read_packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[Packet]:
    """Yield the packets of a stream that hold something, in storage order."""
    return (packet for packet in from_av(container.demux(stream)) if packet.size)


def decode_packets(packets: Iterable[Packet], stream: av.VideoStream) -> Iterator[tuple[int, av.VideoFrame | None]]:
    """Decode packets, and what the decoder still holds at their end.

    Yields:
        Frames in the order of the decoder's output, each with the number of the packet it comes from, counted from 0;
        -1 where the decoder does not tell. None in place of a frame for a packet that the decoder can't read.

    Raises:
        av.FFmpegError: it can read none of them.
    """
    stream.codec_context.copy_opaque = True
    codec = stream.codec_context.codec.canonical_name
    first_error, begun = None, False
    for number, packet in enumerate(chain(packets, [None])):
        if packet is not None:
            packet.opaque = (number,)  # a new object each time: PyAV finds them by their identity
        try:
            frames = _decoded(stream, packet)
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            first_error = first_error or error
            if packet is None or holds_picture(packet, codec):
                yield number, None
            continue
        for frame in frames:
            begun = True
            yield frame.opaque[0] if isinstance(frame.opaque, tuple) else -1, frame
    if first_error is not None and not begun:
        raise first_error


def _decoded(stream: av.VideoStream, packet: Packet | None) -> list[av.VideoFrame]:
    try:
        return stream.decode(packet)
    except av.error.BlockingIOError:  # after errors a decoder may wait for a frame to be taken, which is not there
        stream.codec_context.flush_buffers()
        return stream.decode(packet)


def holds_picture(packet: Packet, codec: str) -> bool:
    """Tell whether a packet holds a picture or a part of one; those of H.264 and H.265 may hold messages alone."""
    if codec == "h264":
        return any(1 <= head & 0x1F <= 5 for head in _nal_heads(packet))
    if codec == "hevc":
        return any(head >> 1 & 0x3F < 32 for head in _nal_heads(packet))
    return True


def is_hidden(packet: Packet, codec: str) -> bool:
    """Tell whether a packet is a reference that is never shown: VP8's show_frame bit (RFC 6386, section 9.1)."""
    return codec == "vp8" and not bytes(memoryview(packet)[:1])[0] & 0x10


def picture_type(packet: Packet, codec: str) -> int | None:
    """Return 1 for a picture that refers to no other, 2 for one that refers back, 3 for one that refers ahead, too.

    They are picture_coding_type (ISO/IEC 13818-2, 6.3.9) and vop_coding_type (ISO/IEC 14496-2, 6.3.5) of the codecs in
    `CODECS_WITH_PICTURE_TYPES`; None where a packet has none, or holds a picture that says only that nothing changed.
    """
    found = _PICTURE_HEADS[codec].search(bytes(packet))
    if found is None or (codec == "mpeg4" and packet.size <= _EMPTY_VOP_BYTES):
        return None
    return (found[1][0] >> 6) + 1 if codec == "mpeg4" else found[1][0] >> 3 & 7


def is_clean_start(packet: Packet, codec: str) -> bool:
    """Tell whether even the frames shown before a key frame, but coded after it, need nothing from before it."""
    if codec in {"mpeg1video", "mpeg2video"}:
        header = re.search(rb"\x00\x00\x01\xb8...(.)", bytes(packet), re.DOTALL)
        return header is not None and bool(header[1][0] & 0x40)  # closed_gop
    if codec == "h264":
        return next((kind == 5 for kind in map(0x1F.__and__, _nal_heads(packet)) if 1 <= kind <= 5), False)
    if codec == "hevc":
        return next(
            (kind in {19, 20} for kind in (head >> 1 & 0x3F for head in _nal_heads(packet)) if kind < 32), False
        )
    return codec in {"vp8", "vp9", "av1"} or packet.stream.codec_context.codec.intra_only


def _nal_heads(packet: Packet) -> Iterator[int]:
    """Yield the first byte of each NAL unit: ITU-T H.264 and H.265 annex B, or with lengths (ISO/IEC 14496-15)."""
    data, setup = bytes(packet), packet.stream.codec_context.extradata or b""
    if not setup.startswith(b"\1"):
        yield from (start[1][0] for start in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL))
        return
    place = 21 if packet.stream.codec_context.name == "hevc" else 4
    if len(setup) <= place:
        raise VideoError("its codec's header is cut off; fetch the file again")
    size = (setup[place] & 3) + 1
    at = 0
    while at + size < len(data):
        yield data[at + size]
        at += size + int.from_bytes(data[at : at + size], "big")
