"""Fake models whose features are grey levels, and a sink that keeps everything: for tests of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from media import grey_frames, write_video
from torch import Tensor, nn

from vqa.errors import VideoError
from vqa.extract.decoding import Frames
from vqa.extract.engine import run_jobs
from vqa.extract.items import Span
from vqa.extract.jobs import Job
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model
from vqa.extract.options import EngineOptions
from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.records import VideoFeatures

GREY: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}


class MeanGrey(nn.Module):
    """Features are the mean grey level, and how many rows came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, frames: Tensor) -> Tensor:
        self.batches.append(len(frames))
        return frames.flatten(1).mean(1, keepdim=True)


def held_memory() -> dict[int, Path]:
    """Return the shared memory without names that this process holds, by its inode."""
    held = {}
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(file.readlink()).startswith("/memfd:vqa"):
                held[file.stat().st_ino] = file
    return held


class Recorded:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.features: dict[tuple[str, int], VideoFeatures] = {}
        self.failures: list[tuple[str, int | None, str, str]] = []
        self.decoded_videos: list[str] = []
        self.frames = 0
        self.seconds = 0.0

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        self.decoded_videos.append(job.video)
        self.frames += video.frames

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        self.features[job.video, model] = features
        self.seconds += seconds

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        self.failures.append((job.video, model, stage, str(error)))


def model(*, frames: int = 4, clip_frames: int = 0, crop: int = 32, network: nn.Module | None = None) -> Model:
    spec = InputSpec(resize=(crop,), crop=(crop, crop), clip_frames=clip_frames, **GREY)  # type: ignore[arg-type]
    candidate = Candidate(ModelSpec("fake", f"mean{crop}", frames=frames), spec, "none", "float32")
    return Model(candidate, network or MeanGrey(), "0" * 64)


def videos(folder: Path, count: int) -> list[Path]:
    return [write_video(folder / f"{i}.mp4", grey_frames(range(10 + i, 250, 10))) for i in range(count)]


def run(
    sources: Sequence[Path | Frames], models: list[Model], *, spans: Sequence[Span] = (), **options: Any
) -> Recorded:
    sink = Recorded()
    names = [source.name if isinstance(source, Path) else f"frames {place}" for place, source in enumerate(sources)]
    every = tuple(range(len(models)))
    jobs = [Job(name, source, name, every, spans=tuple(spans)) for name, source in zip(names, sources, strict=True)]
    run_jobs(jobs, models, sink, EngineOptions(**options))
    return sink
