"""Colour, siting and cropping that the container says, against what the frames say and what FFmpeg shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from boxes import put_clean_aperture
from dolby import put_dolby_vision, with_reshaping_units
from ffmpegs import ffmpeg, ffmpeg_pixels
from media import quadrants
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.colour import FrameColour, frame_colour
from vqa.extract.container import opened
from vqa.extract.pixels import to_pixels
from vqa.extract.tags import StreamTags, read_tags
from vqa.extract.video import decode_frames, read_timeline

HEIGHT, WIDTH = 96, 160
SOLID = np.full((HEIGHT, WIDTH, 3), (200, 60, 30), np.uint8)

ENCODERS: dict[str, tuple[str, ...]] = {
    "h264": ("libx264", "-qp", "4"),
    "hevc": ("libx265", "-x265-params", "qp=4:log-level=none:pools=none:frame-threads=1"),
    "vp9": ("libvpx-vp9", "-crf", "4", "-b:v", "0"),
    "av1": ("libaom-av1", "-crf", "4", "-cpu-used", "8"),
    "prores": ("prores_ks",),
    "ffv1": ("ffv1",),
    "mpeg2": ("mpeg2video", "-q:v", "1"),
    "mpeg4": ("mpeg4", "-q:v", "1"),
    "vp8": ("libvpx", "-crf", "4", "-b:v", "2M"),
}
FORMATS = {"prores": "yuv422p10le"}
ALONE = [("hevc", "mov"), ("hevc", "mp4"), ("hevc", "mkv"), ("prores", "mov"), ("prores", "mkv"), ("vp9", "mp4")]
ALONE += [("vp9", "webm"), ("av1", "mp4"), ("av1", "mkv"), ("h264", "mp4"), ("h264", "mkv"), ("ffv1", "mkv")]


def untagged(path: Path, codec: str, rgb: NDArray[np.uint8], *, matrix: int = 5, full: bool = False) -> Path:
    """Encode two frames of a picture, whose header says nothing of colour."""
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=FORMATS.get(codec, "yuv420p"),
        dst_colorspace=matrix,
        src_color_range=2,
        dst_color_range=2 if full else 1,
        interpolation="BICUBIC",
    )
    raw = b"".join(
        bytes(plane)[row * plane.line_size :][: plane.width * (2 if codec == "prores" else 1)]
        for plane in frame.planes
        for row in range(plane.height)
    )
    given = ["-f", "rawvideo", "-pix_fmt", frame.format.name, "-s", f"{rgb.shape[1]}x{rgb.shape[0]}", "-i", "-"]
    ffmpeg(*given, "-c:v", *ENCODERS[codec], path, given=raw * 2)
    return path


def tagged(folder: Path, source: Path, name: str, **tags: str) -> Path:
    """Copy a stream into a container that says more of its colour than the stream."""
    words = [word for tag, value in tags.items() for word in (f"-{tag}", value)]
    movie = ["-movflags", "write_colr"] if name.endswith(("mp4", "mov")) else []
    ffmpeg("-i", source, "-c", "copy", *words, *movie, folder / name)
    return folder / name


def first_frame(path: Path) -> NDArray[np.uint8]:
    return next(decode_frames(path, read_timeline(path), np.array([0])))[1]


def error(path: Path, rgb: Sequence[int] = (200, 60, 30)) -> int:
    """The largest error of a pixel, against a solid colour."""
    return int(np.abs(first_frame(path).astype(int) - rgb).max())


@pytest.mark.parametrize(("codec", "kind"), ALONE)
def test_a_matrix_that_the_container_alone_says_counts(tmp_path: Path, codec: str, kind: str) -> None:
    source = untagged(tmp_path / "u.mkv", codec, SOLID, matrix=1)
    assert error(tagged(tmp_path, source, f"t.{kind}", colorspace="bt709")) <= 5
    assert error(source) >= 10  # by the rule for what is untagged


@pytest.mark.parametrize(("codec", "kind"), [pair for pair in ALONE if pair[1] != "mov"])
def test_full_range_that_the_container_alone_says_counts(tmp_path: Path, codec: str, kind: str) -> None:
    source = untagged(tmp_path / "u.mkv", codec, SOLID, full=True)
    # MP4 keeps the range in a box that has all of it, or none.
    rest = {"colorspace": "smpte170m", "color_primaries": "smpte170m", "color_trc": "bt709"} if kind == "mp4" else {}
    assert error(tagged(tmp_path, source, f"t.{kind}", color_range="pc", **rest)) <= 5
    assert error(source) >= 10


@pytest.mark.parametrize(("tag", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
@pytest.mark.parametrize(("codec", "kind"), ALONE)
def test_hdr_that_the_container_alone_says_is_refused(
    tmp_path: Path, codec: str, kind: str, tag: str, name: str
) -> None:
    source = untagged(tmp_path / "u.mkv", codec, SOLID)
    path = tagged(tmp_path, source, f"t.{kind}", color_trc=tag, colorspace="bt2020nc", color_primaries="bt2020")
    with pytest.raises(VideoError, match=f"^{name} .*convert it to SDR first$"):
        first_frame(path)


def saying(path: Path, *options: str) -> Path:
    """H.264 of the solid colour by BT.601 in limited range, whose own header says more."""
    untagged(path.with_name("u.mkv"), "h264", SOLID)
    ffmpeg("-i", path.with_name("u.mkv"), "-c", "copy", "-bsf:v", f"h264_metadata={':'.join(options)}", path)
    return path


def test_where_tags_contradict_each_other_the_streams_own_count(tmp_path: Path) -> None:
    source = saying(tmp_path / "s.mp4", "matrix_coefficients=6", "video_full_range_flag=0")
    path = tagged(tmp_path, source, "t.mkv", colorspace="bt709", color_range="pc")
    assert read_timeline(path).tags.full_range
    assert error(path) <= 5


@pytest.mark.parametrize("codec", ["hevc", "vp9", "av1", "prores", "mpeg2"])
def test_a_container_that_says_full_is_believed_over_decoders_that_say_limited_of_all(
    tmp_path: Path, codec: str
) -> None:
    source = untagged(tmp_path / "u.mkv", codec, SOLID, full=True)
    with av.open(str(source)) as container:
        assert next(container.decode(video=0)).color_range == 1
    assert error(tagged(tmp_path, source, "t.mkv", color_range="pc")) <= 5


@pytest.mark.parametrize(("stream", "container"), [(16, "bt709"), (1, "smpte2084")])
def test_where_either_says_hdr_it_is_refused(tmp_path: Path, stream: int, container: str) -> None:
    source = saying(tmp_path / "s.mp4", f"transfer_characteristics={stream}")
    with pytest.raises(VideoError, match=r"^PQ \(HDR\)"):
        first_frame(tagged(tmp_path, source, "t.mkv", color_trc=container))


def test_a_container_that_calls_ycbcr_rgb_is_not_believed(tmp_path: Path) -> None:
    path = tagged(tmp_path, untagged(tmp_path / "u.mkv", "hevc", SOLID), "t.mkv", colorspace="rgb")
    assert read_timeline(path).tags.matrix == 0
    assert error(path) <= 5


def test_a_mastering_display_is_no_proof_of_hdr(tmp_path: Path) -> None:
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    untagged(tmp_path / "u.mkv", "h264", SOLID)
    ffmpeg("-i", tmp_path / "u.mkv", "-c:v", "libx265", "-x265-params", f"log-level=none:{display}", tmp_path / "m.mp4")
    assert error(tmp_path / "m.mp4") <= 8


@pytest.fixture(scope="module")
def hevc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untagged H.265 in MP4."""
    return untagged(tmp_path_factory.mktemp("hevc") / "h.mp4", "hevc", SOLID)


@pytest.mark.parametrize(
    ("profile", "compatibility", "name"),
    [(5, 0, "Dolby Vision profile 5"), (8, 1, "PQ"), (8, 4, "HLG"), (7, 6, "PQ"), (8, 2, ""), (4, 0, "")],
)
@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_dolby_vision_is_refused_unless_its_base_layer_is_sdr(
    tmp_path: Path, hevc: Path, kind: str, profile: int, compatibility: int, name: str
) -> None:
    path = tmp_path / "d.mp4"
    path.write_bytes(hevc.read_bytes())
    put_dolby_vision(path, profile, compatibility)
    if kind == "mkv":
        ffmpeg("-i", path, "-c", "copy", "-strict", "-2", tmp_path / "d.mkv")
        path = tmp_path / "d.mkv"
    if not name:
        assert error(path) <= 5
        return
    with pytest.raises(VideoError, match=f"^{name} .*convert it to SDR first$"):
        first_frame(path)


def test_dolby_vision_without_a_record_or_a_tag_is_refused(tmp_path: Path, hevc: Path) -> None:
    raw = ffmpeg("-i", hevc, "-c", "copy", "-f", "hevc", "-")
    (tmp_path / "r.hevc").write_bytes(with_reshaping_units(raw))
    with pytest.raises(VideoError, match=r"^Dolby Vision \(HDR\)"):
        first_frame(tmp_path / "r.hevc")


def test_h265_pictures_of_one_field_each_are_refused(tmp_path: Path) -> None:
    fields = ["-vf", "setfield=tff,separatefields", "-pix_fmt", "yuv420p", "-c:v", "libx265"]
    source = ["-f", "lavfi", "-i", "testsrc=s=96x64:d=0.4"]
    ffmpeg(*source, *fields, "-x265-params", "interlace=tff:log-level=none", tmp_path / "f.mp4")
    with pytest.raises(VideoError, match=r"^each of its pictures is one field, .* with FFmpeg's filter weave$"):
        first_frame(tmp_path / "f.mp4")


SITINGS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
BY_DEFAULT = {"h264": "left", "hevc": "left", "mpeg2": "left", "mpeg4": "left", "vp8": "center", "vp9": "center"}
BY_DEFAULT |= {"av1": "center", "ffv1": "center", "prores": "center"}


def chequered() -> NDArray[np.uint8]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] // 8 % 2 * 255
    return np.stack([x, y, x ^ y], axis=-1).astype(np.uint8)


def off(path: Path, siting: str, **scale: str) -> int:
    """The largest difference from what FFmpeg shows where told where shared chroma lies."""
    expected = ffmpeg_pixels(path, HEIGHT, WIDTH, in_chroma_loc=siting, in_color_matrix="bt601", in_range="tv", **scale)
    return int(np.abs(first_frame(path).astype(int) - expected[0]).max())


@pytest.mark.parametrize("codec", BY_DEFAULT)
def test_untagged_chroma_lies_where_the_codec_puts_it(tmp_path: Path, codec: str) -> None:
    path = untagged(tmp_path / "u.mkv", codec, chequered())
    other = "center" if BY_DEFAULT[codec] == "left" else "left"
    assert (off(path, BY_DEFAULT[codec]), off(path, other) > 40) == (0, True)


@pytest.mark.parametrize("siting", SITINGS)
def test_chroma_lies_where_the_stream_says(tmp_path: Path, siting: str) -> None:
    path = saying(tmp_path / "s.mp4", f"chroma_sample_loc_type={SITINGS.index(siting)}")
    untagged(tmp_path / "c.mkv", "h264", chequered())
    location = f"h264_metadata=chroma_sample_loc_type={SITINGS.index(siting)}"
    ffmpeg("-i", tmp_path / "c.mkv", "-c", "copy", "-bsf:v", location, path)
    assert off(path, siting) == 0


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "av1", "mpeg2", "ffv1"])
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_lies_where_matroska_alone_says(tmp_path: Path, codec: str, siting: str) -> None:
    source = untagged(tmp_path / "u.mkv", codec, chequered())
    path = tagged(tmp_path, source, "t.mkv", chroma_sample_location=siting)
    assert off(path, siting) == 0


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv"])
def test_what_the_container_crops_is_not_shown(tmp_path: Path, kind: str) -> None:
    path = untagged(tmp_path / "u.mp4", "h264", np.kron(quadrants(48, 80), np.ones((2, 2, 1), np.uint8)))
    put_clean_aperture(path, 112, 64, -8, -8)  # 16 columns at the left, 8 rows at the top, 32 and 24 at the others
    ffmpeg("-i", path, "-c", "copy", tmp_path / f"t.{kind}")
    found, shown = (
        first_frame(tmp_path / f"t.{kind}"),
        ffmpeg_pixels(tmp_path / f"t.{kind}", 64, 112, in_chroma_loc="left"),
    )
    assert found.shape == (64, 112, 3)
    assert np.abs(found.astype(int) - shown[0]).max() <= 1
    assert [found[0, 0].argmax(), found[0, -1].argmax(), found[-1, 0].argmax()] == [0, 1, 2]


def test_a_frame_that_is_cropped_away_is_refused() -> None:
    frame = av.VideoFrame.from_ndarray(quadrants(64, 96), format="rgb24")
    assert to_pixels(frame, 10_000, StreamTags(crop=(0, 0, 95, 63))).tolist() == [[[255, 0, 0]]]
    with pytest.raises(VideoError, match=r"^its container crops all of a frame away"):
        to_pixels(frame, 10_000, StreamTags(crop=(1, 0, 95, 0)))


def test_who_said_a_frames_colour_is_told(tmp_path: Path) -> None:
    source = untagged(tmp_path / "u.mkv", "vp9", SOLID)
    path = tagged(tmp_path, source, "t.mkv", colorspace="bt709")
    with opened(path, 1 << 20) as (container, stream):
        tags = read_tags(container, stream)
        frame = next(container.decode(stream))
    assert frame_colour(frame, tags) == FrameColour(1, False, matrix_source="container", range_source="frame")
    assert frame_colour(frame, StreamTags()).matrix_source == "untagged"
    red = av.VideoFrame.from_ndarray(quadrants(), format="rgb24")
    assert frame_colour(red, tags) == FrameColour(0, True, matrix_source="frame", range_source="frame")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("f08_pq_in_container_hevc.mkv", r"PQ \(HDR\)"),
        ("f09_dolby_vision_5.mp4", r"Dolby Vision profile 5 \(HDR\)"),
        ("p09_hlg_by_sei.mp4", r"HLG \(HDR\)"),
        ("u19_hevc_field_pictures.mp4", "each of its pictures is one field"),
    ],
)
def test_hard_videos_are_refused(test_data: Path, name: str, reason: str) -> None:
    with pytest.raises(VideoError, match=f"^{reason}"):
        first_frame(test_data / "hard-videos" / name)


def test_hard_videos_show_their_colours_and_sizes(test_data: Path) -> None:
    assert error(test_data / "hard-videos" / "f08_bt709_in_container_hevc.mov") <= 5
    assert first_frame(test_data / "hard-videos" / "u18_matroska_crop.mkv").shape == (64, 112, 3)
