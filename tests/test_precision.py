from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from vqa.extract.precision import _windows, choose_precision, native_bfloat16, precision_cosine, probe_input
from vqa.extract.spec import Candidate, InputSpec, ModelSpec

CPU = torch.device("cpu")


def candidate(clip_frames: int = 0) -> Candidate:
    spec = InputSpec(resize=(32,), crop=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), clip_frames=clip_frames)
    return Candidate(ModelSpec("fake", "x"), spec, "none", "float32")


class Exact(nn.Module):
    """Loses nothing in bfloat16: it does no matrix product."""

    def forward(self, frames: Tensor) -> Tensor:
        return frames.flatten(1)[:, :64]


class Touchy(nn.Module):
    """A small difference of large terms: bfloat16's rounding is all that is left."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3072, 64, bias=False)
        weight = torch.randn(64, 3072, generator=torch.Generator().manual_seed(0))
        self.linear.weight.data = weight

    def forward(self, frames: Tensor) -> Tensor:
        flat = frames.flatten(1)
        return self.linear(flat * 1000).float() - (flat * 1000) @ (self.linear.weight.T * 0.99999).float()


def test_probe_frames_are_the_same_every_time_and_differ_from_each_other() -> None:
    first, second = probe_input(candidate()), probe_input(candidate())
    assert first.shape == (16, 3, 32, 32)
    assert torch.equal(first, second)
    assert len({frame.numpy().tobytes() for frame in first}) == 16
    assert probe_input(candidate(clip_frames=5)).shape == (2, 5, 3, 32, 32)


def test_probe_frames_are_cut_out_of_scikit_learns_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    again = "import sys, vqa.extract.precision as p; p._windows(1); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    top_left = [photo[:360, :540] for photo in load_sample_images().images]
    assert all(np.array_equal(*pair) for pair in zip(_windows(1), top_left, strict=True))
    # Where the package keeps its files elsewhere, it is asked itself.
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert all(np.array_equal(*pair) for pair in zip(_windows(1), top_left, strict=True))


def test_exact_networks_get_bfloat16_only_where_it_is_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqa.extract.precision.native_bfloat16", lambda device: True)
    assert choose_precision(candidate(), Exact(), CPU) == "bfloat16"
    assert choose_precision(candidate(), Touchy(), CPU) == "float32"
    monkeypatch.setattr("vqa.extract.precision.native_bfloat16", lambda device: False)
    assert choose_precision(candidate(), Exact(), CPU) == "float32"


def test_cosine_is_one_for_equal_features() -> None:
    assert precision_cosine(candidate(), Exact(), CPU) > 0.9999
    assert precision_cosine(candidate(), Touchy(), CPU) < 0.999


def test_native_support_is_a_plain_answer() -> None:
    assert native_bfloat16(CPU) in (True, False)
    assert native_bfloat16(torch.device("meta")) is False
