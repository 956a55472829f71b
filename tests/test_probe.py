"""The probe: a fixed clip that every candidate is run on, so that a change of its numbers is noticed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Colorspace
from numpy.typing import NDArray
from torch import Tensor, nn

from vqa.errors import ProbeError, VideoError
from vqa.extract import decoding, pixels
from vqa.extract.backends import bundled
from vqa.extract.model import load_network
from vqa.extract.probe import TOLERANCES, beyond_rounding, probe_distance, probe_features
from vqa.extract.spec import Candidate, InputSpec, ModelSpec, NativeInput, parse_spec, plan_candidate
from vqa.extract.video import read_timeline

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
CLIP = Path(str(resources.files("vqa.extract").joinpath("probe.webm")))


class Mixed(nn.Module):
    """A small network with fixed random weights that sees colour and detail."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.filters = nn.Conv2d(3, 16, 5, stride=2)
        self.filters.weight.data = torch.randn(16, 3, 5, 5, generator=random)
        self.filters.bias.data = torch.zeros(16)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, frames: Tensor) -> Tensor:
        self.seen.append(tuple(frames.shape))
        frames = frames.transpose(1, 2).flatten(0, 1) if frames.ndim == 5 else frames
        return nn.functional.gelu(self.filters(frames)).mean((2, 3)).mean(0, keepdim=True)


def candidate(**changes: object) -> Candidate:
    spec = InputSpec(resize=(128,), crop=(112, 112), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return Candidate(ModelSpec("fake", "x"), replace(spec, **changes), "none", "float32")


def distance(changed: NDArray[np.float32]) -> float:
    return probe_distance(changed, probe_features(candidate(), Mixed(), CPU))


def test_the_clip_holds_the_pixels_it_always_held() -> None:
    digest = hashlib.sha256()
    with av.open(str(CLIP)) as container:
        for frame in container.decode(video=0):
            for plane in frame.planes:
                lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                digest.update(lines[:, : plane.width].tobytes())
        stream = container.streams.video[0]
        assert (stream.codec_context.height, stream.codec_context.width) == (541, 703)
        assert (stream.codec_context.pix_fmt, stream.codec_context.colorspace) == ("yuv420p", 1)
    assert digest.hexdigest() == "4decd6b7659733719a8edbc2d038ccf799e612a7655a3547a7d54b44aedd1c3b"
    assert CLIP.stat().st_size < 30_000


def test_an_image_network_sees_one_frame_and_a_video_network_one_clip() -> None:
    image, video = Mixed(), Mixed()
    assert probe_features(candidate(), image, CPU).shape == (16,)
    clips = candidate(clip_frames=6, clip_fps=10.0)
    probe_features(replace(clips, spec=ModelSpec("fake", "x", clips=4)), video, CPU)
    assert (image.seen, video.seen) == ([(1, 3, 112, 112)], [(1, 3, 6, 112, 112)])


def test_a_measure_of_whole_frames_is_measured_on_one_run() -> None:
    class Measure(nn.Module):
        def forward(self, runs: Tensor) -> Tensor:
            assert runs.shape == (1, 2, 3, 541, 703)
            return runs.float().mean((1, 3, 4))

    native = Candidate(ModelSpec("fake", "x"), NativeInput(run=2), "none", "float32")
    assert probe_features(native, Measure(), CPU).round().tolist() == [119, 136, 121]


PROBE_ELSEWHERE = """
import json, sys
import torch
sys.path.insert(0, "tests")
from test_probe import CPU, Mixed, candidate, probe_features
torch.set_num_threads(int(sys.argv[1]))
print(json.dumps(probe_features(candidate(), Mixed(), CPU).tolist()))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_another_process_gives_the_same_features_whatever_its_threads(threads: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE_ELSEWHERE, str(threads)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert distance(np.array(json.loads(done.stdout), np.float32)) < TOLERANCES["float32"]


def test_float64_lies_within_the_tolerance() -> None:
    class Exact(Mixed):
        def forward(self, frames: Tensor) -> Tensor:
            return self.double().filters(frames.double()).pipe() if False else super().double().forward64(frames)

        def forward64(self, frames: Tensor) -> Tensor:
            return nn.functional.gelu(self.filters(frames.double())).mean((2, 3)).float()

    assert 0 < distance(probe_features(candidate(), Exact(), CPU)) < TOLERANCES["float32"]


@pytest.mark.parametrize(
    "changes", [{"interpolation": "bilinear"}, {"antialias": False}, {"mean": (0.485, 0.456, 0.406)}]
)
def test_frames_prepared_otherwise_are_beyond_the_tolerance(changes: dict[str, object]) -> None:
    assert distance(probe_features(candidate(**changes), Mixed(), CPU)) > 10 * TOLERANCES["float32"]


def test_another_colour_matrix_is_beyond_the_tolerance() -> None:
    with mock.patch.dict(pixels._MATRICES, {1: Colorspace.ITU601}):
        changed = probe_features(candidate(), Mixed(), CPU)
    assert distance(changed) > 10 * TOLERANCES["float32"]


def test_a_lost_frame_is_beyond_the_tolerance() -> None:
    def lossy(path: Path, **limits: float) -> object:
        whole = read_timeline(path, **limits)
        return replace(whole, pts=np.delete(whole.pts, 2), keys=np.empty(0, np.intp))

    with mock.patch.object(decoding, "read_timeline", lossy):
        changed = probe_features(candidate(), Mixed(), CPU)
    assert distance(changed) > 10 * TOLERANCES["float32"]


def test_weights_off_by_a_thousandth_are_beyond_the_tolerance() -> None:
    other = Mixed()
    other.filters.weight.data *= 1 + 1e-3 * torch.randn(16, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    assert distance(probe_features(candidate(), other, CPU)) > 2 * TOLERANCES["float32"]


def test_distance_is_relative_to_the_features_before() -> None:
    before = np.array([3, 4], np.float32)
    assert probe_distance(before, before) == 0
    assert probe_distance(np.array([3, 4.5], np.float32), before) == pytest.approx(0.1)
    assert probe_distance(np.array([3, 4, 0], np.float32), before) == float("inf")
    assert probe_distance(before, np.zeros(2, np.float32)) == float("inf")
    assert probe_distance(np.zeros(2, np.float32), np.zeros(2, np.float32)) == 0


def test_features_that_are_not_finite_are_refused_by_name() -> None:
    class Broken(nn.Module):
        def forward(self, frames: Tensor) -> Tensor:
            return torch.tensor([[1.0, float("nan")]])

    with pytest.raises(ProbeError, match=r"^fake:x: its features of vqa's probe clip are not finite; leave it out"):
        probe_features(candidate(), Broken(), CPU)


def test_a_measure_that_refuses_the_clip_is_refused_by_name() -> None:
    class Choosy(nn.Module):
        def forward(self, runs: Tensor) -> Tensor:
            raise VideoError("too small for me")

    native = Candidate(ModelSpec("fake", "x"), NativeInput(), "none", "float32")
    with pytest.raises(ProbeError, match=r"^fake:x: can't be run on vqa's probe clip \(too small for me\); "):
        probe_features(native, Choosy(), CPU)


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled.BACKEND.list_names())
def test_with_real_weights_all_harm_is_beyond_the_tolerance_and_no_rounding_is(name: str) -> None:
    loader = importlib.util.spec_from_file_location("probe_benchmark", ROOT / "benchmarks" / "probe.py")
    assert loader is not None
    assert loader.loader is not None
    benchmark = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(benchmark)
    spec = parse_spec(f"bundled:{name}")
    real = plan_candidate(spec, bundled.BACKEND.describe(spec), "float32")
    network = load_network(real)
    before = probe_features(real, network, CPU)

    def beyond(changes: dict[str, Any]) -> set[str]:
        moved = {
            key: beyond_rounding(change(real, network), before, precision="float32") for key, change in changes.items()
        }
        return {key for key, distance in moved.items() if distance is not None}

    assert beyond(benchmark.HARMLESS) == set()
    has_gelu = any(isinstance(module, nn.GELU) for module in network.modules())
    assert beyond(benchmark.HARMFUL) == set(benchmark.HARMFUL) - (set() if has_gelu else {"QuickGELU"})
