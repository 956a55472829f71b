"""Jumps to key frames: what they skip, and that the pixels are those of a decode from the start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import GREYS, grey_frames, remux, textured_frames, write_video
from numpy.typing import NDArray

import vqa.extract.packet_times
import vqa.extract.video
from vqa.errors import VideoError
from vqa.extract.video import Timeline, _runs, decode_frames, read_timeline

X264 = {"qp": "20", "g": "16", "keyint_min": "16", "sc_threshold": "0", "bf": "3"}
X265 = "lossless=1:keyint=16:min-keyint=16:scenecut=0:bframes=3:log-level=none:frame-threads=1:pools=none"
VPX = {"g": "16", "lag-in-frames": "8", "auto-alt-ref": "1", "cpu-used": "8", "deadline": "realtime"}

# name: codec, options, key frames that may be jumped to. The first in an MKV has no decoding time, and needs none.
STREAMS: dict[str, tuple[str, dict[str, str], int]] = {
    "closed.mp4": ("libx264", X264, 6),
    "closed.mov": ("libx264", X264, 6),
    "closed.mkv": ("libx264", X264, 5),
    "closed.ts": ("libx264", X264, 6),
    "closed.flv": ("libx264", X264, 6),
    "closed.avi": ("libx264", X264, 0),
    "open.mp4": ("libx264", X264 | {"x264-params": "open-gop=1"}, 1),
    "open.ts": ("libx264", X264 | {"x264-params": "open-gop=1"}, 1),
    "refresh.ts": ("libx264", {"qp": "20", "g": "16", "intra-refresh": "1", "bf": "0"}, 1),
    "hevc-open.mp4": ("libx265", {"x265-params": f"{X265}:open-gop=1"}, 6),
    "hevc-open.ts": ("libx265", {"x265-params": f"{X265}:open-gop=1"}, 6),
    "hevc-closed.mkv": ("libx265", {"x265-params": f"{X265}:open-gop=0"}, 5),
    "9.webm": ("libvpx-vp9", VPX, 6),
    "8.webm": ("libvpx", VPX, 6),
    "1.mkv": ("libsvtav1", {"g": "16", "preset": "12", "svtav1-params": "lp=1"}, 6),
    "mpeg2.ts": ("mpeg2video", {"g": "16", "bf": "2"}, 0),
    "mpeg4.mp4": ("mpeg4", {"g": "16", "bf": "2"}, 0),
    "jpeg.avi": ("mjpeg", {}, 96),
}


@pytest.fixture
def jumps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The times of the key frames jumped to, in ticks."""
    made: list[int] = []
    original = vqa.extract.video._packets_from

    def counting(container: Any, stream: Any, pts: int, dts: int) -> Iterator[Any]:
        made.append(pts)
        return original(container, stream, pts, dts)

    monkeypatch.setattr(vqa.extract.video, "_packets_from", counting)
    return made


def pixels(path: Path, timeline: Timeline, wanted: list[int], threads: int = 1) -> dict[int, NDArray[np.uint8]]:
    return dict(decode_frames(path, timeline, np.array(wanted, dtype=np.intp), threads=threads))


def assert_like_the_whole(path: Path, timeline: Timeline, wanted: list[int], threads: int = 1) -> None:
    count = len(timeline.pts)
    whole = pixels(path, replace(timeline, keys=np.empty(0, np.intp)), list(range(count)))
    found = pixels(path, timeline, wanted, threads)
    assert list(found) == wanted
    for index, rgb in found.items():
        assert np.array_equal(rgb, whole[index]), index


@pytest.mark.parametrize("name", STREAMS)
def test_frames_after_a_jump_are_those_of_a_whole_decode(tmp_path: Path, name: str, jumps: list[int]) -> None:
    codec, options, keys = STREAMS[name]
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / name, textured_frames(96), codec=codec, pix_fmt=pix_fmt, options=options)
    timeline = read_timeline(path)
    assert len(timeline.pts) == 96
    assert len(timeline.keys) == keys
    for threads in (1, 2):
        assert_like_the_whole(path, timeline, [3, 32, 35, 66, 94], threads)
    assert (len(jumps) > 0) == (keys > 1)


def test_a_jump_leads_to_the_right_frame(tmp_path: Path, jumps: list[int]) -> None:
    options = {"qp": "4", "bf": "3", "g": "8", "keyint_min": "8", "sc_threshold": "0"}
    path = write_video(tmp_path / "g.mp4", grey_frames(range(10, 106)), options=options)
    found = pixels(path, read_timeline(path), [0, 31, 40, 41, 95])
    assert {index: int(rgb[0, 0, 0]) for index, rgb in found.items()} == {0: 10, 31: 41, 40: 50, 41: 51, 95: 105}
    assert len(jumps) == 2  # to 24 and to 88; 40 is only eight frames after 31


def test_a_jump_keeps_rotation_and_late_starts(tmp_path: Path, jumps: list[int]) -> None:
    options = {"qp": "0", "bf": "0", "g": "8", "keyint_min": "8", "sc_threshold": "0"}
    frames = grey_frames(range(10, 58))
    for frame in frames:
        frame[:32] = 255
    path = write_video(
        tmp_path / "r.mp4", frames, options=options, rotation=180, pts=list(range(900, 948)), time_base=Fraction(1, 25)
    )
    found = pixels(path, read_timeline(path), [1, 46])
    assert [(int(rgb[0, 0, 0]), int(rgb[-1, 0, 0])) for rgb in found.values()] == [(11, 255), (56, 255)]
    assert len(jumps) == 1


def test_variable_frame_rate_and_edit_lists_do_not_lead_a_jump_astray(tmp_path: Path, jumps: list[int]) -> None:
    options = {"qp": "4", "bf": "3", "g": "8", "keyint_min": "8", "sc_threshold": "0"}
    pts = np.cumsum(np.random.default_rng(0).integers(1, 400, 48)).tolist()
    path = write_video(
        tmp_path / "v.mkv", grey_frames(range(10, 58)), options=options, pts=pts, time_base=Fraction(1, 1000)
    )
    moved = remux(path, tmp_path / "v.mp4")  # its index begins before zero, and an edit list says so
    for copy in (path, moved):
        assert_like_the_whole(copy, read_timeline(copy), [2, 26, 47])
        assert [int(rgb[0, 0, 0]) for rgb in pixels(copy, read_timeline(copy), [2, 26, 47]).values()] == [12, 36, 57]
    assert len(jumps) == 8


def test_a_false_key_frame_costs_time_but_no_pixel(tmp_path: Path, jumps: list[int]) -> None:
    path = write_video(tmp_path / "f.mp4", textured_frames(96), codec="libx264", pix_fmt="yuv420p", options=X264)
    timeline = read_timeline(path)
    no_key = replace(timeline, keys=np.array([0, 37]), key_dts=timeline.pts[[0, 37]])
    assert_like_the_whole(path, no_key, [1, 40, 90])
    late = replace(timeline, key_dts=timeline.key_dts - 10**6)
    assert_like_the_whole(path, late, [1, 40, 90])
    assert len(jumps) >= 2


def test_a_frame_that_never_comes_is_not_replaced_by_its_neighbour(tmp_path: Path, jumps: list[int]) -> None:
    path = write_video(tmp_path / "n.mp4", textured_frames(96), codec="libx264", pix_fmt="yuv420p", options=X264)
    timeline = read_timeline(path)
    moved = timeline.pts.copy()
    moved[90] += 1
    with pytest.raises(VideoError, match=r"1 of 2 frames can't be decoded, the first at 3\.60 s"):
        pixels(path, replace(timeline, pts=moved), [40, 90])
    assert len(jumps) == 2


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_an_index_that_calls_every_frame_a_key_frame_costs_no_pixel(tmp_path: Path, codec: str) -> None:
    options = X264 if codec == "libx264" else {"x265-params": f"{X265}:open-gop=0"}
    path = write_video(tmp_path / "k.mp4", textured_frames(96), codec=codec, pix_fmt="yuv420p", options=options)
    content = path.read_bytes()
    assert content.count(b"stss") == 1
    path.write_bytes(content.replace(b"stss", b"free"))  # without a sync sample table all samples are sync samples
    timeline = read_timeline(path)
    assert len(timeline.keys) == (6 if codec == "libx264" else 96)
    assert_like_the_whole(path, timeline, [3, 40, 41, 90])


def test_runs_begin_where_a_jump_skips_at_least_twelve_frames() -> None:
    keys = np.arange(0, 120, 10)
    assert _runs(keys, [3, 8, 12]) == [(None, [3, 8, 12])]
    assert _runs(keys, [3, 44, 45, 119]) == [(None, [3]), (4, [44, 45]), (11, [119])]
    assert _runs(keys, [8, 29, 32]) == [(None, [8]), (2, [29, 32])]
    assert _runs(keys, [9, 29, 32]) == [(None, [9, 29, 32])]
    assert _runs(keys, [29, 32]) == [(2, [29, 32])]
    assert _runs(np.empty(0, np.intp), [3, 400]) == [(None, [3, 400])]
    sparse_keys = _runs(np.array([0, 250, 500]), list(range(7, 720, 15)))
    assert [(key, len(run)) for key, run in sparse_keys] == [(None, 33), (2, 15)]


@pytest.mark.parametrize("options", [{"qp": "20", "bf": "3"}, {"qp": "20", "bf": "3", "slices": "4"}])
def test_two_threads_give_the_same_pixels(tmp_path: Path, options: dict[str, str]) -> None:
    path = write_video(tmp_path / "t.mp4", textured_frames(48), codec="libx264", pix_fmt="yuv420p", options=options)
    timeline = read_timeline(path)
    one, two = (pixels(path, timeline, list(range(48)), threads) for threads in (1, 2))
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[index], two[index]) for index in one)


def test_reading_times_keeps_no_packets(tmp_path: Path) -> None:
    noise = [np.random.default_rng(i).integers(0, 255, (240, 320, 3), dtype=np.uint8) for i in range(16)]
    path = write_video(tmp_path / "n.nut", noise * 16, codec="rawvideo", pix_fmt="rgb24", options={})
    assert path.stat().st_size > 58_000_000
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom vqa.extract.video import read_timeline\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak()\nassert len(read_timeline(Path(sys.argv[1])).pts) == 256\nprint(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000  # kilobytes


def test_a_stream_of_too_many_frames_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "m.mp4", grey_frames())
    monkeypatch.setattr(vqa.extract.packet_times, "MAX_FRAMES", len(GREYS))
    assert len(read_timeline(path).pts) == 24
    monkeypatch.setattr(vqa.extract.packet_times, "MAX_FRAMES", len(GREYS) - 1)
    with pytest.raises(VideoError, match="more than 23 frames; cut it into parts"):
        read_timeline(path)
