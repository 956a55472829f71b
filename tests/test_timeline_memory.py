from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import psutil
import pytest
from media import textured_frames, write_video
from workspaces import Trained

MEBI = 1 << 20


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds, 200 frames at 5 frames a second, a key frame every 4 s."""
    frames = [frame for seed in range(10) for frame in textured_frames(20, seed=seed)]
    return write_video(
        tmp_path_factory.mktemp("short") / "short.mp4",
        frames,
        codec="libx264",
        pix_fmt="yuv420p",
        pts=range(0, 1000, 5),
        options={"g": "20", "bf": "0"},
    )


def repeat(source: Path, target: Path, times: int) -> Path:
    """Write a clip several times end to end: its packets, so that nothing is encoded."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        stream = writer.add_stream_from_template(video)
        packets = [packet for packet in reader.demux(video) if packet.size]
        pts, length = [packet.pts for packet in packets], 40 / video.time_base
        for turn in range(times):
            for packet, begin in zip(packets, pts, strict=True):
                packet.stream, packet.time_base = stream, video.time_base
                packet.pts = packet.dts = begin + int(turn * length)
                writer.mux(packet)
    return target


def peak_bytes(bundle: Path, clip: Path, windows: int) -> int:
    """Return the most memory that a timeline's processes take together.

    Shared pages count for each process: what forked processes share falls apart with time, which is no growth.
    """
    limits = ["--memory", "16", "--workers", "1", "--window", "1", "--step", "1", "--format", "csv"]
    command = [sys.executable, "-m", "vqa", "score", str(clip), "--model", str(bundle), "--timeline", *limits]
    peak = 0
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(command, stdout=out) as process:
        main = psutil.Process(process.pid)
        while process.poll() is None:
            taken = 0
            with contextlib.suppress(psutil.Error):
                for one in [main, *main.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        taken += one.memory_info().rss
            peak = max(peak, taken)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        out.seek(0)
        assert len(out.readlines()) == windows + 1
    assert process.returncode == 0
    return peak


@pytest.mark.slow
@pytest.mark.parametrize("times", [10, 30])
def test_the_timeline_of_a_long_video_takes_no_more_memory(
    trained: Trained, short: Path, tmp_path: Path, times: int
) -> None:
    long = repeat(short, tmp_path / "long.mp4", times)
    least, peak = peak_bytes(trained.bundle, short, 40), peak_bytes(trained.bundle, long, 40 * times)
    assert peak - least < 64 * MEBI, (least // MEBI, peak // MEBI)  # all windows' pixels: 117 MB and more
