from __future__ import annotations

from dataclasses import replace

import torch

from vqa.extract.model import Model
from vqa.extract.options import EngineOptions, cpu_shares, share_out, useful_slots
from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.extract.workers import slot_count

INPUT = InputSpec(resize=(32,), crop=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CANDIDATE = Candidate(ModelSpec("fake", "x", frames=4), INPUT, "none", "float32")  # 12288 bytes a video


def test_the_cpus_threads_are_shared_out_whole() -> None:
    assert cpu_shares(2, videos=100) == (1, 1)
    assert cpu_shares(10, videos=100) == (2, 2, 3, 3)
    assert cpu_shares(10, videos=100, wanted=1) == (10,)


def test_few_videos_are_done_together() -> None:
    assert cpu_shares(2, videos=3) == (2,)
    assert cpu_shares(2, videos=4) == (1, 1)


def test_a_gpu_has_one_runner_and_larger_batches() -> None:
    devices = (torch.device("cuda", 0), torch.device("cuda", 1))
    shares = share_out(EngineOptions(devices=devices), videos=100)
    assert [(str(share.device), share.batch) for share in shares] == [("cuda:0", 64), ("cuda:1", 64)]
    assert [share.batch for share in share_out(EngineOptions(batch=5, devices=devices), videos=100)] == [5, 5]


def test_slots_are_what_decoders_and_runners_keep_busy_with() -> None:
    shares = share_out(EngineOptions(batch=8, cpu_runners=1), videos=100)
    models = [Model(CANDIDATE, torch.nn.Identity(), "")]
    assert useful_slots(models, shares, processes=2) == 4 + 4  # two batches of 8 are four videos of 4 frames
    clip = Model(replace(CANDIDATE, input=replace(INPUT, clip_frames=16)), torch.nn.Identity(), "")
    assert useful_slots([clip], shares, processes=2) == 4 + 16


def test_memory_bounds_how_many_videos_wait() -> None:
    assert slot_count([CANDIDATE], 10 * 12288, wanted=64) == (10, 12288)
    assert slot_count([CANDIDATE], 100 * 12288, wanted=64) == (64, 12288)
