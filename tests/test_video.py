from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import grey_frames, quadrants, write_sound, write_video
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.video import decode_frames, read_timeline

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def decode(path: Path, wanted: list[int]) -> list[tuple[int, NDArray[np.uint8]]]:
    return list(decode_frames(path, read_timeline(path), np.array(wanted, dtype=np.intp)))


def corners(rgb: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in rgb[y, x]) for y, x in ((5, 5), (5, -6), (-6, 5), (-6, -6))]


def assert_colours(path: Path, *, within: int) -> None:
    found = np.array(corners(decode(path, [1])[0][1]))
    assert np.abs(found - np.array([RED, GREEN, BLUE, WHITE])).max() <= within, found


@pytest.fixture
def grey_ramp(tmp_path: Path) -> Path:
    """24 frames at 25 per second; frame i is grey 10 * (i + 1)."""
    return write_video(tmp_path / "ramp.mp4", grey_frames())


def test_decodes_the_frames_it_names(grey_ramp: Path) -> None:
    assert [(index, rgb[0, 0, 0]) for index, rgb in decode(grey_ramp, [1, 3, 23])] == [(1, 20), (3, 40), (23, 240)]


def test_reads_the_time_of_each_frame(grey_ramp: Path) -> None:
    timeline = read_timeline(grey_ramp)
    assert timeline.pts_seconds.tolist() == pytest.approx([i / 25 for i in range(24)])
    assert timeline.end_seconds == pytest.approx(24 / 25)


def test_b_frames_come_in_the_order_in_which_they_are_shown(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mp4", grey_frames(), options={"qp": "4", "bf": "3"})
    with av.open(str(path)) as container:
        coded = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert coded != sorted(coded)
    assert [rgb[0, 0, 0] for _, rgb in decode(path, list(range(24)))] == list(range(10, 250, 10))


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    pts = [0, 40, 50, 300, 1000]
    path = write_video(tmp_path / "v.mkv", grey_frames()[:5], pts=pts, time_base=Fraction(1, 1000))
    assert read_timeline(path).pts_seconds.tolist() == pytest.approx([t / 1000 for t in pts])
    assert decode(path, [3])[0][1][0, 0, 0] == 40


def test_a_first_time_other_than_zero_is_the_start(tmp_path: Path) -> None:
    pts = list(range(5000, 5024))
    path = write_video(tmp_path / "late.mkv", grey_frames(), pts=pts)
    assert read_timeline(path).pts_seconds[:2].tolist() == pytest.approx([0, 0.04])
    assert decode(path, [2])[0][1][0, 0, 0] == 30


@pytest.mark.parametrize(
    ("rotation", "hflip", "expected"),
    [
        (0, False, [RED, GREEN, BLUE, WHITE]),
        (90, False, [GREEN, WHITE, RED, BLUE]),
        (180, False, [WHITE, BLUE, GREEN, RED]),
        (270, False, [BLUE, RED, WHITE, GREEN]),
        (0, True, [GREEN, RED, WHITE, BLUE]),
        (90, True, [WHITE, GREEN, BLUE, RED]),
    ],
)
def test_the_display_matrix_is_applied(
    tmp_path: Path, rotation: int, hflip: bool, expected: list[tuple[int, ...]]
) -> None:
    path = write_video(tmp_path / "r.mp4", [quadrants()] * 3, rotation=rotation, hflip=hflip)
    assert corners(decode(path, [1])[0][1]) == expected


def test_a_turn_by_another_angle_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "r.mp4", [quadrants()] * 3, rotation=30)
    with pytest.raises(VideoError, match="no multiple of 90"):
        decode(path, [1])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(("tag", "full"), [(5, False), (1, False), (1, True), (5, True)])
def test_colour_follows_the_tags(tmp_path: Path, pix_fmt: str, tag: int, full: bool) -> None:
    color = {"colorspace": tag, "color_range": 2 if full else 1}
    path = write_video(tmp_path / "c.mp4", [quadrants()] * 3, codec="libx264", pix_fmt=pix_fmt, color=color, matrix=tag)
    assert_colours(path, within=2)


def test_untagged_video_below_720_lines_is_bt601(tmp_path: Path) -> None:
    frames = [quadrants()] * 3
    assert_colours(write_video(tmp_path / "6.mp4", frames, codec="libx264", pix_fmt="yuv420p", matrix=5), within=2)


def test_untagged_video_of_720_lines_is_bt709(tmp_path: Path) -> None:
    frames = [quadrants(720, 1280)] * 3
    assert_colours(write_video(tmp_path / "7.mp4", frames, codec="libx264", pix_fmt="yuv420p", matrix=1), within=2)
    wrong = write_video(tmp_path / "w.mp4", frames, codec="libx264", pix_fmt="yuv420p", matrix=5)
    with pytest.raises(AssertionError):
        assert_colours(wrong, within=2)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(tmp_path: Path, transfer: int, name: str) -> None:
    color = {"color_trc": transfer, "colorspace": 9, "color_range": 1}
    path = write_video(
        tmp_path / "h.mp4", [quadrants()] * 3, codec="libx264", pix_fmt="yuv420p10le", color=color, matrix=9
    )
    with pytest.raises(VideoError, match=f"{name}.*convert it to SDR"):
        decode(path, [1])


def test_missing_and_empty_and_garbage_files_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        read_timeline(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="empty"):
        read_timeline(tmp_path / "empty.mp4")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    with pytest.raises(VideoError, match="no video that can be read"):
        read_timeline(tmp_path / "noise.mp4")
    with pytest.raises(VideoError, match="it is a folder"):
        read_timeline(tmp_path)


def test_a_truncated_tail_is_found(tmp_path: Path) -> None:
    noise = [np.random.default_rng(i).integers(0, 255, (64, 96, 3), dtype=np.uint8) for i in range(24)]
    options = {"qp": "0", "bf": "0"}
    whole = write_video(tmp_path / "whole.mp4", noise, options=options)
    # An index in front, as files made for streaming have: only the packets tell that the end is gone.
    front = tmp_path / "front.mp4"
    with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert len(decode(front, [1, 23])) == 2
    for part in (0.95, 0.6, 0.3):
        cut = tmp_path / f"cut{part}.mp4"
        cut.write_bytes(front.read_bytes()[: int(front.stat().st_size * part)])
        with pytest.raises(VideoError, match="truncated"):
            decode(cut, [1, 23])
    lost_index = tmp_path / "lost.mp4"
    lost_index.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(VideoError, match="truncated"):
        read_timeline(lost_index)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "sound.mp4")
    with pytest.raises(VideoError, match="no video stream"):
        read_timeline(path)


def test_one_frame_is_no_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", grey_frames()[:1])
    with pytest.raises(VideoError, match=r"1 frame\(s\).*at least 2"):
        read_timeline(path)


def test_too_many_pixels_are_refused_before_decoding(grey_ramp: Path) -> None:
    with pytest.raises(VideoError, match="96 x 64 pixels are over the limit of 6000"):
        read_timeline(grey_ramp, max_pixels=6000)


def test_a_playlist_opens_no_other_file(grey_ramp: Path, tmp_path: Path) -> None:
    list_file = tmp_path / "list.mp4"
    list_file.write_text(f"ffconcat version 1.0\nfile {grey_ramp.name}\n")
    with pytest.raises(VideoError):
        read_timeline(list_file)
    playlist = tmp_path / "playlist.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{grey_ramp.name}\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError):
        read_timeline(playlist)


@pytest.mark.parametrize("name", ["a b.mp4", "-i.mp4", "concat:x.mp4", "quo\"te'.mp4", "näme\n2.mp4"])
def test_strange_names_are_just_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "plain.mp4", grey_frames()[:3]).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(decode(Path(name), [0, 2])) == 2


def test_a_still_image_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "still.png"), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(quadrants(), format="rgb24")))
        container.mux(stream.encode())
    (tmp_path / "still.png").rename(tmp_path / "still.mp4")
    with pytest.raises(VideoError):
        read_timeline(tmp_path / "still.mp4")


def test_ffmpeg_writes_nothing_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"\0" * 5000)
    code = (
        "import sys\nfrom pathlib import Path\nfrom vqa.extract.video import read_timeline\n"
        "try: read_timeline(Path(sys.argv[1]))\nexcept Exception as e: print(type(e).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "noise.mp4")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "VideoError\n"
    assert done.stderr == ""
