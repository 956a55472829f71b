"""Times that headers lie about, streams cut anywhere, sizes that change: the frame that was asked for, or a reason."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import GREYS, grey_frames, quadrants, remux, textured_frames, write_parts, write_video
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.video import decode_frames, read_timeline

BY_TWELVE = {"g": "12", "keyint_min": "12", "sc_threshold": "0"}


def decode_all(path: Path) -> list[NDArray[np.uint8]]:
    timeline = read_timeline(path)
    return [rgb for _, rgb in decode_frames(path, timeline, np.arange(len(timeline.pts)))]


def greys_shown(path: Path) -> list[int]:
    return [round(float(rgb.mean())) for rgb in decode_all(path)]


def attempt(path: Path) -> tuple[dict[int, NDArray[np.uint8]], str]:
    """Return all frames by their time in ticks, or why there are none."""
    try:
        return dict(zip(read_timeline(path).pts.tolist(), decode_all(path), strict=True)), ""
    except VideoError as error:
        return {}, str(error)


def overwrite(path: Path, tag: bytes, offset: int, value: bytes) -> None:
    """Write over a number that lies so many bytes behind the end of a box's, chunk's or element's name."""
    content = bytearray(path.read_bytes())
    assert tag in content
    at = content.index(tag) + len(tag) + offset
    content[at : at + len(value)] = value
    path.write_bytes(content)


# Where the numbers lie: ISO/IEC 14496-12 (version 0 of the boxes), the AVI header, Matroska's Duration.
MP4_DURATIONS = [(b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)]
LIES: dict[str, list[tuple[bytes, int, bytes]]] = {
    "far-too-long.mp4": [(tag, at, struct.pack(">I", 2_000_000_000)) for tag, at in MP4_DURATIONS],
    "no-length.mp4": [(tag, at, struct.pack(">I", 0)) for tag, at in MP4_DURATIONS],
    "frames-unsaid.avi": [(b"avih", 20, struct.pack("<I", 0)), (b"strh", 36, struct.pack("<I", 0))],
    "too-many-frames.avi": [(b"avih", 20, struct.pack("<I", 10**8)), (b"strh", 36, struct.pack("<I", 10**8))],
    "false-frame-rate.avi": [(b"avih", 4, struct.pack("<I", 1))],
    "too-long.mkv": [(b"\x44\x89\x88", 0, struct.pack(">d", 1e12))],
    "too-short.mkv": [(b"\x44\x89\x88", 0, struct.pack(">d", 1.0))],
    "endless.mkv": [(b"\x44\x89\x88", 0, struct.pack(">d", float("inf")))],
    "no-number.mkv": [(b"\x44\x89\x88", 0, struct.pack(">d", float("nan")))],
    "false-frame-rate.mkv": [(b"\x23\xe3\x83\x84", 0, struct.pack(">I", 1))],
}


@pytest.mark.parametrize("name", LIES)
def test_what_a_header_says_of_length_and_rate_is_not_believed(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, grey_frames())
    for lie in LIES[name]:
        overwrite(path, *lie)
    timeline = read_timeline(path)
    assert timeline.pts_seconds.tolist() == pytest.approx([i / 25 for i in range(24)], abs=0.001)
    assert 23 / 25 < timeline.end_seconds < 25 / 25
    assert greys_shown(path) == list(GREYS)


def test_an_index_of_fewer_frames_gives_those(tmp_path: Path) -> None:
    path = write_video(tmp_path / "i.mp4", grey_frames())
    overwrite(path, b"stsz", 8, struct.pack(">I", 12))
    assert greys_shown(path) == list(GREYS[:12])


@pytest.mark.parametrize("count", [48, 100_000_000])
def test_an_index_of_more_frames_than_there_are_gives_no_false_frame(tmp_path: Path, count: int) -> None:
    path = write_video(tmp_path / "i.mp4", grey_frames())
    overwrite(path, b"stsz", 8, struct.pack(">I", count))
    found, reason = attempt(path)
    assert [round(float(rgb.mean())) for rgb in found.values()] == ([] if reason else list(GREYS))
    assert bool(reason) == ("truncated" in reason)


def test_a_first_time_below_zero_is_the_start(tmp_path: Path) -> None:
    made = write_video(tmp_path / "zero.mp4", grey_frames())
    path = remux(made, tmp_path / "below.ts", shift=-5120, avoid_negative_ts="disabled")
    timeline = read_timeline(path)
    assert int(timeline.pts[0]) == -36_000
    assert timeline.pts_seconds.tolist() == pytest.approx([i / 25 for i in range(24)])
    assert greys_shown(path) == list(GREYS)
    edited = remux(made, tmp_path / "below.mp4", shift=-5120, avoid_negative_ts="disabled")
    assert greys_shown(edited) == list(GREYS[10:])  # MP4 can say so only as an edit that leaves them out


def test_frames_that_an_edit_list_cuts_off_are_not_shown(tmp_path: Path) -> None:
    path = write_video(tmp_path / "e.mp4", grey_frames(), options={"qp": "0", "bf": "0"} | BY_TWELVE)
    content = path.read_bytes()
    ticks = 24 * 512
    edit = struct.pack(">II", 480, 0)  # in thousandths of a second, from media time 0
    assert content.count(b"elst") == 1
    overwrite(path, b"elst", 8, edit)
    assert greys_shown(path) == list(GREYS[:12])
    overwrite(path, b"elst", 8, struct.pack(">II", 480, ticks // 4))
    assert greys_shown(path) == list(GREYS[6:18])
    assert read_timeline(path).pts_seconds[:2].tolist() == pytest.approx([0, 1 / 25])


@pytest.mark.parametrize("suffix", ["h264", "hevc", "m2v"])
def test_a_raw_stream_without_times_is_counted(tmp_path: Path, suffix: str) -> None:
    codec, options = {
        "h264": ("libx264", {"qp": "4", "bf": "3"}),
        "hevc": ("libx265", {"x265-params": "lossless=1:bframes=3:log-level=none:frame-threads=1:pools=none"}),
        "m2v": ("mpeg2video", {"qmin": "1", "qmax": "1", "bf": "2"}),
    }[suffix]
    path = write_video(tmp_path / f"raw.{suffix}", grey_frames(), codec=codec, pix_fmt="yuv420p", options=options)
    assert read_timeline(path).pts_seconds.tolist() == pytest.approx([i / 25 for i in range(24)])
    assert np.abs(np.array(greys_shown(path)) - GREYS).max() <= 1


@pytest.mark.parametrize("suffix", ["ts", "h264", "mkv"])
def test_each_frame_has_the_size_it_was_made_with(tmp_path: Path, suffix: str) -> None:
    small, large = [quadrants(64, 96)] * 3, [quadrants(128, 160)[::-1].copy()] * 3
    path = write_parts(tmp_path / f"s.{suffix}", [small, large, small])
    found = decode_all(path)
    assert [rgb.shape for rgb in found] == [(64, 96, 3)] * 3 + [(128, 160, 3)] * 3 + [(64, 96, 3)] * 3
    for rgb, made in zip(found, [*small, *large, *small], strict=True):
        inner = np.abs(rgb.astype(int) - made)[:20, :30]  # chroma is shared across the edges of the quadrants
        assert inner.max() <= 2


def test_a_size_that_grows_over_the_limit_is_refused(tmp_path: Path) -> None:
    # The first part is longer than what FFmpeg looks into to learn about a stream.
    path = write_parts(tmp_path / "s.mkv", [[quadrants(64, 96)] * 60, [quadrants(96, 128)] * 3])
    timeline = read_timeline(path, max_pixels=64 * 96)
    with pytest.raises(VideoError, match="128 x 96 pixels are over the limit of 6144; raise max_pixels"):
        list(decode_frames(path, timeline, np.array([0, 61]), max_pixels=64 * 96))
    assert len(list(decode_frames(path, timeline, np.array([0, 59]), max_pixels=64 * 96))) == 2


def h264(x264: str) -> tuple[str, dict[str, str]]:
    return "libx264", {"qp": "4", "g": "10", "bf": "3", "x264-params": f"scenecut=0:b-adapt=0:{x264}"}


X265 = "lossless=1:keyint=10:min-keyint=10:bframes=3:scenecut=0:log-level=none:frame-threads=1:pools=none"
CUT: dict[str, Callable[[], tuple[str, dict[str, str]]]] = {
    "h264 open": lambda: h264("open-gop=1"),
    "h264 closed": lambda: h264("open-gop=0"),
    "hevc open": lambda: ("libx265", {"x265-params": f"{X265}:open-gop=1"}),
    "mpeg2 open": lambda: ("mpeg2video", {"g": "10", "bf": "2", "qmin": "1", "qmax": "2"}),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("side", ["head", "tail"])
def test_a_stream_cut_anywhere_shows_right_frames_or_says_why_not(tmp_path: Path, name: str, side: str) -> None:
    codec, options = CUT[name]()
    path = write_video(tmp_path / "w.ts", textured_frames(30), codec=codec, pix_fmt="yuv420p", options=options)
    timeline = read_timeline(path)
    whole = dict(zip(timeline.pts.tolist(), decode_all(path), strict=True))
    content, step = path.read_bytes(), 188 * 7
    places, decoded = range(step, len(content) - step, step), 0
    for at in places:
        cut = tmp_path / f"{at}.ts"
        cut.write_bytes(content[at:] if side == "head" else content[: at + 77])
        found, reason = attempt(cut)
        assert "\n" not in reason
        decoded += not reason
        assert all(np.array_equal(rgb, whole[pts]) for pts, rgb in found.items()), at
    assert decoded >= (len(places) // 2 if side == "head" else 3)  # all but the last group, where there are three


def test_a_stream_that_starts_in_an_open_group_begins_at_its_key_frame(tmp_path: Path) -> None:
    # Shown:  ... B I B B B P ...   Read: ... I B P B B B ...: the first B-frame refers to a frame that was cut off.
    codec, options = h264("open-gop=1")
    frames = textured_frames(30)
    whole = write_video(tmp_path / "w.mkv", frames, codec=codec, pix_fmt="yuv420p", options=options)
    cut = remux(whole, tmp_path / "cut.mkv", skip_to_key=1)
    timeline = read_timeline(cut)
    assert len(read_timeline(whole).pts) == 30
    assert len(timeline.pts) == 20
    with av.open(str(cut)) as container:
        assert sum(1 for packet in container.demux(video=0) if packet.size) == 21
    assert np.abs(decode_all(cut)[0].astype(int) - frames[10]).max() <= 3


@pytest.mark.parametrize("name", ["t.mkv", "t.ts", "t.mp4"])
def test_a_truncated_tail_costs_no_false_frame(tmp_path: Path, name: str) -> None:
    options = {"qp": "4", "bf": "2"} | BY_TWELVE
    whole = write_video(
        tmp_path / f"made-{name}", textured_frames(24), codec="libx264", pix_fmt="yuv420p", options=options
    )
    path = remux(whole, tmp_path / name, movflags="faststart")
    made, _ = attempt(path)
    content, refused = path.read_bytes(), 0
    for share in (0.3, 0.5, 0.7, 0.9, 0.97):
        path.write_bytes(content[: int(len(content) * share)])
        found, reason = attempt(path)
        refused += bool(reason)
        assert bool(reason) == ("truncated" in reason or "damaged" in reason)
        assert len(found) < 24
        assert all(np.array_equal(rgb, made[pts]) for pts, rgb in found.items())
    assert refused >= 1 if name != "t.mkv" else refused == 0


def test_one_second_is_one_second_in_every_container(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "ts", "avi", "flv", "mov", "nut"):
        path = write_video(
            tmp_path / f"s.{suffix}", grey_frames(), codec="libx264", pix_fmt="yuv420p", time_base=Fraction(1, 25)
        )
        assert read_timeline(path).pts_seconds.tolist() == pytest.approx([i / 25 for i in range(24)], abs=0.001), suffix
        assert np.abs(np.array(greys_shown(path)) - GREYS).max() <= 1, suffix
