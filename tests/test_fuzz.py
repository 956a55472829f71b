"""Files damaged by chance, of every kind that is read: each ends as a result or as one line, whatever is in it.

A case is its original's name and a number, and is the same each time; a failing test prints it.
"""

from __future__ import annotations

import hashlib
import queue
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
import psutil
import pytest
from corpora import WRITERS
from fuzzing import SECONDS
from media import textured_frames, write_parts, write_video
from mutations import mutated

from vqa.errors import VideoError
from vqa.extract.decode_worker import WorkerLimits
from vqa.extract.items import bytes_needed
from vqa.extract.looking import DecodedVideo
from vqa.extract.slots import Slot
from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.extract.workers import DecodeWorkers, Outcome

HERE = Path(__file__).parent
COUNTS = {
    "labels": 12,
    "matlabels": 9,
    "textlabels": 400,
    "tables": 24,
    "segments": 120,
    "bundles": 120,
    "weights": 120,
    "settings": 200,
    "selections": 100,
    "ledgers": 100,
    "memos": 100,
}
"""Cases of the short form; the long one has 25 times as many, other ones."""
INPUT = InputSpec(resize=(32,), crop=(32, 32), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
CANDIDATE = Candidate(ModelSpec("fake", "mean", frames=3), INPUT, "none", "float32")
MAIN_BYTES = 200 << 20
"""By which this process may grow while its workers decode."""
LIMITS = WorkerLimits(max_pixels=1 << 20, video_seconds=10, memory_bytes=1 << 29)


def snapshot(folder: Path) -> Mapping[str, str]:
    """Return what lies in a folder and below it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[Path]:
    """A folder to work in, around which nothing may change."""
    (tmp_path / "around" / "deep").mkdir(parents=True)
    (tmp_path / "around" / "deep" / "canary.h5").write_bytes(b"canary")
    (tmp_path / "canary.csv").write_text("id,mos\ncanary,1\n")
    folder = tmp_path / "inner"
    folder.mkdir()

    def around() -> Mapping[str, str]:
        return {name: told for name, told in snapshot(tmp_path).items() if not name.startswith("inner")}

    before = around()
    yield folder
    assert around() == before


def damage_and_read(kind: str, folder: Path, first: int, count: int) -> None:
    """Read damaged files in a process whose memory is bounded; see `fuzzing`."""
    WRITERS[kind](folder)
    command = [sys.executable, HERE / "fuzzing.py", kind, folder, str(first), str(count)]
    limit = 60 + SECONDS + count * 2
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, cwd=folder)
    assert done.returncode == 0, f"case {done.stdout.splitlines()[-1:]}, status {done.returncode}\n{done.stderr}"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(inner: Path, kind: str) -> None:
    damage_and_read(kind, inner, 0, COUNTS[kind])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", WRITERS)
def test_thousands_of_damaged_files_are_read_or_refused_in_one_line(inner: Path, kind: str) -> None:
    damage_and_read(kind, inner, COUNTS[kind], 25 * COUNTS[kind])


VIDEOS: tuple[tuple[str, str, str], ...] = (
    ("h264.mp4", "libx264", "yuv420p"),
    ("h264.mkv", "libx264", "yuv420p"),
    ("h264.ts", "libx264", "yuv420p"),
    ("h264.flv", "libx264", "yuv420p"),
    ("raw.h264", "libx264", "yuv420p"),
    ("hevc.mp4", "libx265", "yuv420p"),
    ("vp9.webm", "libvpx-vp9", "yuv420p"),
    ("vp8.mkv", "libvpx", "yuv420p"),
    ("av1.mp4", "libsvtav1", "yuv420p"),
    ("mpeg4.avi", "mpeg4", "yuv420p"),
    ("mpeg2.mpg", "mpeg2video", "yuv420p"),
    ("mjpeg.mov", "mjpeg", "yuvj420p"),
    ("prores.mov", "prores_ks", "yuv422p10le"),
    ("ffv1.mkv", "ffv1", "yuv420p"),
    ("dnxhd.mxf", "mpeg2video", "yuv420p"),
    ("theora.ogv", "libtheora", "yuv420p"),
    ("wmv.wmv", "wmv2", "yuv420p"),
    ("rgb.nut", "rawvideo", "rgb24"),
    ("gif.gif", "gif", "rgb8"),
)


def write_videos(folder: Path) -> list[Path]:
    """Write a small video of each kind, and one whose size changes on the way."""
    import av

    frames = textured_frames(14)
    files = [
        write_video(folder / name, frames, codec=codec, pix_fmt=pix_fmt, options={"g": "5"})
        for name, codec, pix_fmt in VIDEOS
        if codec in av.codecs_available
    ]
    parts = [textured_frames(5), textured_frames(5, height=96, width=64)]
    return [*files, write_parts(folder / "parts.mp4", parts)]


def decode_damaged(originals: Sequence[Path], folder: Path, first: int, count: int) -> Counter[str]:
    """Decode damaged videos in one pool of workers, and return how often each outcome was met."""
    met: Counter[str] = Counter()
    before = psutil.Process().memory_info().rss
    done: queue.SimpleQueue[tuple[str, Path, Slot, Outcome]] = queue.SimpleQueue()
    with DecodeWorkers([CANDIDATE], 2, LIMITS) as workers:
        slots = [Slot(bytes_needed([CANDIDATE])) for _ in range(4)]
        free, waiting = list(slots), 0
        for number in range(first, first + count):
            original = originals[number % len(originals)]
            case, path = f"{original.name}:{number}", folder / f"case{number}{original.suffix}"
            path.write_bytes(mutated(original.read_bytes(), case))
            waiting += 1
            workers.submit(path, (0,), slot := free.pop(), _teller(done, case, path, slot))
            while waiting and (not free or number == first + count - 1):
                case, path, slot, outcome = done.get(timeout=60)
                check(case, outcome)
                met[str(outcome)[:40] if isinstance(outcome, VideoError) else type(outcome).__name__] += 1
                path.unlink()
                free.append(slot)
                waiting -= 1
        assert workers.generation == 0
        assert psutil.Process().memory_info().rss - before < MAIN_BYTES
        for slot in slots:
            slot.close()
    return met


def _teller(done: queue.SimpleQueue[tuple[str, Path, Slot, Outcome]], case: str, path: Path, slot: Slot):
    return lambda outcome, _: done.put((case, path, slot, outcome))


def check(case: str, outcome: Outcome) -> None:
    """Fail for what is neither a decoded video with times of sense nor a reason of one line."""
    if isinstance(outcome, DecodedVideo):
        (entry,) = outcome.inputs
        assert np.isfinite(entry.pts_seconds).all(), case
        assert (np.diff(entry.pts_seconds) > 0).all(), case
        assert 0 <= entry.pts_seconds[0] <= entry.pts_seconds[-1] <= LIMITS.max_duration_seconds, case
    else:
        assert isinstance(outcome, VideoError), (case, outcome)
        assert "\n" not in str(outcome), (case, outcome)
        assert "the decoder died" not in str(outcome), (case, outcome)


def test_a_damaged_video_is_decoded_or_refused_in_one_line(inner: Path) -> None:
    met = decode_damaged(write_videos(inner), inner, 0, 240)
    assert met["DecodedVideo"] > 20
    assert len(met) > 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thousands_of_damaged_videos_are_decoded_or_refused_in_one_line(inner: Path) -> None:
    met = decode_damaged(write_videos(inner), inner, 240, 6000)
    assert met["DecodedVideo"] > 500


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damaged_cuts_of_real_clips_are_decoded_or_refused_in_one_line(inner: Path, test_data: Path) -> None:
    clips = sorted(test_data.rglob("konvid1k__*.mp4"), key=lambda path: (path.stat().st_size, path.name))[:4]
    cuts = [cut(clip, inner / f"{number}.{kind}") for number, (clip, kind) in enumerate(product(clips, CUT_INTO))]
    met = decode_damaged(cuts, inner, 0, 800)
    assert met["DecodedVideo"] > 100


CUT_INTO = ("mp4", "mkv", "ts", "flv")


def cut(clip: Path, target: Path) -> Path:
    """Copy a clip's first 30 packets into another container."""
    import av

    with av.open(str(clip)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in islice(reader.demux(reader.streams.video[0]), 30):
            packet.stream = stream
            writer.mux(packet)
    return target
