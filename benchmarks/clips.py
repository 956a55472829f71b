"""Clips for the benchmarks, made by code: a camera moving over a photograph, with grain, in H.264."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

_PHOTOS = ("china.jpg", "flower.jpg")
_RATE = 30
_BT709, _BT601 = 1, 5
_LIMITED, _FULL = 1, 2
_HD_LINES = 720


def make_clip(path: Path, *, lines: int, seconds: float, seed: int) -> Path:
    """Write a clip of 16:9, 30 frames a second, x264 at its defaults (CRF 23, a key frame every 250 frames).

    The camera moves in a slow circle over an enlarged photograph; grain of 2 grey levels keeps the encoder honest.
    Tagged as what it is, BT.709 from 720 lines on and BT.601 below, limited range: untagged files are read in several
    ways.
    """
    matrix = _BT709 if lines >= _HD_LINES else _BT601
    random = np.random.default_rng(seed)
    height, width = lines, -(-lines * 16 // 9 // 2) * 2
    photo = Image.fromarray(load_sample_image(_PHOTOS[seed % len(_PHOTOS)]))
    scale = 1.5 * max(height / photo.height, width / photo.width)
    large = np.asarray(
        photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
    )
    rooms = large.shape[0] - height, large.shape[1] - width
    grain = random.normal(0, 2, (height + 64, width + 64, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, width=width, height=height, pix_fmt="yuv420p")
        stream.time_base = Fraction(1, _RATE)
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, _LIMITED
        for number in range(round(seconds * _RATE)):
            angle = 2 * np.pi * (number / _RATE / 10 + seed / 12)
            top, left = int(rooms[0] * (1 + np.sin(angle)) / 2), int(rooms[1] * (1 + np.cos(angle)) / 2)
            down, right = random.integers(0, 64, 2)
            frame = large[top : top + height, left : left + width] + grain[down : down + height, right : right + width]
            rgb = av.VideoFrame.from_ndarray(frame.clip(0, 255).astype(np.uint8), format="rgb24")
            picture = rgb.reformat(
                format="yuv420p", dst_colorspace=matrix, src_color_range=_FULL, dst_color_range=_LIMITED
            )
            picture.colorspace, picture.color_range, picture.pts = matrix, _LIMITED, number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def repeat_clip(path: Path, source: Path, times: int) -> Path:
    """Write a clip several times end to end into one file, its packets as they are."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        video = reader.streams.video[0]
        stream = writer.add_stream_from_template(video)
        packets = [packet for packet in reader.demux(video) if packet.size]
        duration = max(packet.pts + packet.duration for packet in packets) - min(packet.pts for packet in packets)
        times_of = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(times):
            for packet, (pts, dts) in zip(packets, times_of, strict=True):
                packet.stream = stream
                packet.pts, packet.dts = pts + turn * duration, dts + turn * duration
                packet.time_base = video.time_base
                writer.mux(packet)
    return path
