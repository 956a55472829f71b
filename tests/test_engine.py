from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from media import grey_frames, write_video
from torch import Tensor, nn

import vqa.extract.decoding
from vqa.errors import VideoError
from vqa.extract.engine import EngineOptions, Job, run_jobs
from vqa.extract.model import Model
from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.records import VideoFeatures

GREY = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}


class MeanGrey(nn.Module):
    """Features are the mean grey level, and how many rows came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, frames: Tensor) -> Tensor:
        self.batches.append(len(frames))
        return frames.flatten(1).mean(1, keepdim=True)


class Recorded:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.features: dict[tuple[str, int], VideoFeatures] = {}
        self.failures: list[tuple[str, int | None, str, str]] = []
        self.decoded_videos: list[str] = []
        self.seconds = 0.0

    def decoded(self, job: Job, seconds: float) -> None:
        self.decoded_videos.append(job.video)

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        self.features[job.video, model] = features
        self.seconds += seconds

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        self.failures.append((job.video, model, stage, str(error)))


def model(*, frames: int = 4, clip_frames: int = 0, crop: int = 32, network: nn.Module | None = None) -> Model:
    spec = InputSpec(resize=(crop,), crop=(crop, crop), clip_frames=clip_frames, **GREY)  # type: ignore[arg-type]
    candidate = Candidate(ModelSpec("fake", f"mean{crop}", frames=frames), spec, "none", "float32")
    return Model(candidate, network or MeanGrey(), "0" * 64, torch.device("cpu"))


def videos(folder: Path, count: int) -> list[Path]:
    return [write_video(folder / f"{i}.mp4", grey_frames(range(10 + i, 250, 10))) for i in range(count)]


def run(paths: list[Path], models: list[Model], **options: int) -> Recorded:
    sink = Recorded()
    jobs = [Job(path.name, path, path.name, tuple(range(len(models)))) for path in paths]
    run_jobs(jobs, models, sink, EngineOptions(**options))
    return sink


def test_each_sampled_frame_has_features_and_its_time(tmp_path: Path) -> None:
    sink = run(videos(tmp_path, 1), [model(frames=4)])
    features = sink.features["0.mp4", 0]
    assert features.values[:, 0].tolist() == [40, 100, 160, 220]
    assert features.pts_seconds.tolist() == pytest.approx([3 / 25, 9 / 25, 15 / 25, 21 / 25])
    assert features.values.dtype == np.float16


def test_batches_span_videos_and_rows_come_back_to_their_own(tmp_path: Path) -> None:
    network = MeanGrey()
    sink = run(videos(tmp_path, 5), [model(frames=3, network=network)], batch=4)
    assert network.batches == [4, 4, 4, 3]
    for i in range(5):
        assert sink.features[f"{i}.mp4", 0].values[:, 0].tolist() == [50 + i, 130 + i, 210 + i]


def test_features_do_not_depend_on_the_batch_or_the_company(tmp_path: Path) -> None:
    paths = videos(tmp_path, 4)
    together = run(paths, [model(frames=5), model(frames=3, crop=16)], batch=7)
    tight = run(paths, [model(frames=5), model(frames=3, crop=16)], batch=1, waiting_bytes=1)
    alone = run(paths[2:3], [model(frames=5)], batch=32)
    assert together.features.keys() == tight.features.keys()
    for pair, features in together.features.items():
        assert np.array_equal(features.values, tight.features[pair].values)
    assert np.array_equal(alone.features["2.mp4", 0].values, together.features["2.mp4", 0].values)


def test_one_decode_serves_all_models_and_each_distinct_view_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    render = vqa.extract.decoding.render

    def counting(rgb: np.ndarray, view: vqa.extract.decoding.View) -> Tensor:  # type: ignore[type-arg]
        rendered.append(view.crop[0])
        return render(rgb, view)

    monkeypatch.setattr(vqa.extract.decoding, "render", counting)
    sink = run(videos(tmp_path, 1), [model(frames=4), model(frames=4), model(frames=2, crop=16)])
    assert sink.decoded_videos == ["0.mp4"]
    assert sorted(rendered) == [16, 16, 32, 32, 32, 32]
    assert len(sink.features) == 3


def test_a_video_network_gets_one_clip_over_the_whole_video(tmp_path: Path) -> None:
    class TimeOrder(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return clips.mean((1, 3, 4))

    sink = run(videos(tmp_path, 1), [model(clip_frames=6, network=TimeOrder())])
    features = sink.features["0.mp4", 0]
    assert features.values.tolist() == [[30, 70, 110, 150, 190, 230]]
    assert features.pts_seconds.tolist() == pytest.approx([0.48])


def test_a_short_video_fills_a_clip_and_repeats_no_image_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", grey_frames()[:2])
    sink = run([path], [model(frames=8), model(clip_frames=8)])
    assert sink.features["short.mp4", 0].values[:, 0].tolist() == [10, 20]
    assert sink.features["short.mp4", 1].values.shape == (1, 1)


def test_a_broken_video_costs_itself_alone(tmp_path: Path) -> None:
    good = videos(tmp_path, 2)
    bad = tmp_path / "bad.mp4"
    bad.touch()
    sink = run([good[0], bad, good[1]], [model()])
    assert [failure[:3] for failure in sink.failures] == [("bad.mp4", None, "decode")]
    assert set(sink.features) == {("0.mp4", 0), ("1.mp4", 0)}


def test_features_that_are_not_finite_fail_that_pair_and_no_other(tmp_path: Path) -> None:
    class Overflow(nn.Module):
        def forward(self, frames: Tensor) -> Tensor:
            return frames.flatten(1).mean(1, keepdim=True) * 500  # over 65504 from grey 131 on

    paths = [write_video(tmp_path / f"{grey}.mp4", grey_frames([grey] * 4)) for grey in (100, 200)]
    sink = run(paths, [model(network=Overflow()), model()])
    assert [failure[:3] for failure in sink.failures] == [("200.mp4", 0, "features")]
    assert set(sink.features) == {("100.mp4", 0), ("100.mp4", 1), ("200.mp4", 1)}


def test_model_time_is_shared_out_without_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("vqa.extract.engine.time.perf_counter", lambda: float(next(ticks)))
    sink = run(videos(tmp_path, 3), [model(frames=4)], batch=5)
    assert sink.seconds == pytest.approx(3.0)  # 12 rows in batches of 5, one tick each
