"""Decode once, run many: videos are decoded in turn, models run in turn over batches that span videos."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa.errors import VideoError
from vqa.extract.decoding import CandidateInput, decode_video
from vqa.extract.model import Model
from vqa.extract.video import DEFAULT_MAX_PIXELS
from vqa.records import VideoFeatures


@dataclass(frozen=True)
class Job:
    """One video, and which of the run's models have not seen it yet."""

    video: str
    """Its id in the dataset."""
    path: Path
    key: str
    models: tuple[int, ...]
    """Positions in the run's list of models."""


@dataclass(frozen=True)
class EngineOptions:
    """Bounds on memory and work."""

    batch: int = 32
    """Frames per forward pass; a video network gets as many clips as fit, at least one."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Larger frames are refused."""
    waiting_bytes: int = 512 << 20
    """Decoded views that may wait for the models."""


class Sink(Protocol):
    """Where results go; called from the engine's thread, one call at a time."""

    def decoded(self, job: Job, seconds: float) -> None:
        """A video was decoded, for all models that need it."""

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        """One (video, candidate) pair is done; `seconds` is its share of the model's time."""

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        """A pair failed, or the whole video where `model` is None."""


@dataclass(eq=False)
class _Waiting:
    """Decoded videos on their way to the models."""

    jobs: list[Job] = field(default_factory=list)
    inputs: list[dict[int, CandidateInput]] = field(default_factory=list)
    frame_bytes: int = 0

    def add(self, job: Job, inputs: Sequence[CandidateInput]) -> None:
        self.jobs.append(job)
        self.inputs.append(dict(zip(job.models, inputs, strict=True)))
        # Candidates with one view share pixels, but stacked per candidate: count what is really held.
        self.frame_bytes += sum(entry.frames.nbytes for entry in inputs)


def run_jobs(jobs: Iterable[Job], models: Sequence[Model], sink: Sink, options: EngineOptions) -> None:
    """Decode each job's video once and run every model it needs.

    A video that can't be used is reported to the sink and costs nothing else. Errors of our own, and of weights, stop
    the run; whatever was stored until then stays stored.
    """
    waiting = _Waiting()
    for job in jobs:
        started = time.perf_counter()
        try:
            candidates = [models[index].candidate for index in job.models]
            inputs = decode_video(job.path, candidates, max_pixels=options.max_pixels)
        except VideoError as error:
            sink.fail(job, None, "decode", error)
            continue
        sink.decoded(job, time.perf_counter() - started)
        waiting.add(job, inputs)
        if waiting.frame_bytes >= options.waiting_bytes:
            _run_models(waiting, models, sink, options)
            waiting = _Waiting()
    _run_models(waiting, models, sink, options)


def _run_models(waiting: _Waiting, models: Sequence[Model], sink: Sink, options: EngineOptions) -> None:
    for index, model in enumerate(models):
        todo = [
            (job, inputs[index]) for job, inputs in zip(waiting.jobs, waiting.inputs, strict=True) if index in inputs
        ]
        for job, entry, values, seconds in _features(model, todo, options.batch):
            try:
                features = VideoFeatures(values, entry.pts_seconds)
            except VideoError as error:
                sink.fail(job, index, "features", error)
            else:
                sink.store_features(job, index, features, seconds)


def _features(
    model: Model, todo: Sequence[tuple[Job, CandidateInput]], batch: int
) -> Iterator[tuple[Job, CandidateInput, NDArray[np.float16], float]]:
    """Run one model over many videos in full batches; yield each video's features as soon as its last row is done.

    Batches span videos:   |a a a a a b b b|b b c c c c c c|d d d|
    """
    size = max(1, batch // max(1, model.candidate.input.clip_frames))
    ends = np.cumsum([len(entry.frames) for _, entry in todo]).tolist()
    finished, done, seconds = 0, 0, 0.0
    outputs: list[Tensor] = []
    for rows in _row_batches([entry.frames for _, entry in todo], size):
        started = time.perf_counter()
        outputs.append(model.features(torch.stack(rows)))
        seconds += time.perf_counter() - started
        done += len(rows)
        while finished < len(todo) and ends[finished] <= done:
            job, entry = todo[finished]
            gathered = torch.cat(outputs)
            count = len(entry.frames)
            share = seconds * count / len(gathered)
            yield job, entry, gathered[:count].half().numpy(), share
            outputs, seconds = [gathered[count:]], seconds - share
            finished += 1


def _row_batches(videos: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    batch: list[Tensor] = []
    for frames in videos:
        for row in frames:
            batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch
