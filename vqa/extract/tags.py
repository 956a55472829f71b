"""What a container says of a stream's pictures, beside what the decoded frames say: colour, siting, cropping."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

import av
from av import logging as av_logging

UNSPECIFIED = 2
"""ITU-T H.273: of matrix coefficients, transfer characteristics and colour primaries."""
FULL_RANGE = 2

# These containers have fields for colour. What is known of a stream in another is read from its first pictures alone.
_COLOUR_CONTAINERS = {"mov", "matroska", "mxf", "flv"}
_SITINGS = {"left", "center", "topleft", "top", "bottomleft", "bottom"}
_DOLBY_VISION = re.compile(r"DOVI configuration record: .*\bprofile: (\d+), .*\bcompatibility id: (\d+)")
_CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class StreamTags:
    """What is said of all frames of a stream, read before the first is decoded; by default nothing."""

    codec: str = ""
    """FFmpeg's name of the codec."""
    matrix: int = UNSPECIFIED
    """Matrix coefficients, an H.273 code."""
    transfer: int = UNSPECIFIED
    """Transfer characteristics, an H.273 code."""
    full_range: bool = False
    """Whether the container says so."""
    siting: str = ""
    """Where shared chroma samples lie, FFmpeg's name; empty: not said."""
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Columns and rows of the stored frame that are not shown: left, top, right, bottom."""
    dolby_vision: tuple[int, int] | None = None
    """Profile and compatibility of its base layer, of the configuration record."""


def read_tags(container: av.container.InputContainer, stream: av.VideoStream) -> StreamTags:
    """Read what is said of a stream; right after it was opened, since decoding writes over some of it."""
    codec = stream.codec_context
    line, side_data = _described(container, stream.index)
    dolby_vision, cropping = _DOLBY_VISION.search(side_data), _CROPPING.search(side_data)
    left, right, top, bottom = map(int, cropping.groups()) if cropping else (0, 0, 0, 0)
    carries = container.format.name.split(",")[0] in _COLOUR_CONTAINERS
    return StreamTags(
        codec=codec.codec.canonical_name,
        matrix=codec.colorspace if carries else UNSPECIFIED,
        transfer=codec.color_trc if carries else UNSPECIFIED,
        full_range=carries and codec.color_range == FULL_RANGE,
        siting=_siting(line) if carries else "",
        crop=(left, top, right, bottom),
        dolby_vision=(int(dolby_vision[1]), int(dolby_vision[2])) if dolby_vision else None,
    )


def _described(container: av.container.InputContainer, index: int) -> tuple[str, str]:
    """Return FFmpeg's own description of a stream, and of its side data, which PyAV does not give otherwise."""
    level = av_logging.get_level()
    av_logging.set_libav_level(av_logging.VERBOSE)  # the siting of chroma is told only then
    av_logging.set_level(av_logging.INFO)
    try:
        with av_logging.Capture(local=False):  # what other threads have to say meanwhile is not printed
            text: str = cast("Any", container).dumps_format()
    finally:
        av_logging.set_level(level)
        av_logging.set_libav_level(av_logging.INFO)
    # "  Stream #0:1[0x2](und): Video: ...", "    Metadata:" and lines of it, "    Side data:" and lines of it
    own = re.search(rf"^  Stream #0:{index}\b.*: Video: (.*)\n((?:    .*\n)*)", text, re.MULTILINE)
    if own is None:
        return "", ""
    side_data = re.search(r"^    Side data:\n((?:      .*\n)*)", own[2], re.MULTILINE)
    return own[1], side_data[1] if side_data else ""


def _siting(line: str) -> str:
    """Find the siting in "hevc (Main 10), 1 reference frame, yuv420p10le(tv, bt709, progressive, topleft), 160x96"."""
    last = (inside.split(", ")[-1] for inside in re.findall(r"\w\(([^()]*)\)", line))
    return next((word for word in last if word in _SITINGS), "")
