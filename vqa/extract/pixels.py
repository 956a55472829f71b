"""Decoded frames to upright R'G'B': colour by the tags, rotation from the display matrix. Rules: docs/decoding.md."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.colour import check_sdr, frame_colour
from vqa.extract.container import check_size
from vqa.extract.tags import StreamTags

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

# Their decoders put chroma at the left where their own header does not say, whatever the container says.
_LEFT_UNLESS_SAID = {"h264", "hevc", "mpeg2video", "mpeg4"}

_FRAMES_ALONE = StreamTags()


def to_pixels(frame: av.VideoFrame, max_pixels: int, tags: StreamTags = _FRAMES_ALONE) -> NDArray[np.uint8]:
    """Return a frame as R'G'B', full range 0 to 255, shape (H, W, 3), cropped and upright.

    Args:
        frame: As it was decoded.
        max_pixels: A larger one is refused.
        tags: What the container says of the stream; by default nothing, so that the frame's own tags count alone.

    Raises:
        VideoError: it is too large, a single field, HDR, or has a matrix, an angle or a pixel format without a rule.
    """
    check_size(frame.width, frame.height, max_pixels)
    if tags.codec == "hevc" and frame.interlaced_frame:  # in H.265 that is a picture of one field, never of two
        raise VideoError(
            "each of its pictures is one field, of half the height (H.265); join them first with FFmpeg's filter weave"
        )
    try:
        return _upright(_cropped(_to_rgb(frame, tags), tags.crop), frame)
    except ValueError as error:  # PyAV's, for side data of a kind that it has no name for
        raise VideoError(f"its frames carry data that can't be read ({error}); re-encode it") from error
    except av.FFmpegError as error:
        raise VideoError(f"its pixel format {frame.format.name} can't be converted; re-encode it to 4:2:0") from error


def _to_rgb(frame: av.VideoFrame, tags: StreamTags) -> NDArray[np.uint8]:
    """Convert to R'G'B' by what is said of the frame's colour, else by the rule of `DECODING_RULES`."""
    check_sdr(frame, tags)
    if frame.format.is_rgb:
        return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    colour = frame_colour(frame, tags)
    converted = _sited(frame, tags).reformat(
        format="rgb24",
        src_colorspace=_MATRICES[colour.matrix],
        src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_SCALING,
        threads=1,  # each worker has a core of its own
    )
    return np.asarray(converted.to_ndarray(), dtype=np.uint8)


def _sited(frame: av.VideoFrame, tags: StreamTags) -> av.VideoFrame:
    """Return a frame that says where its shared chroma lies, if only the container said so; swscale goes by it."""
    if tags.siting in {"", "left"} or tags.codec not in _LEFT_UNLESS_SAID:
        return frame
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add("setparams", f"chroma_location={tags.siting}"), graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return cast("av.VideoFrame", graph.pull())


def _cropped(rgb: NDArray[np.uint8], crop: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Leave out the columns and rows that the container says are not shown."""
    left, top, right, bottom = crop
    if not any(crop):
        return rgb
    height, width = rgb.shape[:2]
    if left + right >= width or top + bottom >= height:
        raise VideoError("its container crops all of a frame away; correct its cropping, for example with mkvpropedit")
    return np.ascontiguousarray(rgb[top : height - bottom, left : width - right])


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
