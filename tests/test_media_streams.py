"""Which of several video streams is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from ffmpegs import ffmpeg, ts_packets
from media import GREYS, grey_frames, write_video

from vqa.errors import VideoError
from vqa.extract.container import DEFAULT_MAX_PIXELS, from_av, opened
from vqa.extract.matroska import enabled_video_tracks
from vqa.extract.video import decode_frames, read_timeline

OTHERS = tuple(250 - grey for grey in GREYS)
"""Of the second video, so that one can be told from the other."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short videos, a picture and a second of sound."""
    folder = tmp_path_factory.mktemp("parts")
    for name, greys in (("one", GREYS), ("two", OTHERS)):
        write_video(
            folder / f"{name}.mp4",
            grey_frames(greys),
            codec="libx264",
            pix_fmt="yuv420p",
            options={"qp": "4", "bf": "2", "g": "10"},
        )
    ffmpeg("-f", "lavfi", "-i", "color=c=red:s=64x64", "-frames:v", "1", folder / "cover.jpg")
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", folder / "sound.m4a")
    return folder


def shown(path: Path) -> list[int]:
    """The grey level of every frame, to the next ten."""
    timeline = read_timeline(path)
    frames = decode_frames(path, timeline, np.arange(len(timeline.pts)))
    return [round(float(pixels[32, 48].mean()), -1) for _, pixels in frames]


THUMBNAILS = {
    "first": [("cover.jpg", "one.mp4"), ["-map", "0", "-map", "1"], 1],
    "last": [("one.mp4", "cover.jpg"), ["-map", "0", "-map", "1"], 0],
    "two first": [("cover.jpg", "one.mp4"), ["-map", "0", "-map", "0", "-map", "1"], 2],
    "around": [("cover.jpg", "one.mp4"), ["-map", "0", "-map", "1", "-map", "0"], 1],
}


@pytest.mark.parametrize("name", ["t.mp4", "t.mov", "t.mkv", "fragmented.mp4", "t.avi"])
@pytest.mark.parametrize("place", THUMBNAILS)
def test_a_single_picture_beside_a_longer_stream_is_not_the_video(
    tmp_path: Path, parts: Path, place: str, name: str
) -> None:
    inputs, maps, index = THUMBNAILS[place]
    fragments = ["-movflags", "empty_moov+frag_keyframe"] if name == "fragmented.mp4" else []
    sources = [word for each in inputs for word in ("-i", str(parts / each))]
    ffmpeg(*sources, *maps, "-c", "copy", *fragments, tmp_path / name)
    assert shown(tmp_path / name) == list(GREYS)
    choice = read_timeline(tmp_path / name).choice
    assert (choice.index, choice.count) == (index, len(maps) // 2)
    if name != "fragmented.mp4":  # there FFmpeg enables one track alone, and counts no frame beforehand
        assert choice.reason == "; ".join(f"stream {each} has no more than one picture" for each in range(index))


@pytest.mark.parametrize("name", ["c.mp4", "c.mkv"])
def test_cover_art_is_none_of_the_streams(tmp_path: Path, parts: Path, name: str) -> None:
    if name == "c.mkv":
        cover = ["-attach", parts / "cover.jpg", "-metadata:s:t", "mimetype=image/jpeg"]
        ffmpeg("-i", parts / "one.mp4", *cover, "-c", "copy", tmp_path / name)
    else:
        sources = ["-i", parts / "cover.jpg", "-i", parts / "one.mp4"]
        ffmpeg(*sources, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", tmp_path / name)
    assert shown(tmp_path / name) == list(GREYS)
    assert read_timeline(tmp_path / name).choice.count == 1


def two_tracks(folder: Path, parts: Path, name: str, *options: str) -> Path:
    sources = ["-i", parts / "one.mp4", "-i", parts / "two.mp4"]
    ffmpeg(*sources, "-map", "0", "-map", "1", "-c", "copy", *options, folder / name)
    return folder / name


@pytest.mark.parametrize(("disabled", "index"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", ["d.mp4", "d.mov"])
def test_a_track_that_is_not_enabled_is_not_the_video(
    tmp_path: Path, parts: Path, name: str, disabled: int, index: int
) -> None:
    options = [f"-disposition:v:{disabled}", "0", f"-disposition:v:{1 - disabled}", "default"]
    path = two_tracks(tmp_path, parts, name, *options)
    assert shown(path) == list((GREYS, OTHERS)[index])
    choice = read_timeline(path).choice
    assert (choice.index, choice.count, choice.reason) == (index, 2, "stream 0 is not enabled" if index else "")


@pytest.mark.parametrize(("disabled", "index"), [({0}, 1), ({1}, 0), ({0, 1}, 0), (set(), 0)])
def test_a_matroska_track_that_is_not_enabled_is_not_the_video(
    tmp_path: Path, parts: Path, disabled: set[int], index: int
) -> None:
    path = two_tracks(tmp_path, parts, "m.mkv")
    pieces = path.read_bytes().split(b"\x9c\x81\x00")  # FlagLacing, which gives its place to FlagEnabled
    flags = [b"\xb9\x81\x00" if track in disabled else b"\xb9\x81\x01" for track in range(2)]
    path.write_bytes(pieces[0] + flags[0] + pieces[1] + flags[1] + pieces[2])
    assert shown(path) == list((GREYS, OTHERS)[index])
    assert read_timeline(path).choice.reason == ("stream 0 is not enabled" if index else "")


@pytest.mark.parametrize("length", [0, 3, 40, 300, 500])
def test_matroska_that_is_cut_off_or_changed_names_no_track_as_disabled(
    tmp_path: Path, parts: Path, length: int
) -> None:
    path = two_tracks(tmp_path, parts, "m.mkv")
    assert enabled_video_tracks(path) == [True, True]
    content = path.read_bytes()
    path.write_bytes(content[:length] + bytes(2000))
    assert False not in enabled_video_tracks(path)


def test_where_no_track_is_enabled_the_first_counts(tmp_path: Path, parts: Path) -> None:
    path = two_tracks(tmp_path, parts, "n.mp4")
    pieces = path.read_bytes().split(b"tkhd")
    path.write_bytes(b"tkhd".join([pieces[0], *(piece[:3] + b"\0" + piece[4:] for piece in pieces[1:])]))
    assert shown(path) == list(GREYS)


@pytest.mark.parametrize("name", ["b.mkv", "b.ts", "b.mp4", "b.avi"])
def test_of_two_streams_that_both_move_the_first_counts(tmp_path: Path, parts: Path, name: str) -> None:
    path = two_tracks(tmp_path, parts, name)
    assert shown(path) == list(GREYS)
    choice = read_timeline(path).choice
    assert (choice.index, choice.count, choice.reason) == (0, 2, "")


def programmes(folder: Path, parts: Path, first: str, second: str) -> Path:
    """Two programmes in MPEG-TS: PIDs 256 and 257."""
    sources = ["-i", parts / first, "-i", parts / second, "-map", "0", "-map", "1", "-c", "copy"]
    split = ["-program", "title=a:st=0", "-program", "title=b:st=1"]
    ffmpeg(*sources, *split, folder / "p.ts")
    return folder / "p.ts"


def test_of_two_programmes_the_first_counts_that_sends_pictures(tmp_path: Path, parts: Path) -> None:
    path = programmes(tmp_path, parts, "one.mp4", "two.mp4")
    assert shown(path) == list(GREYS)
    path.write_bytes(b"".join(packet for pid, packet in ts_packets(path) if pid != 256))
    assert shown(path) == list(OTHERS)
    assert read_timeline(path).choice.reason == "stream 0 sends nothing that can be decoded"


def test_a_first_programme_of_sound_alone_is_passed_over(tmp_path: Path, parts: Path) -> None:
    assert shown(programmes(tmp_path, parts, "sound.m4a", "one.mp4")) == list(GREYS)


def test_a_track_without_a_frame_is_passed_over(tmp_path: Path, parts: Path) -> None:
    path = tmp_path / "e.mkv"
    with av.open(str(parts / "one.mp4")) as reader, av.open(str(path), "w") as writer:
        source = reader.streams.video[0]
        writer.add_stream_from_template(source)
        stream = writer.add_stream_from_template(source)
        for packet in reader.demux(source):
            if packet.size:
                packet.stream = stream
                writer.mux(packet)
    assert shown(path) == list(GREYS)
    assert read_timeline(path).choice.index == 1


def test_a_stream_that_was_chosen_is_opened_again(tmp_path: Path, parts: Path) -> None:
    path = two_tracks(tmp_path, parts, "b.mkv")
    with opened(path, DEFAULT_MAX_PIXELS, stream_index=1) as (container, stream):
        grey = next(container.decode(stream)).to_ndarray(format="gray")[32, 48]
    assert abs(int(grey) - OTHERS[0]) <= 1
    with pytest.raises(VideoError, match=r"^the file changed while it was read"), opened(path, 1 << 20, stream_index=2):
        pass


def test_a_stream_that_comes_up_late_hides_no_frame(tmp_path: Path, parts: Path) -> None:
    def packets() -> Iterator[int]:
        yield 1
        raise IndexError("list index out of range")  # PyAV's, where it flushes a stream that it does not know

    assert list(from_av(packets())) == [1]
    ffmpeg("-stream_loop", "6", "-i", parts / "one.mp4", "-c", "copy", tmp_path / "a.ts")
    sources = ["-i", parts / "two.mp4", "-i", parts / "sound.m4a", "-c", "copy", "-output_ts_offset", "7"]
    ffmpeg(*sources, "-mpegts_flags", "+initial_discontinuity", tmp_path / "b.ts")
    path = tmp_path / "late.ts"
    path.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    assert len(read_timeline(path).pts) == 8 * len(GREYS)


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("f10_first_programme_empty.ts", 100),
        ("f10_thumbnail_track_first.mp4", 100),
        ("p06_cover_art_first.mp4", 100),
        ("u10_disabled_track_first.mp4", 100),
    ],
)
def test_hard_videos_show_their_own_frames(test_data: Path, name: str, frames: int) -> None:
    path = test_data / "hard-videos" / name
    timeline = read_timeline(path)
    found = decode_frames(path, timeline, np.arange(len(timeline.pts)))
    assert [number(pixels) for _, pixels in found] == list(range(frames))


def number(pixels: np.ndarray) -> int:
    """Read back the number that a frame carries in ten blocks of its upper third, as bits."""
    height, width = pixels.shape[0], pixels.shape[1] // 10
    rows = pixels[height // 12 : height // 4]
    bits = (rows[:, bit * width + width // 4 : (bit + 1) * width - width // 4].mean() > 125 for bit in range(10))
    return sum(1 << bit for bit, white in enumerate(bits) if white)
