from __future__ import annotations

from dataclasses import replace

import torch

from vqa.extract.model import Model
from vqa.extract.options import EngineOptions, Share, share_out, useful_slots
from vqa.extract.slots import slot_count
from vqa.extract.spec import Candidate, InputSpec, ModelSpec

INPUT = InputSpec(resize=(32,), crop=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CANDIDATE = Candidate(ModelSpec("fake", "x", frames=4), INPUT, "none", "float32")  # 12288 bytes a video


def model(candidate: Candidate = CANDIDATE) -> Model:
    return Model(candidate, torch.nn.Identity(), "")


def lanes(videos: int, *models: Model, **options: int) -> tuple[int, int]:
    (share,) = share_out(EngineOptions(**options), models or [model()], videos)
    return share.lanes, share.threads


def test_each_thread_of_the_cpu_is_a_lane_while_there_are_batches_enough() -> None:
    torch.set_num_threads(6)
    assert lanes(100) == (6, 1)
    assert lanes(6) == (6, 1)  # a batch is four frames, one video of them
    assert lanes(100, lanes=2) == (2, 3)


def test_few_batches_get_several_threads_each() -> None:
    torch.set_num_threads(6)
    assert lanes(2) == (2, 3)
    assert lanes(1) == (1, 6)
    assert lanes(1, batch=2) == (2, 3)


def test_no_core_is_left_over_where_lanes_have_several_threads() -> None:
    for threads, expected in ((24, (12, 2)), (31, (15, 2)), (64, (16, 4))):
        torch.set_num_threads(threads)
        assert lanes(100) == expected


def test_clips_are_batches_of_their_own() -> None:
    torch.set_num_threads(6)
    clip = replace(CANDIDATE, input=replace(INPUT, clip_frames=16))
    assert lanes(3, model(clip)) == (3, 2)
    assert lanes(3, model(replace(clip, spec=replace(clip.spec, clips=2)))) == (6, 1)


def test_a_gpu_has_no_lanes_and_larger_batches() -> None:
    devices = (torch.device("cuda", 0), torch.device("cuda", 1))
    shares = share_out(EngineOptions(devices=devices), [model()], videos=100)
    assert [(str(share.device), share.batch, share.lanes) for share in shares] == [("cuda:0", 64, 0), ("cuda:1", 64, 0)]
    assert [share.batch for share in share_out(EngineOptions(batch=5, devices=devices), [model()], 100)] == [5, 5]


def test_slots_are_what_decoders_and_runners_keep_busy_with() -> None:
    shares = (Share(torch.device("cpu"), batch=4, lanes=2),)
    assert useful_slots([model()], shares, processes=2) == 4 + 16  # rounds of 16 frames: four videos
    clip = replace(CANDIDATE, input=replace(INPUT, clip_frames=16))
    assert useful_slots([model(clip)], shares, processes=2) == 4 + 4  # a clip is as much as four videos


def test_memory_bounds_how_many_videos_wait() -> None:
    assert slot_count([CANDIDATE], 10 * 12288, wanted=64) == (10, 12288)
    assert slot_count([CANDIDATE], 100 * 12288, wanted=64) == (64, 12288)
