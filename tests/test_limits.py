"""What one video may cost: how long it lasts, how long it is decoded, and how much memory that takes."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from media import grey_frames, write_video
from pebble import ProcessExpired
from workspaces import tiny_models

from vqa.errors import VideoError
from vqa.extract.decode_worker import WorkerLimits
from vqa.extract.video import read_timeline
from vqa.extract.workers import DecodeWorkers, _Task
from vqa.pipeline.effort import engine_options
from vqa.settings import ExtractSettings

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has these limits")
TWO_SECONDS = range(10, 210, 4)

Run = Callable[..., tuple[int, str, str]]


def claims_ten_hours(path: Path) -> Path:
    """Write a video of two seconds whose header says 36,000: Matroska's Duration, in milliseconds."""
    content = bytearray(write_video(path, grey_frames(TWO_SECONDS)).read_bytes())
    element = content.index(b"\x44\x89\x88")
    content[element + 3 : element + 11] = struct.pack(">d", 36_000_000)
    path.write_bytes(content)
    return path


def test_a_header_that_claims_ten_hours_costs_a_video_of_two_seconds_nothing(tmp_path: Path) -> None:
    assert read_timeline(claims_ten_hours(tmp_path / "a.mkv")).end_seconds == pytest.approx(2)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.h264"])
def test_a_video_that_lasts_longer_than_allowed_is_refused_with_and_without_a_header(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, grey_frames(TWO_SECONDS), codec="libx264", pix_fmt="yuv420p")
    assert read_timeline(path, max_seconds=2).end_seconds == pytest.approx(2)
    with pytest.raises(VideoError, match=r"longer than the limit of 1\.9 s; raise max_duration_seconds, or cut it"):
        read_timeline(path, max_seconds=1.9)


def test_two_frames_that_lie_a_day_apart_are_a_video_of_a_day(tmp_path: Path) -> None:
    frames = grey_frames([10, 20])
    path = write_video(tmp_path / "a.ts", frames, codec="libx264", pix_fmt="yuv420p", pts=[0, 25 * 80_000])
    with pytest.raises(VideoError, match="longer than the limit of 21600 s; raise max_duration_seconds"):
        read_timeline(path)


def test_each_limit_is_an_option_and_a_setting_that_ends_as_one_row(tmp_path: Path, run: Run) -> None:
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / "a.mp4", grey_frames(TWO_SECONDS))
    model = tiny_models(tmp_path)[0]
    (tmp_path / "vqa.toml").write_text('[dataset]\nvideos = "clips"\n[extract]\nmax_duration_seconds = 1.5\n')
    extract = ("extract", "-C", tmp_path, "--models", model, "--retry-failed")
    for option, reason in (
        ((), "longer than the limit of 1.5 s; raise max_duration_seconds"),
        (("--max-duration-seconds", "1"), "longer than the limit of 1 s; raise max_duration_seconds"),
        (("--max-pixels", "100"), "over the limit of 100; raise max_pixels"),
        (("--max-duration-seconds", "9", "--worker-memory", "0.001"), "raise worker_memory"),
    ):
        status, out, err = run(*extract, *option)
        assert (status, err.count("Traceback")) == (3, 0)
        assert reason in " ".join(out.split())
    assert run(*extract, "--max-duration-seconds", "2")[0] == 0


@pytest.mark.parametrize("name", ["max_duration_seconds", "worker_memory", "video_seconds"])
@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
def test_a_limit_that_bounds_nothing_is_refused(tmp_path: Path, run: Run, name: str, value: str) -> None:
    (tmp_path / "vqa.toml").write_text(f'[dataset]\nvideos = "clips"\n[extract]\n{name} = {value}\n')
    status, _, err = run("extract", "-C", tmp_path)
    assert status == 1
    assert f"[extract] {name} is" in err
    assert "write a number above 0" in err


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    head = "import os, resource, time\nfrom vqa.extract import decode_worker as worker\n"
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=False)


@ON_LINUX
def test_a_decoder_that_spins_dies_by_its_cpu_time_and_leaves_no_core() -> None:
    done = in_a_process(
        "worker._CPU_SLACK_SECONDS = 0.2\nworker.limit_files(99)\n"
        "worker.limit_video(worker.WorkerLimits(1, video_seconds=0.1))\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)\n"
        "while True: pass"
    )
    assert done.stdout == "(0, 0)\n"
    assert done.returncode == -24  # SIGXCPU


@ON_LINUX
def test_each_video_has_the_whole_cpu_time_again() -> None:
    done = in_a_process(
        "limits = worker.WorkerLimits(1, video_seconds=100, threads=3)\n"
        "worker.limit_video(limits); first = resource.getrlimit(resource.RLIMIT_CPU)[0]\n"
        "end = time.process_time() + 1.2\nwhile time.process_time() < end: pass\n"
        "begun = time.process_time()\nworker.limit_video(limits)\n"
        "print(first, begun, resource.getrlimit(resource.RLIMIT_CPU)[0])"
    )
    first, begun, second = map(float, done.stdout.split())
    assert second == math.ceil(begun + 405)  # three threads of the codec, the worker's own, five seconds of slack
    assert first < second


@ON_LINUX
def test_a_limit_no_clock_can_count_is_a_very_long_one() -> None:
    done = in_a_process(
        "for seconds in (1e300, 1e6):\n    worker.limit_video(worker.WorkerLimits(1, video_seconds=seconds))\n"
        "    print(resource.getrlimit(resource.RLIMIT_CPU)[0] >= 2 * 10**6)"
    )
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


@ON_LINUX
def test_more_memory_than_the_system_can_count_is_very_much() -> None:
    settings = [ExtractSettings(worker_memory=gigabytes) for gigabytes in (1e308, 2.0**33)]
    limits = [1 << 80, *(engine_options(each, ()).worker_bytes for each in settings)]
    done = in_a_process(
        f"for extra in {limits}:\n    worker.limit_memory(extra)\n"
        "    print(resource.getrlimit(resource.RLIMIT_DATA)[0] >= 1 << 60)"
    )
    assert (done.stdout, done.stderr) == ("True\n" * 3, "")


def test_what_dies_of_its_cpu_time_is_told_as_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with DecodeWorkers([], 1, WorkerLimits(max_pixels=1, video_seconds=30)) as workers:
        future: Future[object] = Future()
        future.set_exception(ProcessExpired("", -24))
        assert str(workers._outcome(future, _Task((), lambda outcome, generation: None))) == (  # type: ignore[arg-type]
            "decoding took longer than 30 s and was given up; raise video_seconds"
        )
