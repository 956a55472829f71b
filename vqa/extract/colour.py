"""By which matrix and range a frame is converted, and what is refused as HDR. Who is believed: docs/decoding.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import av
from av.sidedata.sidedata import Type as SideDataType

from vqa.errors import VideoError
from vqa.extract.tags import FULL_RANGE, UNSPECIFIED, StreamTags

# ITU-T H.273: matrix coefficients and transfer characteristics.
_RGB, BT709, BT601 = 0, 1, 6
_MATRICES = {1, 4, 5, 6, 7, 9}
_NO_MATRIX_OF_A_CONTAINER = {_RGB, UNSPECIFIED, 3}  # R'G'B' can't be meant of Y'CbCr; 3 is reserved
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_HD_LINES = 720
_LIMITED_RANGE = 1

# Their decoders tell limited range from none; the others call limited what is not tagged, or must be.
_SAYS_LIMITED = {"h264", "mpeg4", "mjpeg"}

_HDR_BASE_LAYERS = {1: "PQ", 4: "HLG", 6: "PQ"}  # Dolby Vision, by the compatibility of the base layer
_SDR_BASE_LAYER, _SDR_PROFILES = 2, {4, 9}


@dataclass(frozen=True)
class FrameColour:
    """By what a frame is converted to R'G'B', and who says so."""

    matrix: int
    """Matrix coefficients, an H.273 code with a rule; 0 for R'G'B', which needs none."""
    full_range: bool
    matrix_source: str
    """`frame`, `container` or `untagged`."""
    range_source: str
    """The same."""


def frame_colour(frame: av.VideoFrame, tags: StreamTags) -> FrameColour:
    """Settle by what a frame is converted: its own tags, else the container's, else the rule for what is untagged.

    Raises:
        VideoError: it has a matrix without a rule.
    """
    if frame.format.is_rgb:
        return FrameColour(0, full_range=True, matrix_source="frame", range_source="frame")
    matrix, matrix_source = _matrix(frame, tags)
    full_range, range_source = _range(frame, tags)
    return FrameColour(matrix, full_range, matrix_source, range_source)


def check_sdr(frame: av.VideoFrame, tags: StreamTags) -> None:
    """Refuse what is HDR by anything that is said of it.

    Raises:
        VideoError: PQ, HLG, or Dolby Vision without a base layer that is SDR.
    """
    name = _HDR_TRANSFERS.get(frame.color_trc) or _HDR_TRANSFERS.get(tags.transfer) or _dolby_vision(frame, tags)
    if name:
        raise VideoError(f"{name} (HDR) video is not scored as if it were SDR; convert it to SDR first")


def _dolby_vision(frame: av.VideoFrame, tags: StreamTags) -> str | None:
    """Name what the base layer of Dolby Vision is, where that is not SDR."""
    if tags.dolby_vision:
        profile, compatibility = tags.dolby_vision
        if compatibility == _SDR_BASE_LAYER or profile in _SDR_PROFILES:
            return None
        return _HDR_BASE_LAYERS.get(compatibility, f"Dolby Vision profile {profile}")
    untagged = frame.color_trc == tags.transfer == UNSPECIFIED
    side_data = cast("Any", frame.side_data)
    if untagged and (SideDataType.DOVI_RPU_BUFFER in side_data or SideDataType.DOVI_METADATA in side_data):
        return "Dolby Vision"  # without a record and a tag, as profile 5 comes in a raw stream
    return None


def _matrix(frame: av.VideoFrame, tags: StreamTags) -> tuple[int, str]:
    if len(frame.format.components) < 3:
        return BT601, "frame"  # grey: any matrix gives the same; PNG tags it as RGB
    said, source = frame.colorspace, "frame"
    if said == _RGB and frame.format.components[1].width < frame.width:
        said = UNSPECIFIED  # that needs chroma at every pixel (H.273, 8.3)
    if said == UNSPECIFIED and tags.matrix not in _NO_MATRIX_OF_A_CONTAINER:
        said, source = tags.matrix, "container"
    if said in _MATRICES:
        return said, source
    if said != UNSPECIFIED:
        raise VideoError(f"its colour matrix (H.273 code {said}) is not supported; convert it to BT.709")
    return BT709 if frame.height >= _HD_LINES else BT601, "untagged"


def _range(frame: av.VideoFrame, tags: StreamTags) -> tuple[bool, str]:
    if frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj"):
        return True, "frame"
    limited = frame.color_range == _LIMITED_RANGE
    if tags.full_range and not (limited and tags.codec in _SAYS_LIMITED):
        return True, "container"
    return False, "frame" if limited else "untagged"
