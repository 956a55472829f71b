"""Every codec in every container that FFmpeg puts it into: the frames on screen are those that FFmpeg shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from ffmpegs import ffmpeg
from numbered import ffmpeg_shown, ffmpeg_shown_at, shown, shown_at, write_numbered

from vqa.errors import VideoError

X265 = "log-level=none:keyint=25:pools=none:frame-threads=1:qp=10"
CODECS = {
    "h264": "libx264 -qp 10 -bf 0 -g 25 -pix_fmt yuv420p",
    "h264 b": "libx264 -qp 10 -bf 3 -g 25 -pix_fmt yuv420p",
    "hevc": f"libx265 -x265-params {X265} -pix_fmt yuv420p",
    "mpeg2": "mpeg2video -q:v 2 -g 12 -pix_fmt yuv420p",
    "mpeg2 b": "mpeg2video -q:v 2 -bf 2 -g 12 -pix_fmt yuv420p",
    "mpeg4": "mpeg4 -q:v 2 -g 25 -pix_fmt yuv420p",
    "mpeg4 b": "mpeg4 -q:v 2 -bf 2 -g 25 -pix_fmt yuv420p",
    "vp8": "libvpx -b:v 1M -cpu-used 8 -deadline realtime -pix_fmt yuv420p",
    "vp9": "libvpx-vp9 -b:v 1M -cpu-used 8 -deadline realtime -pix_fmt yuv420p",
    "av1": "libsvtav1 -preset 12 -g 25 -svtav1-params lp=1 -pix_fmt yuv420p",
    "prores": "prores_ks -pix_fmt yuv422p10le",
    "ffv1": "ffv1 -pix_fmt yuv420p",
}
CONTAINERS = {
    "mp4": "mp4",
    "fragmented mp4": "mp4 -movflags frag_keyframe+empty_moov",
    "mkv": "matroska",
    "webm": "webm",
    "avi": "avi",
    "asf": "asf",
    "ts": "mpegts",
    "ps": "vob",
    "flv": "flv",
    "mov": "mov",
}
RAW = {"h264": "h264", "hevc": "hevc", "mpeg2": "mpeg2video", "mpeg4": "m4v", "vp8": "ivf", "vp9": "ivf", "av1": "obu"}
NOT_MUXED = {
    "h264": {"webm"},
    "hevc": {"webm", "asf"},
    "mpeg2": {"webm", "flv"},
    "mpeg4": {"webm", "flv"},
    "vp8": {"mp4", "fragmented mp4", "flv", "mov"},
    "vp9": {"mov"},
    "av1": {"mov"},
    "prores": {"mp4", "fragmented mp4", "webm", "flv"},
    "ffv1": {"webm", "flv"},
}
PAIRS = [
    (codec, container)
    for codec in CODECS
    for container in [*CONTAINERS, *(["raw"] if codec.split()[0] in RAW else [])]
    if container not in NOT_MUXED[codec.split()[0]]
]
# The times of their B-frames do not ascend as they are decoded: the order and the nominal rate count.
WITHOUT_PRESENTATION_TIMES, REORDERED = {"avi", "asf"}, {"h264 b", "hevc", "mpeg2 b", "mpeg4 b"}
# FFmpeg writes these, and finds no picture in them when it reads them.
WRITE_ONLY = {
    *(("hevc", container) for container in ("avi",)),
    *((codec, container) for codec in ("vp8", "vp9", "av1", "prores", "ffv1") for container in ("ts", "ps")),
    ("prores", "asf"),
}


@pytest.mark.parametrize(("codec", "container"), PAIRS)
def test_the_frames_on_screen_are_those_of_ffmpeg(tmp_path: Path, codec: str, container: str) -> None:
    muxer = RAW[codec.split()[0]] if container == "raw" else CONTAINERS[container]
    path = write_numbered(tmp_path / "video", f"-c:v {CODECS[codec]} -f {muxer}", range(60))
    if (codec, container) in WRITE_ONLY:
        with pytest.raises(VideoError):
            shown(path)
        with pytest.raises((Exception,)):
            assert ffmpeg("-i", path, "-map", "0:V:0", "-frames:v", "1", "-f", "rawvideo", "-")
        return
    numbers, _ = ffmpeg_shown(path, tmp_path)
    assert shown(path) == numbers == list(range(60))
    if container in WITHOUT_PRESENTATION_TIMES and codec in REORDERED:
        assert shown_at(path) == [int(60 * (part + 0.5) / 8) for part in range(8)]
    else:
        assert shown_at(path) == ffmpeg_shown_at(path, tmp_path)
