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


def textured_frames(count: int, *, height: int = 64, width: int = 96, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return frames of moving grey texture, each brighter than the one before, so that references matter."""
    base = np.random.default_rng(seed).integers(0, 60, (height, width))
    frames = [np.roll(base, (3 * i, 2 * i), (0, 1)) + 180 * i // count for i in range(count)]
    return [np.repeat(frame[..., None], 3, axis=2).astype(np.uint8) for frame in frames]


def write_parts(path: Path, parts: Sequence[Sequence[NDArray[np.uint8]]], *, format_name: str | None = None) -> Path:
    """Write parts, each by an H.264 encoder of its own, into one stream whose header tells of the first alone."""
    rate, pts = Fraction(1, 25), 0
    with av.open(str(path), "w", format=format_name) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = parts[0][0].shape[:2]
        for frames in parts:
            encoder = av.CodecContext.create("libx264", "w")
            encoder.height, encoder.width = frames[0].shape[:2]
            encoder.pix_fmt, encoder.time_base, encoder.options = "yuv420p", rate, {"qp": "0", "bf": "0"}
            packets = []
            for rgb in frames:
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p", dst_colorspace=5)
                frame.pts, frame.time_base, pts = pts, rate, pts + 1
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream, packet.time_base = stream, rate
                container.mux(packet)
    return path


def remux(source: Path, target: Path, *, skip_to_key: int = 0, shift: int = 0, **options: str) -> Path:
    """Copy packets into another container, from so many key frames after the first on, and so many ticks later."""
    seen = -1
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options) as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(reader.streams.video[0]):
            seen += packet.is_keyframe
            if packet.size and seen >= skip_to_key:
                packet.pts, packet.dts = packet.pts + shift, (packet.dts or 0) + shift
                packet.stream = stream
                writer.mux(packet)
    return target


def write_still(path: Path, codec: str, pix_fmt: str) -> Path:
    """Write a picture as programs for still images do, whatever the name says."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 96, 64, pix_fmt, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(quadrants(), format="rgb24").reformat(format=pix_fmt)
    frame.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))
    return path


def write_sound(path: Path) -> Path:
    """Write a second of silence, and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
