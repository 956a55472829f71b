"""Files that are no video, or a hostile one: each ends with one clear line, alone and in a run with good ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import grey_frames, quadrants, write_sound, write_still, write_video
from torch import Tensor, nn

from vqa.errors import VideoError
from vqa.extract.decoding import decode_video, read_stamp
from vqa.extract.engine import run_jobs
from vqa.extract.items import bytes_needed
from vqa.extract.jobs import Job
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model
from vqa.extract.options import EngineOptions
from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.extract.video import decode_frames, read_timeline

SMALL_FAST = {"preset": "ultrafast", "qp": "40", "bf": "0", "rc-lookahead": "0", "sync-lookahead": "0", "threads": "1"}


def good(path: Path) -> Path:
    return write_video(path, grey_frames())


def containing(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def page(path: Path) -> None:
    path.write_text("<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n" * 40)


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(7).bytes(50_000))


def no_index(path: Path) -> None:
    content = good(path).read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])


def index_alone(path: Path) -> None:
    content = good(path).read_bytes()
    path.write_bytes(content[: content.index(b"mdat") - 4] + content[content.index(b"moov") - 4 :])


def unknown_codec(path: Path) -> None:
    path.write_bytes(good(path).read_bytes().replace(b"avc1", b"zzzz"))


def broken_pictures(path: Path) -> None:
    content = bytearray(good(path).read_bytes())
    start = content.index(b"mdat") + 4
    content[start : content.index(b"moov") - 4] = b"\xa5" * (content.index(b"moov") - 4 - start)
    path.write_bytes(content)


def one_frame_gif(path: Path) -> None:
    write_video(path.with_suffix(".gif"), [quadrants()], codec="gif", pix_fmt="rgb8", options={}).rename(path)


def write_large(path: Path, side: int, codec: str) -> None:
    """Write two frames of one colour, `side` pixels wide and high."""
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = SMALL_FAST if codec == "libx264" else {}
    frame = av.VideoFrame(side, side, pix_fmt)
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 128
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = side, side, pix_fmt
        for pts in range(2):
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def claims_16384(path: Path) -> None:
    """FFV1 leaves the size to the container: Matroska's PixelWidth and PixelHeight."""
    frames = [np.zeros((272, 272, 3), np.uint8)] * 3
    content = write_video(path, frames, codec="ffv1", pix_fmt="yuv420p", options={}).read_bytes()
    for element in (b"\xb0\x82", b"\xba\x82"):
        assert content.count(element + b"\x01\x10") == 1
        content = content.replace(element + b"\x01\x10", element + b"\x40\x00")
    path.write_bytes(content)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero.mp4": (containing(b""), "the file is empty (0 bytes)"),
    "zeros.mp4": (containing(bytes(50_000)), "no video that can be read"),
    "line.mkv": (containing(b"\x1aE\xdf\xa3\n"), "no video that can be read"),
    "garbage.mp4": (garbage, "no video that can be read"),
    "page.mp4": (page, "no video that can be read"),
    "no-index.mp4": (no_index, "truncated"),
    "index-alone.mp4": (index_alone, "truncated"),
    "unknown-codec.mp4": (unknown_codec, "its codec is not known"),
    "broken-pictures.mp4": (broken_pictures, "truncated or damaged"),
    "sound.mp4": (write_sound, "no video stream"),
    "one.mp4": (lambda path: write_video(path, grey_frames()[:1]), "1 frame(s); a video needs at least 2"),
    "png.mp4": (lambda path: write_still(path, "png", "rgb24"), "a still image, a playlist"),
    "jpeg.mp4": (lambda path: write_still(path, "mjpeg", "yuvj420p"), "a still image, a playlist"),
    "gif.mp4": (one_frame_gif, "1 frame(s); a video needs at least 2"),
    "huge.mp4": (lambda path: write_large(path, 9000, "libx264"), "9000 x 9000 pixels are over the limit"),
    "claims-16384.mkv": (claims_16384, "invalid or has more pixels than the limit of 67108864; raise max_pixels"),
    "loop.mp4": (loop, "the file can't be opened (Too many levels of symbolic links)"),
    "folder.mp4": (Path.mkdir, "it is a folder, a pipe or a device, not a video; name a file"),
    "pipe.mp4": (os.mkfifo, "it is a folder, a pipe or a device, not a video; name a file"),
    "device.mp4": (lambda path: path.symlink_to("/dev/zero"), "it is a folder, a pipe or a device, not a video"),
    "gone.mp4": (lambda path: None, "the file does not exist"),
    "dangling.mp4": (lambda path: path.symlink_to("nowhere"), "the file does not exist"),
}


def decode_all(path: Path) -> None:
    timeline = read_timeline(path)
    for _ in decode_frames(path, timeline, np.arange(len(timeline.pts))):
        pass


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_with_one_line_that_says_why(tmp_path: Path, name: str) -> None:
    make, reason = HOSTILE[name]
    make(tmp_path / name)
    with pytest.raises(VideoError) as raised:
        decode_all(tmp_path / name)
    message = str(raised.value)
    assert reason in message
    assert "\n" not in message


NAMES = [
    "two  blanks.mp4",
    "quotes \"'`.mp4",
    "line\nbreak\r.mp4",
    "-i.mp4",
    "--.mp4",
    "file:x.mp4",
    "http:x.mp4",
    "%03d.mp4",
    "*?[a].mp4",
    "日本語 العربية ñ \U0001f3ac.mp4",
    "n\u0303 not composed.mp4",
    os.fsdecode(b"not \xff\xfe utf-8.mp4"),
    "#fragment?query=1.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_just_a_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good(tmp_path / "plain.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert [int(rgb[0, 0, 0]) for _, rgb in decode_frames(Path(name), read_timeline(Path(name)), np.array([3]))] == [40]
    (tmp_path / name).write_bytes(b"no video")
    with pytest.raises(VideoError, match="no video that can be read"):
        read_timeline(Path(name))


def growth(path: Path) -> int:
    """Return by how many megabytes a process grows that tries to decode a file."""
    code = (
        "import re, sys, numpy\nfrom pathlib import Path\nfrom vqa.errors import VideoError\n"
        "from vqa.extract.video import decode_frames, read_timeline\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "path, before = Path(sys.argv[1]), peak()\n"
        "try: list(decode_frames(path, read_timeline(path), numpy.array([0])))\n"
        "except VideoError as error: assert 'limit of 67108864' in str(error), error\n"
        "else: raise SystemExit('decoded')\n"
        "print((peak() - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak of memory")
@pytest.mark.parametrize(("name", "codec"), [("h.mp4", "libx264"), ("h.ts", "libx264"), ("j.avi", "mjpeg")])
def test_too_large_frames_are_refused_before_memory_is_taken_for_them(tmp_path: Path, name: str, codec: str) -> None:
    write_large(tmp_path / name, 12000, codec)  # one frame takes 216 MB, its pixels 432 MB
    assert growth(tmp_path / name) < 100


class MeanGrey(nn.Module):
    """Features are the mean grey level."""

    def forward(self, frames: Tensor) -> Tensor:
        return frames.flatten(1).mean(1, keepdim=True)


class Recorded:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.features: dict[str, list[float]] = {}
        self.failures: dict[str, tuple[int | None, str, str]] = {}

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        pass

    def store_features(self, job: Job, model: int, features: Any, seconds: float) -> None:
        assert job.video not in self.features
        self.features[job.video] = features.values[:, 0].tolist()

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        assert job.video not in self.failures
        self.failures[job.video] = (model, stage, str(error))


def candidate() -> Candidate:
    spec = InputSpec(resize=(32,), crop=(32, 32), mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
    return Candidate(ModelSpec("fake", "mean", frames=4), spec, "none", "float32")


def run(paths: list[Path]) -> Recorded:
    sink = Recorded()
    jobs = [Job(path.name, path, path.name, (0,)) for path in paths]
    run_jobs(jobs, [Model(candidate(), MeanGrey(), "0" * 64)], sink, EngineOptions(workers=2, video_seconds=60))
    return sink


def test_a_run_over_a_folder_of_hostile_files_keeps_the_good_ones(tmp_path: Path) -> None:
    first = good(tmp_path / "a.mp4")
    second = write_video(tmp_path / "z.mkv", grey_frames(range(12, 250, 10)))
    alone = {path.name: run([path]).features[path.name] for path in (first, second)}
    assert alone == {"a.mp4": [40, 100, 160, 220], "z.mkv": [42, 102, 162, 222]}
    for name, (make, _) in HOSTILE.items():
        make(tmp_path / name)
    named = [good(tmp_path / "plain.mp4").rename(tmp_path / name) for name in NAMES]
    sink = run([first, *(tmp_path / name for name in HOSTILE), *named, second])
    assert sink.features == alone | {path.name: alone["a.mp4"] for path in named}
    assert sink.failures.keys() == HOSTILE.keys()
    for name, (model, stage, reason) in sink.failures.items():
        assert (model, stage) == (None, "decode")
        assert HOSTILE[name][1] in reason or reason.startswith("the file can't be opened (")
        assert "\n" not in reason


@pytest.mark.parametrize("change", ["grows", "vanishes", "is replaced"])
def test_a_file_that_does_not_keep_still_while_it_is_decoded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = good(tmp_path / "a.mp4")
    stamp = read_stamp(path)

    def disturbed(*arguments: Any, **options: Any) -> Any:
        for number, frame in enumerate(decode_frames(*arguments, **options)):
            if number == 2:
                if change == "grows":
                    path.write_bytes(path.read_bytes() + b"more")
                elif change == "vanishes":
                    path.unlink()
                else:
                    write_video(tmp_path / "b.mp4", grey_frames()[:5]).replace(path)
            yield frame

    monkeypatch.setattr("vqa.extract.decoding.decode_frames", disturbed)
    buffer = memoryview(bytearray(bytes_needed([candidate()])))
    with pytest.raises(VideoError, match="changed while it was read" if change != "vanishes" else "can't be opened"):
        decode_video(path, [candidate()], {}, buffer, stamp=stamp)
