"""Decoded frames to upright R'G'B': colour by the tags, rotation from the display matrix. Rules: docs/decoding.md."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.container import check_size

# ITU-T H.273: matrix coefficients and transfer characteristics.
_UNSPECIFIED = 2
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_HD_LINES = 720
_FULL_RANGE = 2
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


def to_pixels(frame: av.VideoFrame, max_pixels: int) -> NDArray[np.uint8]:
    """Return a frame as R'G'B', full range 0 to 255, shape (H, W, 3), upright.

    Raises:
        VideoError: it is too large, PQ or HLG, or has a matrix, an angle or a pixel format without a rule.
    """
    check_size(frame.width, frame.height, max_pixels)
    try:
        return _upright(_to_rgb(frame), frame)
    except ValueError as error:  # PyAV's, for side data of a kind that it has no name for
        raise VideoError(f"its frames carry data that can't be read ({error}); re-encode it") from error
    except av.FFmpegError as error:
        raise VideoError(f"its pixel format {frame.format.name} can't be converted; re-encode it to 4:2:0") from error


def _to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert to R'G'B' by the frame's tags: matrix and range as tagged, else by the rule of `DECODING_RULES`."""
    if frame.color_trc in _HDR_TRANSFERS:
        name = _HDR_TRANSFERS[frame.color_trc]
        raise VideoError(f"{name} (HDR) video is not scored as if it were SDR; convert it to SDR first")
    if frame.format.is_rgb:
        return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    tagged_full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    converted = frame.reformat(
        format="rgb24",
        src_colorspace=_matrix(frame),
        src_color_range=ColorRange.JPEG if tagged_full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_SCALING,
        threads=1,  # each worker has a core of its own
    )
    return np.asarray(converted.to_ndarray(), dtype=np.uint8)


def _matrix(frame: av.VideoFrame) -> Colorspace:
    """Return the luma-chroma matrix: the tag's, or by the number of lines where there is none."""
    if len(frame.format.components) < 3:
        return Colorspace.ITU601  # grey: any matrix gives the same; PNG tags it as RGB
    if frame.colorspace in _MATRICES:
        return _MATRICES[frame.colorspace]
    if frame.colorspace != _UNSPECIFIED:
        raise VideoError(f"its colour matrix (H.273 code {frame.colorspace}) is not supported; convert it to BT.709")
    return Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601


def _upright(rgb: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Apply the display matrix, eight right-angled orientations in all.

    With the upper left of the matrix (a b; c d), a pixel moves as x' = a x + c y, y' = b x + d y.
    """
    matrix = cast("Any", frame.side_data).get(SideDataType.DISPLAYMATRIX)
    if matrix is None:
        return rgb
    a, b, _, c, d = (np.frombuffer(matrix, dtype=np.int32)[:5] / 65536).round(3)
    if (a, d) == (0, 0) and abs(b) == abs(c) == 1:
        rgb, across, down = rgb.transpose(1, 0, 2), c, b
    elif (b, c) == (0, 0) and abs(a) == abs(d) == 1:
        across, down = a, d
    else:
        raise VideoError(
            "its display matrix turns it by an angle that is no multiple of 90 degrees; re-encode it upright"
        )
    return np.ascontiguousarray(rgb[:: int(down), :: int(across)])
