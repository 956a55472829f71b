"""Small videos made by code, with pixels that are known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

GREYS = tuple(range(10, 250, 10))


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    codec: str = "libx264rgb",
    pix_fmt: str = "rgb24",
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    rotation: int = 0,
    hflip: bool = False,
    color: dict[str, int] | None = None,
    matrix: int | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames (H, W, 3), lossless unless `options` say otherwise; `matrix` is what RGB is converted with."""
    lossless = {"qp": "0", "bf": "0"} if codec.startswith("libx264") else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or lossless)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base = pix_fmt, time_base
        stream.codec_context.time_base = time_base
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            if pix_fmt != "rgb24":
                full = (color or {}).get("color_range") == 2
                frame = frame.reformat(
                    format=pix_fmt, dst_colorspace=matrix or 5, src_color_range=2, dst_color_range=2 if full else 1
                )
            for name, value in (color or {}).items():
                setattr(frame, name, value)
            frame.pts, frame.time_base = (pts[index] if pts else index), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey_frames(greys: Sequence[int] = GREYS, *, height: int = 64, width: int = 96) -> list[NDArray[np.uint8]]:
    """Return uniform frames of the given levels."""
    return [np.full((height, width, 3), grey, np.uint8) for grey in greys]


def quadrants(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Return a frame whose quarters are red, green, blue and white, so that every orientation differs."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2] = (255, 0, 0)
    frame[: height // 2, width // 2 :] = (0, 255, 0)
    frame[height // 2 :, : width // 2] = (0, 0, 255)
    frame[height // 2 :, width // 2 :] = (255, 255, 255)
    return frame
