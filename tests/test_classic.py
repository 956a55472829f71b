"""The backend `classic`, and what both its statistics hold to for every size, picture, batch and cut into strips."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vqa.errors import UnknownModelError, VideoError
from vqa.extract.backends import find_backend
from vqa.extract.backends.classic import BACKEND
from vqa.extract.classic import planes
from vqa.extract.classic.nss import NSS_NAMES
from vqa.extract.classic.siti import SITI_NAMES
from vqa.extract.pools import expand_models, find_row
from vqa.extract.spec import NativeInput, Plan, parse_spec

WIDTHS = {"nss": 36, "siti": 22}
RUNS = {"nss": 1, "siti": 3}
SIZES = [(16, 16), (17, 31), (16, 500), (333, 16), (97, 201)]
BOTH = pytest.mark.parametrize("name", ["nss", "siti"])


def measure(name: str, frames: Tensor) -> Tensor:
    """Measure (B, 3, 3, H, W), of each run as many frames as it takes."""
    with torch.inference_mode():
        features: Tensor = BACKEND.load(parse_spec(f"classic:{name}"))(frames[:, : RUNS[name]])
    return features


def textured(seed: int, height: int = 97, width: int = 201, batch: int = 1) -> Tensor:
    """Runs of three frames that differ, their neighbouring pixels alike."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 6, (batch, 3, 3, height, width)).cumsum(-1)
    return torch.from_numpy((128 + steps).clip(0, 255).astype(np.uint8))


def test_the_pool_lists_both_with_their_widths() -> None:
    assert [str(spec) for spec in expand_models(["classic"])] == ["classic:nss", "classic:siti"]
    for name, names in (("nss", NSS_NAMES), ("siti", SITI_NAMES)):
        row = find_row(f"classic:{name}")
        assert row is not None
        assert (row.width, row.input, row.pretraining) == (WIDTHS[name], "native", "none")
        assert len(names) == WIDTHS[name]


def test_nss_looks_at_single_frames_and_siti_at_three() -> None:
    assert find_backend("classic") is BACKEND
    assert BACKEND.describe(parse_spec("classic:nss")) == Plan(NativeInput(1), "none")
    assert BACKEND.describe(parse_spec("classic:siti")) == Plan(NativeInput(3), "none")


def test_unknown_names_and_weights_are_refused() -> None:
    with pytest.raises(UnknownModelError, match="no statistic 'ns'; did you mean nss"):
        BACKEND.describe(parse_spec("classic:ns"))
    with pytest.raises(UnknownModelError, match="no weights; write classic:siti"):
        BACKEND.load(parse_spec("classic:siti/imagenet"))


@BOTH
def test_networks_have_no_parameters_and_are_in_evaluation_mode(name: str) -> None:
    network = BACKEND.load(parse_spec(f"classic:{name}"))
    assert not network.state_dict()
    assert not network.training


@BOTH
@pytest.mark.parametrize("size", SIZES)
def test_every_size_and_extreme_picture_gives_finite_features_that_float16_holds(
    name: str, size: tuple[int, int]
) -> None:
    board = torch.from_numpy(np.indices(size).sum(0) % 2 * 255).to(torch.uint8).expand(1, 3, 3, *size)
    columns = torch.zeros(size, dtype=torch.uint8)
    columns[:, 2::4] = columns[:, 3::4] = 255
    dot = torch.zeros((1, 3, 3, *size), dtype=torch.uint8)
    dot[0, 1, :, 8, 8] = 255
    random = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 3, *size), np.uint8))
    flats = [torch.full_like(dot, level) for level in (0, 1, 128, 255)]
    features = torch.cat(
        [measure(name, frames) for frames in (board, columns.expand(1, 3, 3, *size), dot, random, *flats)]
    )
    assert features.shape == (8, WIDTHS[name])
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()
    assert features.abs().max() < 1100


@BOTH
@pytest.mark.parametrize("size", [(15, 40), (40, 15), (1, 1)])
def test_smaller_frames_are_refused_in_one_line(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(VideoError, match=f"{size[1]} x {size[0]} pixels is too small.*at least 16 x 16") as caught:
        measure(name, torch.zeros((1, 3, 3, *size), dtype=torch.uint8))
    assert "\n" not in str(caught.value)


@BOTH
def test_features_do_not_depend_on_the_batch_nor_on_the_order_in_memory(name: str) -> None:
    runs = textured(1, batch=3)
    together = measure(name, runs)
    interleaved = runs.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)  # as decoders deliver frames
    for index in range(3):
        assert torch.equal(measure(name, runs[index : index + 1])[0], together[index])
        assert torch.equal(measure(name, interleaved[index : index + 1])[0], together[index])


@BOTH
@pytest.mark.parametrize("pixels", [1, 201 * 20, 201 * 33])
def test_features_do_not_depend_on_how_the_picture_is_cut_into_strips(
    name: str, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planes, "_STRIP_PIXELS", 1 << 30)
    whole = measure(name, textured(2))
    monkeypatch.setattr(planes, "_STRIP_PIXELS", pixels)
    assert torch.allclose(measure(name, textured(2)), whole, rtol=1e-4, atol=1e-5)


@BOTH
def test_frames_are_left_as_they_are(name: str) -> None:
    frames = textured(3)
    before = frames.clone()
    measure(name, frames)
    assert torch.equal(frames, before)


def test_the_page_on_statistics_has_a_row_for_every_feature() -> None:
    page = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)`", page, re.MULTILINE)
    shapes = [name.removeprefix("full_") for name in NSS_NAMES if name.startswith(("full_mscn", "full_horizontal"))]
    assert listed == [*shapes, *SITI_NAMES]
