"""The cache against plain numpy files, and how long it takes to open.

    python benchmarks/cache.py throughput    write and read 2,000 videos, beside one .npy file for each video
    python benchmarks/cache.py opening       open caches of 100 to 5,000 segments of 200 videos, first and later

Both print Markdown. All is read from the page cache, as in a second run: what is measured is the format, not the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vqa.cache.segment import Provenance, SegmentRow
from vqa.cache.segmentwriting import write_segment
from vqa.cache.store import FeatureStore, folder_name
from vqa.records import CandidateRecord, VideoFeatures, fingerprint_of

RECORD = CandidateRecord("timm:resnet50", fingerprint_of('{"frames":8}'), '{"frames":8}')
VIDEOS, FRAMES, WIDTH, ROUNDS = 2000, 8, 1280, 5
VIDEOS_OF_A_SEGMENT = 200
SEGMENTS = (100, 500, 1000, 5000)

OPENING = """
import re, sys, time
from pathlib import Path
from vqa.cache.store import FeatureStore
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before, started = peak(), time.perf_counter()
(stored,) = FeatureStore(Path(sys.argv[1])).candidates()
print(time.perf_counter() - started, peak(), before, stored.videos)
"""


def key_of(number: int) -> str:
    """Return a key like a video's."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def make_features(count: int) -> list[VideoFeatures]:
    """Return features of as many videos, no two alike."""
    generator = np.random.default_rng(0)
    times = np.arange(FRAMES, dtype=np.float64)
    return [
        VideoFeatures(generator.standard_normal((FRAMES, WIDTH), dtype=np.float32).astype(np.float16), times)
        for _ in range(count)
    ]


def write_store(root: Path, videos: list[VideoFeatures]) -> None:
    """Write all videos as extraction does."""
    with FeatureStore(root).writer(RECORD, weights_sha256="0" * 64, versions={}, max_seconds=1e9) as writer:
        for number, features in enumerate(videos):
            writer.put(key_of(number), features, seconds=0.0)


def write_numpy(root: Path, videos: list[VideoFeatures]) -> None:
    """Write one file for each video, as public extractors do: no times, no checksums, not brought to the disk."""
    root.mkdir()
    for number, features in enumerate(videos):
        np.save(root / f"{key_of(number)}.npy", features.values)


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def row(task: str, megabytes: float, pairs: list[tuple[float, float]]) -> str:
    """Return one line: throughput of both, median and range of the ratio over the rounds."""
    ours, theirs = (statistics.median(megabytes / pair[side] for pair in pairs) for side in (0, 1))
    ratios = sorted(plain / cached for cached, plain in pairs)
    ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return f"| {task} | {ours:.0f} | {theirs:.0f} | {ratio} |"


def compare_throughput(folder: Path) -> None:
    """Write and read both ways, in turn."""
    videos = make_features(VIDEOS)
    megabytes = sum(video.values.nbytes for video in videos) / 1e6
    keys = [key_of(number) for number in range(VIDEOS)]
    shuffled = [keys[number] for number in np.random.default_rng(1).permutation(VIDEOS)]
    tasks: dict[str, list[tuple[float, float]]] = {}

    def plain(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
        return np.asarray(np.load(folder / "numpy" / f"{name}.npy"))

    for _ in range(ROUNDS):
        for name in ("cache", "numpy"):
            shutil.rmtree(folder / name, ignore_errors=True)
        write = (
            timed(lambda: write_store(folder / "cache", videos)),
            timed(lambda: write_numpy(folder / "numpy", videos)),
        )
        store = FeatureStore(folder / "cache")
        store.keys(RECORD.fingerprint)
        means = (
            timed(lambda: store.read_means(RECORD.fingerprint, keys)),  # noqa: B023 - called at once
            timed(lambda: np.stack([plain(key).mean(axis=0, dtype=np.float64) for key in keys])),
        )
        single = (
            timed(lambda: [store.read(RECORD.fingerprint, key) for key in shuffled]),  # noqa: B023
            timed(lambda: [plain(key) for key in shuffled]),
        )
        for task, pair in (
            ("write", write),
            ("read all, averaged over time", means),
            ("read one by one, shuffled", single),
        ):
            tasks.setdefault(task, []).append(pair)
    print(f"{VIDEOS} videos of {FRAMES} x {WIDTH} float16, {megabytes:.0f} MB, {ROUNDS} rounds in turn\n")
    print("| | cache, MB/s | one .npy a video, MB/s | cache / numpy, median (range) |\n|---|---|---|---|")
    for task, pairs in tasks.items():
        print(row(task, megabytes, pairs))


def grow(root: Path, start: int, stop: int) -> None:
    """Add segments of 200 tiny videos each."""
    folder = root / folder_name(RECORD)
    provenance = Provenance(RECORD, "0" * 64, {"torch": "2"}, probe=tuple(float(value) for value in range(1280)))
    tiny = VideoFeatures(np.ones((1, 4), np.float16), np.zeros(1))
    for number in range(start, stop):
        first = number * VIDEOS_OF_A_SEGMENT
        rows = [SegmentRow(key_of(first + video), tiny, first) for video in range(VIDEOS_OF_A_SEGMENT)]
        write_segment(folder, provenance, rows, seconds=1.0)


def opening(root: Path) -> tuple[float, float, int]:
    """Open a cache in a process of its own; return seconds, peak memory in MB, and how many videos there are."""
    done = subprocess.run([sys.executable, "-c", OPENING, str(root)], capture_output=True, text=True, check=True)  # noqa: S603
    seconds, megabytes, _, videos = done.stdout.split()
    return float(seconds), float(megabytes), int(videos)


def measure_opening(folder: Path) -> None:
    """Open ever larger caches, first without an index."""
    print("| segments | rows | first, s | later, s, median (range) | peak memory first / later, MB |")
    print("|---|---|---|---|---|")
    before = 0
    for count in SEGMENTS:
        grow(folder, before, count)
        before = count
        for index in folder.glob("*/.index"):
            index.unlink()
        first, first_peak, videos = opening(folder)
        later = sorted(opening(folder) for _ in range(ROUNDS))
        times = [seconds for seconds, *_ in later]
        print(
            f"| {count} | {videos} | {first:.2f} | {statistics.median(times):.2f} ({times[0]:.2f} to {times[-1]:.2f}) "
            f"| {first_peak:.0f} / {max(peak for _, peak, _ in later):.0f} |",
            flush=True,
        )


def main() -> None:
    """Run what is asked for in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["throughput", "opening"])
    what = parser.parse_args().what
    with tempfile.TemporaryDirectory(prefix="vqa-bench-") as folder:
        (compare_throughput if what == "throughput" else measure_opening)(Path(folder))


if __name__ == "__main__":
    main()
