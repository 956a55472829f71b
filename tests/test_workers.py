"""Workers that break unseen, memory that is not there, and frames that a measure refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from greys import held_memory
from media import grey_frames, write_video
from torch import Tensor, nn

from vqa.errors import VideoError, VqaError
from vqa.extract.backends.classic import BACKEND
from vqa.extract.decode_worker import WorkerLimits
from vqa.extract.engine import run_jobs
from vqa.extract.jobs import Job
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model
from vqa.extract.options import EngineOptions
from vqa.extract.slots import Slot
from vqa.extract.spec import Candidate, InputSpec, ModelSpec, NativeInput, parse_spec, plan_candidate
from vqa.extract.workers import DecodeWorkers, Outcome
from vqa.records import VideoFeatures

INPUT = InputSpec(resize=(32,), crop=(32, 32), mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
CANDIDATE = Candidate(ModelSpec("fake", "mean", frames=2), INPUT, "none", "float32")
LIMITS = WorkerLimits(max_pixels=10**6, video_seconds=10)


class MeanGrey(nn.Module):
    def forward(self, frames: Tensor) -> Tensor:
        return frames.flatten(1).mean(1, keepdim=True)


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.features: dict[tuple[str, int], VideoFeatures] = {}
        self.failures: dict[tuple[str, int | None], str] = {}

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        pass

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        self.features[job.video, model] = features

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        self.failures[job.video, model] = str(error)


def classic(name: str) -> Model:
    spec = parse_spec(f"classic:{name}", frames=2)
    return Model(plan_candidate(spec, BACKEND.describe(spec), "float32"), BACKEND.load(spec), "")


def test_frames_too_small_to_be_measured_cost_that_candidate_alone(tmp_path: Path) -> None:
    low = write_video(tmp_path / "low.mp4", grey_frames(height=8, width=96))
    good = write_video(tmp_path / "good.mp4", grey_frames())
    sink = Kept()
    models = [classic("nss"), classic("siti"), Model(CANDIDATE, MeanGrey(), "")]
    run_jobs([Job(path.name, path, path.name, (0, 1, 2)) for path in (low, good)], models, sink, EngineOptions())
    assert sink.failures.keys() == {("low.mp4", 0), ("low.mp4", 1)}
    assert sink.failures["low.mp4", 0].startswith("a frame of 96 x 8 pixels is too small to be measured")
    assert sink.features.keys() == {("low.mp4", 2), ("good.mp4", 0), ("good.mp4", 1), ("good.mp4", 2)}


def test_workers_that_can_not_start_end_the_run_in_one_line(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", grey_frames())
    lost = Candidate(ModelSpec("nowhere", "x", frames=2), NativeInput(), "none", "float32")
    with pytest.raises(VqaError, match=r"decode workers can't be kept running \(.*\); look at `vqa doctor`"):
        run_jobs([Job("a", path, "a", (0,))], [Model(lost, MeanGrey(), "")], Kept(), EngineOptions())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> tuple[DecodeWorkers, list[tuple[Outcome, int]]]:
    """Workers whose pool has lost a video: its future is never resolved."""
    workers, found = DecodeWorkers([CANDIDATE], 1, LIMITS), list[tuple[Outcome, int]]()
    lost: Future[Any] = Future()
    monkeypatch.setattr(workers._pool, "schedule", lambda *_, **__: lost)
    slot = Slot(100)
    workers.submit(Path("x.mp4"), (0,), slot, lambda outcome, generation: found.append((outcome, generation)))
    slot.close()
    return workers, found


def test_a_video_that_the_pool_has_lost_is_reported_when_its_time_is_over(
    told: tuple[DecodeWorkers, list[tuple[Outcome, int]]],
) -> None:
    workers, found = told
    with workers:
        workers.look_after(quiet_seconds=65)
        assert found == []
        workers.look_after(quiet_seconds=75)  # ten for the video, sixty of patience
        assert [(type(outcome), generation) for outcome, generation in found] == [(BrokenProcessPool, 0)]
        assert workers.generation == 1


def test_a_pool_that_broke_unseen_is_started_anew_at_once(
    told: tuple[DecodeWorkers, list[tuple[Outcome, int]]],
) -> None:
    workers, found = told
    workers._pool.stop()  # type: ignore[no-untyped-call]
    with workers:
        workers.look_after(quiet_seconds=5)
        assert len(found) == 1
        workers.look_after(quiet_seconds=500)  # nothing is in work any more
        assert workers.generation == 1


def test_shared_memory_that_is_not_there_is_said_before_a_worker_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = held_memory().keys()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(VqaError, match=r"shared memory: no room for 4 MB more \(.*\); lower --memory, or wait"):
        Slot(3 << 20)
    assert held_memory().keys() == before


def test_a_slots_pages_are_taken_when_it_is_made() -> None:
    before = held_memory().keys()
    slot = Slot(1 << 20)
    (file,) = [file for inode, file in held_memory().items() if inode not in before]
    assert file.stat().st_blocks * 512 >= 1 << 20
    slot.close()
    assert held_memory().keys() == before


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells what a process holds")
def test_a_tighter_limit_of_the_systems_own_is_left_as_it_is() -> None:
    code = (
        "import resource; from vqa.rlimits import limit_memory\n"
        "hard = 64 << 30; tight = 3 << 30\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (tight, tight)); limit_memory(4 << 30)\n"
        "print(resource.getrlimit(resource.RLIMIT_DATA) == (tight, tight))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_side_data_of_an_unknown_kind_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vqa.extract import pixels
    from vqa.extract.video import decode_frames, read_timeline

    def unknown(*_: object) -> None:
        raise ValueError("99 is not a valid Type")

    path = write_video(tmp_path / "a.mp4", grey_frames())
    monkeypatch.setattr(pixels, "_upright", unknown)
    with pytest.raises(VideoError, match=r"data that can't be read \(99 is not a valid Type\); re-encode it"):
        list(decode_frames(path, read_timeline(path), np.array([1])))
