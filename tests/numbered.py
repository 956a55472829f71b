"""Videos whose frames carry their number, and what FFmpeg's own program and ours read back."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from ffmpegs import ffmpeg
from numpy.typing import NDArray

from vqa.extract.sampling import sample_frames
from vqa.extract.video import decode_frames, read_timeline

HEIGHT, WIDTH = 96, 160
_BITS = 10
_BLOCK = WIDTH // _BITS


def numbered_frames(numbers: Sequence[int]) -> bytes:
    """Return raw frames: ten blocks on top, black or white, are the bits of a number; moving texture lies below."""
    texture = np.random.default_rng(0).integers(60, 180, (HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(8, 1)
    frames = []
    for number in numbers:
        frame = np.roll(texture, (2 * number, 3 * number), (0, 1))
        bits = [235 if number >> bit & 1 else 16 for bit in range(_BITS)]
        frame[: HEIGHT // 3] = np.repeat(bits, _BLOCK)
        frames.append(np.repeat(frame[..., None], 3, axis=2).astype(np.uint8))
    return np.stack(frames).tobytes()


def write_numbered(path: Path, options: str, numbers: Sequence[int] = range(100), *, rate: int = 25) -> Path:
    """Encode numbered frames by FFmpeg's program."""
    raw = f"-f rawvideo -pix_fmt rgb24 -s {WIDTH}x{HEIGHT} -r {rate} -i -"
    ffmpeg(*raw.split(), *options.split(), path, given=numbered_frames(numbers))
    return path


def number_of(rgb: NDArray[np.uint8]) -> int:
    """Read a frame's number."""
    rows = slice(HEIGHT // 12, HEIGHT // 4)
    return sum(1 << bit for bit in range(_BITS) if rgb[rows, bit * _BLOCK + 4 : (bit + 1) * _BLOCK - 4].mean() > 125)


def shown(path: Path) -> list[int]:
    """Return the numbers of all frames that we show."""
    timeline = read_timeline(path)
    return [number_of(rgb) for _, rgb in decode_frames(path, timeline, np.arange(len(timeline.pts)))]


def shown_at(path: Path, count: int = 8) -> list[int]:
    """Return the numbers of the frames on screen at so many instants."""
    timeline = read_timeline(path)
    wanted = sample_frames(timeline.pts_seconds, timeline.end_seconds, count)
    numbers = {index: number_of(rgb) for index, rgb in decode_frames(path, timeline, np.unique(wanted))}
    return [numbers[index] for index in wanted]


def ffmpeg_shown(path: Path, folder: Path) -> tuple[list[int], list[float]]:
    """Return the numbers of all frames that FFmpeg's program decodes, and its times of them and of their end."""
    times = folder / "times"
    to_times = ("-map", "0:V:0", "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "framemd5", times)
    to_pixels = ("-map", "0:V:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    raw = ffmpeg("-copyts", "-noautorotate", "-i", path, *to_times, *to_pixels)
    lines = times.read_text().splitlines()
    base = next(Fraction(line.split()[-1]) for line in lines if line.startswith("#tb"))
    rows = [[int(value) for value in line.split(",")[2:4]] for line in lines if not line.startswith("#")]
    begins = [float(pts * base) for pts, _ in rows]
    numbers = [number_of(rgb) for rgb in np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)]
    return numbers, [*begins, begins[-1] + float(rows[-1][1] * base)]


def ffmpeg_shown_at(path: Path, folder: Path, count: int = 8) -> list[int]:
    """Return the numbers on screen by FFmpeg's times; by its order and 25 frames a second where these do not ascend."""
    numbers, times = ffmpeg_shown(path, folder)
    if not (np.diff(times) > 0).all():
        times = [place / 25 for place in range(len(numbers) + 1)]
    wanted = sample_frames(np.array(times[:-1]), times[-1], count)
    return [numbers[index] for index in wanted]
