"""Why nothing of a stream can be decoded, as its packets tell: it is encrypted, or never says how it is coded."""

from __future__ import annotations

import re
from pathlib import Path

import av

from vqa.extract.transport_stream import is_scrambled

ENCRYPTED = "its pictures are encrypted; decrypt it first, with the key of who issued it"
_NO_SETS = (
    "its stream lacks what the decoder is set up by (no sequence parameter set or header), as when a recording is "
    "joined late; record or fetch it with its start"
)

# NAL units of sequence parameter sets, by the bits of their first byte: ITU-T H.264 and H.265, table 7-1.
_SEQUENCE_SETS = {"h264": (0x1F, 7), "hevc": (0x7E, 33 << 1)}
# Start codes of what the others are set up by: sequence headers (ISO/IEC 13818-2) and video object layers (14496-2).
_SETUP_CODES = {"mpeg1video": rb"\xb3", "mpeg2video": rb"\xb3", "mpeg4": rb"[\x20-\x2f]"}
_PACKETS_LOOKED_AT = 100


def why_undecodable(container: av.container.InputContainer, stream: av.VideoStream, path: Path) -> str:
    """Read packets until it is known why none can be decoded; empty where they don't tell.

    Args:
        container: At its start.
        stream: The one that can't be decoded.
        path: The file, whose own packets are looked at where it is MPEG-TS.
    """
    if "enc_key_id" in stream.metadata:  # FFmpeg's, for Matroska; its packets don't say so
        return ENCRYPTED
    codec, setup = stream.codec_context.codec.canonical_name, stream.codec_context.extradata or b""
    lacking = codec in (*_SEQUENCE_SETS, *_SETUP_CODES) and not _setup_has_sets(setup, codec)
    seen = 0
    try:
        for packet in container.demux(stream):
            if packet.has_sidedata("encryption_info"):
                return ENCRYPTED
            lacking = lacking and not _has_sets(bytes(packet), codec, lengths=setup[:1] == b"\1")
            seen += 1
            if not lacking and seen >= _PACKETS_LOOKED_AT:
                return ""
    except (av.FFmpegError, OSError, IndexError):
        return ""
    if not lacking:
        return ""
    if container.format.name == "mpegts" and is_scrambled(path, stream.id):
        return ENCRYPTED
    return _NO_SETS if seen > 1 else ""  # the last is PyAV's own, which flushes the decoder


def _setup_has_sets(setup: bytes, codec: str) -> bool:
    """Look for a sequence parameter set in what a container keeps apart: ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1."""
    if setup[:1] != b"\1" or codec in _SETUP_CODES:
        return _has_sets(setup, codec, lengths=False)
    return bool(setup[5:6]) and bool(setup[5] & 0x1F) if codec == "h264" else setup[22:23] > b"\0"


def _has_sets(data: bytes, codec: str, *, lengths: bool) -> bool:
    """Look for what the decoder is set up by: sequence headers, or among NAL units behind start codes or lengths."""
    if codec in _SETUP_CODES:
        return re.search(rb"\x00\x00\x01" + _SETUP_CODES[codec], data) is not None
    mask, kind = _SEQUENCE_SETS[codec]
    if not lengths:
        return any(head[1][0] & mask == kind for head in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL))
    at = 0
    while at + 4 < len(data):
        if data[at + 4] & mask == kind:
            return True
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return False
