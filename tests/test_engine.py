from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from greys import MeanGrey, Recorded, held_memory, model, run, videos
from media import grey_frames, write_video
from torch import Tensor, nn

import vqa.extract.looking
import vqa.extract.views
from vqa.errors import VqaError
from vqa.extract.decoding import decode_video, read_stamp
from vqa.extract.engine import run_jobs
from vqa.extract.items import bytes_needed
from vqa.extract.jobs import Job
from vqa.extract.options import EngineOptions

CPU = torch.device("cpu")


def test_each_sampled_frame_has_features_and_its_time(tmp_path: Path) -> None:
    sink = run(videos(tmp_path, 1), [model(frames=4)])
    features = sink.features["0.mp4", 0]
    assert features.values[:, 0].tolist() == [40, 100, 160, 220]
    assert features.pts_seconds.tolist() == pytest.approx([3 / 25, 9 / 25, 15 / 25, 21 / 25])
    assert features.values.dtype == np.float16


def test_features_do_not_depend_on_the_batch_or_the_company(tmp_path: Path) -> None:
    paths = videos(tmp_path, 4)
    together = run(paths, [model(frames=5), model(frames=3, crop=16)], batch=7)
    tight = run(paths, [model(frames=5), model(frames=3, crop=16)], batch=1, workers=1)
    alone = run(paths[2:3], [model(frames=5)], batch=32)
    assert together.features.keys() == tight.features.keys()
    for pair, features in together.features.items():
        assert np.array_equal(features.values, tight.features[pair].values)
    assert np.array_equal(alone.features["2.mp4", 0].values, together.features["2.mp4", 0].values)


def test_a_single_row_is_computed_like_many(tmp_path: Path) -> None:
    network = MeanGrey()
    sink = run(videos(tmp_path, 1), [model(frames=3, network=network)], batch=2)
    assert network.batches == [2, 2]
    assert sink.features["0.mp4", 0].values[:, 0].tolist() == [50, 130, 210]


def test_one_decode_serves_all_models_and_each_distinct_view_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    render = vqa.extract.looking.render

    def counting(rgb: np.ndarray, view: vqa.extract.views.View) -> Tensor:  # type: ignore[type-arg]
        rendered.append(view.crop[0])
        return render(rgb, view)

    monkeypatch.setattr(vqa.extract.looking, "render", counting)
    candidates = [model(frames=4).candidate, model(frames=4).candidate, model(frames=2, crop=16).candidate]
    buffer = memoryview(bytearray(bytes_needed(candidates)))
    decoded = decode_video(videos(tmp_path, 1)[0], candidates, {}, buffer)
    assert sorted(rendered) == [16, 16, 32, 32, 32, 32]
    assert [entry.block for entry in decoded.inputs] == [0, 0, 1]
    assert decoded.frames == 6
    assert bytes_needed(candidates) == 4 * 3 * 32 * 32 + 2 * 3 * 16 * 16


def test_one_decode_reaches_every_model_of_a_run(tmp_path: Path) -> None:
    sink = run(videos(tmp_path, 1), [model(frames=4), model(frames=4), model(frames=2, crop=16)])
    assert sink.decoded_videos == ["0.mp4"]
    assert sink.frames == 6
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
    monkeypatch.setattr("vqa.extract.launching.time.perf_counter", lambda: float(next(ticks)))
    sink = run(videos(tmp_path, 1), [model(frames=4)], batch=2, lanes=1)
    assert sink.seconds == pytest.approx(2.0)  # 4 rows in batches of 2, one tick each


def test_several_devices_share_the_videos_and_give_the_same_features(tmp_path: Path) -> None:
    paths = videos(tmp_path, 6)
    one = run(paths, [model(frames=4), model(frames=2)])
    two = run(paths, [model(frames=4), model(frames=2)], devices=(torch.device("cpu"), torch.device("cpu", 0)))
    assert one.features.keys() == two.features.keys()
    for pair, features in one.features.items():
        assert np.array_equal(features.values, two.features[pair].values)


def test_a_bug_in_a_network_stops_the_run_and_keeps_what_was_stored(tmp_path: Path) -> None:
    class Buggy(nn.Module):
        def forward(self, frames: Tensor) -> Tensor:
            raise KeyError("ours")

    sink = Recorded()
    models = [model(), model(network=Buggy())]
    path = videos(tmp_path, 1)[0]
    with pytest.raises(KeyError, match="ours"):
        run_jobs([Job("0.mp4", path, "0", (0, 1))], models, sink, EngineOptions())
    assert set(sink.features) == {("0.mp4", 0)}


def test_no_shared_memory_is_left_behind(tmp_path: Path) -> None:
    before = held_memory().keys()
    run(videos(tmp_path, 2), [model()])
    assert held_memory().keys() == before


def test_too_little_memory_for_two_videos_is_said_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(VqaError, match=r"frames of 2 video\(s\) for 1 models take 1 MB, more than --memory \(0 MB\)"):
        run(videos(tmp_path, 2), [model()], memory_bytes=20000)


def test_a_file_that_changed_since_it_was_hashed_is_refused(tmp_path: Path) -> None:
    path = videos(tmp_path, 1)[0]
    stamp = read_stamp(path)
    path.write_bytes(path.read_bytes() + b"more")
    sink = Recorded()
    run_jobs([Job("0.mp4", path, "0", (0,), stamp)], [model()], sink, EngineOptions())
    assert sink.failures == [
        ("0.mp4", None, "transient", "the file changed while it was read; run again when it is written to its end")
    ]
    assert sink.features == {}


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    path = videos(tmp_path, 1)[0]
    stamp = read_stamp(path)
    path.unlink()
    sink = Recorded()
    run_jobs([Job("0.mp4", path, "0", (0,), stamp)], [model()], sink, EngineOptions())
    assert sink.failures[0][3].startswith("the file can't be opened (No such file or directory)")


def test_lanes_side_by_side_give_the_features_of_one_and_leave_the_thread_count(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    paths = videos(tmp_path, 6)
    one = run(paths, [model(frames=4), model(frames=2)], lanes=1)
    three = run(paths, [model(frames=4), model(frames=2)], lanes=3)
    assert torch.get_num_threads() == 2
    assert one.features.keys() == three.features.keys()
    for pair, features in one.features.items():
        assert np.array_equal(features.values, three.features[pair].values)
