"""One pass over a video file for all candidates: the union of their frames, each distinct view computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa.extract.sampling import sample_frames
from vqa.extract.spec import Candidate
from vqa.extract.video import Timeline, decode_frames, read_timeline
from vqa.extract.views import View, render, view_of


@dataclass(frozen=True, eq=False)
class CandidateInput:
    """What one candidate sees of one video."""

    frames: Tensor
    """uint8, (T, 3, h, w) frames, or (1, T, 3, h, w) for a video network's clip."""
    pts_seconds: NDArray[np.float64]
    """Time of each frame, or the middle of each clip; shape (T,) or (1,), in seconds."""


def decode_video(path: Path, candidates: Sequence[Candidate], *, max_pixels: int) -> tuple[CandidateInput, ...]:
    """Decode a video once and return what each candidate sees of it, in the order of `candidates`.

    Raises:
        VideoError: the file can't be used; the message says why.
    """
    timeline = read_timeline(path, max_pixels=max_pixels)
    wanted = [_wanted_frames(timeline, candidate) for candidate in candidates]
    views = [view_of(candidate) for candidate in candidates]
    rendered = _render_views(path, timeline, _frames_per_view(views, wanted))
    return tuple(
        _candidate_input(rendered[view], frames, timeline, candidate)
        for view, frames, candidate in zip(views, wanted, candidates, strict=True)
    )


def _wanted_frames(timeline: Timeline, candidate: Candidate) -> NDArray[np.intp]:
    """Return indices of a candidate's frames; a clip keeps its length and repeats frames where a video has fewer."""
    frames = sample_frames(timeline.pts_seconds, timeline.end_seconds, candidate.frames)
    return frames if candidate.input.clip_frames else np.unique(frames)


def _frames_per_view(views: Sequence[View], wanted: Sequence[NDArray[np.intp]]) -> dict[View, NDArray[np.intp]]:
    return {
        view: np.unique(np.concatenate([frames for other, frames in zip(views, wanted, strict=True) if other == view]))
        for view in set(views)
    }


def _render_views(
    path: Path, timeline: Timeline, per_view: Mapping[View, NDArray[np.intp]]
) -> dict[View, dict[int, Tensor]]:
    """Decode once; each frame is shrunk to its views at once, so that no more than one stays at full size."""
    rendered: dict[View, dict[int, Tensor]] = {view: {} for view in per_view}
    needed = {view: set(frames.tolist()) for view, frames in per_view.items()}
    union = np.unique(np.concatenate(list(per_view.values())))
    for index, rgb in decode_frames(path, timeline, union):
        for view, frames in needed.items():
            if index in frames:
                rendered[view][index] = render(rgb, view)
    return rendered


def _candidate_input(
    rendered: Mapping[int, Tensor], frames: NDArray[np.intp], timeline: Timeline, candidate: Candidate
) -> CandidateInput:
    pixels = torch.stack([rendered[int(index)] for index in frames])
    if candidate.input.clip_frames:
        return CandidateInput(pixels.unsqueeze(0), np.array([timeline.end_seconds / 2]))
    return CandidateInput(pixels, timeline.pts_seconds[frames])
