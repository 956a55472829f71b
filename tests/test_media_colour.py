"""Pixels against the source they were made from: chroma formats, bit depths, odd sizes, interlaced lines, grey, HDR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media import quadrants, textured_frames, write_video
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.video import decode_frames, read_timeline


def first_frame(path: Path) -> NDArray[np.uint8]:
    return next(decode_frames(path, read_timeline(path), np.array([0])))[1]


def smooth_colours(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """A frame whose colours change slowly, so that shared chroma costs little."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height - 1, width - 1])[:, None, None]
    frame = np.stack([255 * x, 255 * y, 255 * (1 - x)], axis=-1)
    return frame.round().astype(np.uint8)


def largest_error(path: Path, made: NDArray[np.uint8]) -> int:
    found = first_frame(path)
    assert found.shape == made.shape
    return int(np.abs(found.astype(int) - made).max())


# Bounds: rounding to 8 bits of luma and chroma alone costs 2 levels (3 with the narrower blue), shared chroma the rest.
FORMATS = {
    "yuv444p": 3,
    "yuv422p": 5,
    "yuv420p": 7,
    "yuv444p10le": 1,
    "yuv422p10le": 3,
    "yuv420p10le": 6,
}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("tag", [1, 5])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_every_pixel_is_the_sources_within_the_formats_bound(
    tmp_path: Path, pix_fmt: str, tag: int, full: bool
) -> None:
    made = smooth_colours()
    color = {"colorspace": tag, "color_range": 2 if full else 1}
    path = write_video(tmp_path / "c.mp4", [made] * 2, codec="libx264", pix_fmt=pix_fmt, color=color, matrix=tag)
    assert largest_error(path, made) <= FORMATS[pix_fmt]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_bt2020_video_that_is_not_hdr_is_shown(tmp_path: Path, pix_fmt: str) -> None:
    made = smooth_colours()
    color = {"colorspace": 9, "color_range": 1, "color_trc": 14 if "10" in pix_fmt else 1}
    path = write_video(tmp_path / "c.mp4", [made] * 2, codec="libx264", pix_fmt=pix_fmt, color=color, matrix=9)
    assert largest_error(path, made) <= FORMATS[pix_fmt]


@pytest.mark.parametrize(("height", "width"), [(63, 97), (63, 96), (64, 97), (17, 33)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
def test_odd_sizes_keep_their_last_row_and_column(tmp_path: Path, pix_fmt: str, height: int, width: int) -> None:
    made = np.full((height, width, 3), 60, np.uint8)
    made[-1], made[:, -1] = 200, 230
    path = write_video(tmp_path / "o.mkv", [made] * 2, codec="ffv1", pix_fmt=pix_fmt, options={})
    assert largest_error(path, made) <= 1


@pytest.mark.parametrize(("pix_fmt", "bound"), [("yuvj420p", 8), ("yuvj422p", 8), ("yuvj444p", 8)])
def test_motion_jpeg_is_full_range(tmp_path: Path, pix_fmt: str, bound: int) -> None:
    made = smooth_colours()
    options = {"qmin": "1", "qmax": "1"}
    color = {"color_range": 2}
    path = write_video(tmp_path / "j.avi", [made] * 2, codec="mjpeg", pix_fmt=pix_fmt, color=color, options=options)
    assert largest_error(path, made) <= bound


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "gray16le"])
def test_grey_formats_use_the_full_range(tmp_path: Path, pix_fmt: str) -> None:
    made = np.repeat(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None].repeat(64, 0), 3, 2)
    path = write_video(tmp_path / "g.mkv", [made] * 2, codec="ffv1", pix_fmt=pix_fmt, options={})
    assert largest_error(path, made) <= 1


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("f.mov", "png", "rgb24"),
        ("f.mov", "png", "rgba64be"),
        ("f.mov", "png", "gray"),
        ("f.mov", "png", "ya8"),
        ("f.gif", "gif", "rgb8"),
        ("f.nut", "ffv1", "bgr0"),
        ("f.nut", "ffv1", "gbrp10le"),
        ("f.nut", "ffv1", "yuva420p"),
        ("f.nut", "ffv1", "yuv410p"),
        ("f.nut", "rawvideo", "rgb555le"),
        ("f.nut", "rawvideo", "nv12"),
        ("f.mov", "prores_ks", "yuva444p10le"),
    ],
)
def test_rarer_formats_are_converted_too(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    made = np.full((64, 96, 3), 119, np.uint8)
    made[:32] = 255
    path = write_video(tmp_path / name, [made] * 2, codec=codec, pix_fmt=pix_fmt, options={})
    found = first_frame(path)
    inside = np.r_[0:24, 40:64]  # lossy codecs may ring at the edge
    assert np.abs(found.astype(int) - made)[inside].max() <= (60 if pix_fmt == "rgb8" else 7)  # dithered; steps of 8


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_interlaced_lines_come_out_as_they_went_in(tmp_path: Path, order: str) -> None:
    # Two fields of different times, woven: even lines from one texture, odd lines from another.
    one, other = textured_frames(2, seed=1)[0], textured_frames(2, seed=2)[1]
    woven = one.copy()
    woven[1::2] = other[1::2]
    options = {"qp": "0", "bf": "0", "x264-params": f"{order}=1"}
    path = write_video(tmp_path / "i.mp4", [woven] * 3, codec="libx264", pix_fmt="yuv420p", options=options)
    with_flags = first_frame(path)
    assert np.abs(with_flags.astype(int) - woven).max() <= 1
    assert np.abs(with_flags[1::2].astype(int) - one[1::2]).max() > 20


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_hdr_is_refused_whatever_the_codec_and_depth(tmp_path: Path, codec: str, transfer: int, name: str) -> None:
    color = {"color_trc": transfer, "colorspace": 9, "color_range": 1}
    for pix_fmt in ("yuv420p", "yuv420p10le"):
        options = {"x265-params": "bframes=0:log-level=none:frame-threads=1:pools=none"} if codec == "libx265" else {}
        path = write_video(
            tmp_path / f"{pix_fmt}.mkv", [quadrants()] * 2, codec=codec, pix_fmt=pix_fmt, color=color, options=options
        )
        with pytest.raises(VideoError, match=f"^{name} .*convert it to SDR first$"):
            first_frame(path)


def test_a_matrix_without_a_rule_is_refused_by_its_code(tmp_path: Path) -> None:
    color = {"colorspace": 8, "color_range": 1}  # YCgCo
    path = write_video(tmp_path / "m.mkv", [quadrants()] * 2, codec="libx264", pix_fmt="yuv420p", color=color)
    with pytest.raises(VideoError, match=r"H\.273 code 8"):
        first_frame(path)


@pytest.mark.parametrize(("lines", "matrix"), [(718, 5), (720, 1), (722, 1)])
def test_untagged_video_turns_to_bt709_at_720_lines(tmp_path: Path, lines: int, matrix: int) -> None:
    made = smooth_colours(lines, 96)
    for used in (1, 5):
        path = write_video(tmp_path / f"{used}.mp4", [made] * 2, codec="libx264", pix_fmt="yuv444p", matrix=used)
        assert (largest_error(path, made) <= 3) == (used == matrix)
