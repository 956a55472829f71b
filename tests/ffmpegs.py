"""FFmpeg's own program, of the `demo` extra: it makes what PyAV can't write, and judges what is decoded."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray


def ffmpeg(*arguments: str | Path, given: bytes = b"") -> bytes:
    """Run it; return what it writes to its standard output."""
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def ffmpeg_pixels(path: Path, height: int, width: int, **scale: str) -> NDArray[np.uint8]:
    """Return a file's frames as FFmpeg shows them, shape (T, H, W, 3); `scale` are options of its scaler."""
    options = {"flags": "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp", "out_range": "pc"} | scale
    chain = f"scale={':'.join(f'{name}={value}' for name, value in options.items())},format=rgb24"
    raw = ffmpeg("-i", path, "-vf", chain, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def ts_packets(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the packets of MPEG-TS, each with its PID."""
    data = path.read_bytes()
    for at in range(0, len(data), 188):
        yield int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF, data[at : at + 188]
