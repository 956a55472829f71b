"""The same video gives the same features, whatever else is in the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from media import write_video
from numpy.typing import NDArray

from vqa.errors import VideoError
from vqa.extract.backends.timm import PooledFeatures
from vqa.extract.engine import run_jobs
from vqa.extract.jobs import Job
from vqa.extract.looking import DecodedVideo
from vqa.extract.model import Model, OneDnnLinear, cast_matrices, onednn_is_faster, use_onednn
from vqa.extract.options import EngineOptions
from vqa.extract.precision import probe_input
from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.records import VideoFeatures

INPUT = InputSpec(resize=(64,), crop=(64, 64), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "mobilenetv2_100": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {"img_size": 64},
}


class Kept:
    """A sink that keeps features."""

    def __init__(self) -> None:
        self.values: dict[str, NDArray[np.float16]] = {}

    def decoded(self, job: Job, video: DecodedVideo) -> None:
        pass

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        self.values[job.video] = features.values

    def fail(self, job: Job, model: int | None, stage: str, error: VideoError) -> None:
        raise error


def make(name: str, precision: str) -> Model:
    torch.manual_seed(0)
    network = PooledFeatures(timm.create_model(name, pretrained=False, **NETWORKS[name])).eval()
    network = network.requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)
    if onednn_is_faster():
        use_onednn(network)
    candidate = Candidate(ModelSpec("fake", name, frames=5), INPUT, "none", precision)
    if precision == "bfloat16":
        cast_matrices(network, candidate, probe_input(candidate)[:2])
    return Model(candidate, network, "")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    return [
        write_video(folder / f"{i}.mp4", list(random.integers(0, 256, (12, 64, 96, 3), dtype=np.uint8)))
        for i in range(3)
    ]


def features(paths: list[Path], model: Model, **options: Any) -> dict[str, NDArray[np.float16]]:
    sink = Kept()
    run_jobs([Job(path.name, path, path.name, (0,)) for path in paths], [model], sink, EngineOptions(**options))
    return sink.values


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_the_same_bits_alone_in_company_and_in_any_batch(
    clips: list[Path], name: str, precision: str
) -> None:
    torch.set_num_threads(2)
    model = make(name, precision)
    together = features(clips, model)
    for batch in (2, 3, 8):
        again = features(clips, model, batch=batch, lanes=2)
        assert all(np.array_equal(again[clip], values) for clip, values in together.items())
    alone = features(clips[1:2], model)  # five frames are two batches: a lane for each of the two threads
    assert np.array_equal(alone["1.mp4"], together["1.mp4"])


@pytest.mark.parametrize("name", NETWORKS)
def test_several_threads_or_single_rows_move_features_by_a_thousandth_at_most(clips: list[Path], name: str) -> None:
    torch.set_num_threads(2)
    model = make(name, "float32")
    together = features(clips, model)
    for options in ({"lanes": 1}, {"batch": 1}):
        for clip, values in features(clips, model, **options).items():
            largest = np.abs(together[clip].astype(np.float32)).max()
            assert np.abs(values.astype(np.float32) - together[clip]).max() <= largest / 1024


def test_onednns_product_is_the_layers_own() -> None:
    torch.manual_seed(0)
    own = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.GELU(), torch.nn.Linear(30, 20, bias=False)).eval()
    inputs = torch.randn(2, 7, 40)
    with torch.inference_mode():
        expected = own(inputs)
        use_onednn(own)
        assert [type(module) for module in own] == [OneDnnLinear, torch.nn.GELU, OneDnnLinear]
        torch.testing.assert_close(own(inputs), expected, rtol=1e-5, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert own(inputs).dtype == torch.bfloat16
