"""The torchvision backend, on random weights; nothing is downloaded."""

from __future__ import annotations

import urllib.error
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models._api import WeightsEnum
from torchvision.transforms._presets import ImageClassification

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import torchvision as backend
from vqa.extract.spec import ModelSpec, parse_spec


def spec_of(text: str) -> ModelSpec:
    return parse_spec(f"torchvision:{text}")


def random_state(name: str, **options: Any) -> dict[str, Tensor]:
    """Weights as torchvision would send them, with batch statistics that matter."""
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, **options)
    state = network.state_dict()
    for key, tensor in state.items():
        if key.endswith("running_var"):
            tensor.fill_(0.5)
    return dict(state)


def pretend_hub(monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]) -> None:
    """Answer torchvision's download, ours and its own, with a state dictionary."""
    monkeypatch.setattr(backend, "address_file", lambda url: None)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: OrderedDict(state))


def input_of(text: str, batch: int = 2) -> Tensor:
    size = backend.describe(spec_of(text)).input
    shape = (batch, 3, *((size.clip_frames,) if size.clip_frames else ()), *size.crop)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def features_before(network: nn.Module, last: str, frames: Tensor) -> Tensor:
    """Record what goes into a layer of torchvision's own network."""
    seen: list[Tensor] = []
    network.get_submodule(last).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        network.eval()(frames)
    return seen[0]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("shufflenet_v2_x0_5", "fc"),
        ("regnet_x_400mf", "fc"),
        ("googlenet", "fc"),  # turns transform_input on with weights
        ("r3d_18", "fc"),
    ],
)
def test_features_are_what_goes_into_the_last_layer(name: str, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_hub(monkeypatch, random_state(name, **({"init_weights": False} if name == "googlenet" else {})))
    own = models.get_model(name, weights="DEFAULT")
    frames = input_of(name)
    with torch.inference_mode():
        found = backend.load(spec_of(name))(frames)
    assert found.ndim == 2
    assert torch.equal(found, features_before(own, last, frames))


def test_a_classifier_made_of_a_convolution_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_hub(monkeypatch, random_state("squeezenet1_1"))
    own = models.get_model("squeezenet1_1", weights="DEFAULT")
    frames = input_of("squeezenet1_1")
    maps = features_before(own, "classifier.1", frames)
    with torch.inference_mode():
        assert torch.allclose(backend.load(spec_of("squeezenet1_1"))(frames), maps.mean((2, 3)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("fasterrcnn_mobilenet_v3_large_320_fpn", ["0", "1", "pool"]),
        ("lraspp_mobilenet_v3_large", ["low", "high"]),
    ],
)
def test_dense_features_are_the_means_of_the_backbones_maps(
    name: str, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_hub(monkeypatch, random_state(name, weights_backbone=None))
    own = models.get_model(name, weights="DEFAULT").eval()
    frames = input_of(name, batch=1)
    with torch.inference_mode():
        maps = own.backbone(frames)
        wanted = torch.cat([maps[key].mean((2, 3)) for key in kept], dim=1)
        assert torch.allclose(backend.load(spec_of(name))(frames), wanted, atol=1e-5)


def test_the_first_coco_weights_are_normalised_without_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "fasterrcnn_resnet50_fpn"
    pretend_hub(monkeypatch, random_state(name, weights_backbone=None))
    own = models.get_model(name, weights="DEFAULT").eval()
    frames = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = torch.cat([grid.mean((2, 3)) for grid in own.backbone(frames).values()], dim=1)
        found = backend.load(spec_of(name))(frames)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)
    epsilons = {module.eps for module in backend.build(spec_of(name)).modules() if isinstance(module, nn.BatchNorm2d)}
    assert epsilons == {0.0}


def test_training_only_maps_of_a_segmenter_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Maps(nn.Module):
        def forward(self, frames: Tensor) -> dict[str, Tensor]:
            return {"out": frames, "aux": frames}

    assert backend.PooledMaps(Maps())(torch.ones(2, 3, 4, 4)).shape == (2, 3)


@pytest.mark.parametrize("removed", [(), ("fc.weight", "fc.bias")])
def test_a_file_gives_the_features_of_the_hub_with_or_without_classifier(
    removed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = random_state("resnet18")
    pretend_hub(monkeypatch, state)
    torch.save({key: tensor for key, tensor in state.items() if key not in removed}, tmp_path / "own.pth")
    frames = input_of("resnet18")
    with torch.inference_mode():
        found = backend.load(spec_of(f"resnet18/{tmp_path}/own.pth"))(frames)
        assert torch.equal(found, backend.load(spec_of("resnet18"))(frames))


@pytest.mark.parametrize(
    ("name", "key", "options"),
    [
        ("resnet18", "layer1.0.conv1.weight", {}),
        ("lraspp_mobilenet_v3_large", "backbone.0.0.weight", {"weights_backbone": None}),
    ],
)
def test_a_renamed_tensor_is_refused(
    name: str, key: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = random_state(name, **options)
    state[f"{key}s"] = state.pop(key)
    pretend_hub(monkeypatch, state)
    with pytest.raises(WeightsError, match=rf"1 missing: {key}; 1 unexpected: {key}s"):
        backend.load(spec_of(name))


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        try:
            raise OSError("no route")
        except OSError as error:
            raise urllib.error.URLError(error) from error

    monkeypatch.setattr(backend, "address_file", refuse)
    with pytest.raises(
        WeightsError, match=r"^torchvision:resnet18: weights can't be had \(the server can't be reached: no"
    ):
        backend.load(spec_of("resnet18"))


def test_a_download_with_another_hash_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError('invalid hash value (expected "f37072fd", got "00000000")')

    monkeypatch.setattr(backend, "address_file", refuse)
    with pytest.raises(WeightsError, match="invalid hash value"):
        backend.load(spec_of("resnet18"))


def test_a_misspelt_model_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModelError, match=r"torchvision has no model 'resnet5'; did you mean .*resnet50"):
        backend.describe(spec_of("resnet5"))


def test_misspelt_weights_get_a_suggestion() -> None:
    with pytest.raises(UnknownModelError, match=r"resnet50 has no weights 'IMAGENET1K'; did you mean IMAGENET1K_V"):
        backend.describe(spec_of("resnet50/IMAGENET1K"))


@pytest.mark.parametrize("name", ["raft_large", "quantized_resnet50"])
def test_networks_that_give_no_features_are_not_offered(name: str) -> None:
    assert not [pair for pair in backend.list_names() if pair.startswith(name)]
    with pytest.raises(UnknownModelError):
        backend.describe(spec_of(name))


def test_the_default_weights_are_torchvisions() -> None:
    assert backend.describe(spec_of("resnet50")) == backend.describe(spec_of("resnet50/IMAGENET1K_V2"))
    assert backend.describe(spec_of("resnet50")) != backend.describe(spec_of("resnet50/IMAGENET1K_V1"))


def test_weights_of_a_file_are_named_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"abc")
    found = backend.describe(spec_of(f"resnet18/{tmp_path}/a.pth")).weights_id
    assert found == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_every_classifiers_input_is_its_weights_own() -> None:
    for pair in backend.list_names():
        name, _, weights = pair.partition("/")
        transform = models.get_model_weights(name)[weights].transforms()
        if isinstance(transform, ImageClassification):
            size = backend.describe(spec_of(pair)).input
            assert size.resize == tuple(transform.resize_size), pair
            assert size.crop == (*transform.crop_size, *transform.crop_size), pair
            assert (list(size.mean), list(size.std)) == (transform.mean, transform.std), pair
            assert size.interpolation == transform.interpolation.value, pair
            assert size.antialias is transform.antialias is True, pair


@pytest.mark.parametrize(
    ("name", "frames", "resize", "crop"),
    [
        ("r2plus1d_18", 16, (128, 171), (112, 112)),
        ("mvit_v2_s", 16, (256,), (224, 224)),
        ("swin3d_t", 32, (256,), (224, 224)),
        ("s3d", 128, (256, 256), (224, 224)),
    ],
)
def test_video_networks_take_clips(name: str, frames: int, resize: tuple[int, ...], crop: tuple[int, int]) -> None:
    size = backend.describe(spec_of(name)).input
    assert (size.clip_frames, size.resize, size.crop, size.antialias) == (frames, resize, crop, False)


def test_clip_lengths_are_those_of_the_documentation() -> None:
    for name in models.list_models(module=models.video):
        for weights in models.get_model_weights(name):
            frames = backend.describe(spec_of(f"{name}/{weights.name}")).input.clip_frames
            assert f"clip_len={frames}`" in weights.meta["_docs"], name


def test_frame_rates_of_dense_clips_are_those_of_the_documentation() -> None:
    for name in models.list_models(module=models.video):
        for weights in models.get_model_weights(name):
            rate = backend.describe(spec_of(f"{name}/{weights.name}")).input.clip_fps
            assert f"frame_rate={rate:g}`" in weights.meta["_docs"], name
    assert backend.describe(spec_of("resnet18")).input.clip_fps == 0.0


@pytest.mark.parametrize(
    ("name", "resize", "crop"),
    [
        ("fcn_resnet50", (520,), (520, 520)),
        ("retinanet_resnet50_fpn", (520,), (520, 520)),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", (320,), (320, 320)),
        ("ssd300_vgg16", (300, 300), (300, 300)),
    ],
)
def test_dense_networks_take_one_square(name: str, resize: tuple[int, ...], crop: tuple[int, int]) -> None:
    size = backend.describe(spec_of(name)).input
    assert (size.resize, size.crop) == (resize, crop)


def test_a_detectors_normalisation_is_its_own() -> None:
    assert backend.describe(spec_of("ssdlite320_mobilenet_v3_large")).input.mean == (0.5, 0.5, 0.5)
    assert backend.describe(spec_of("ssd300_vgg16")).input.std == (1 / 255, 1 / 255, 1 / 255)


@pytest.mark.parametrize(
    ("pair", "width"),
    [
        ("vit_b_16/IMAGENET1K_SWAG_E2E_V1", 768),
        ("densenet201", 1920),
        ("vgg16", 4096),
        ("maxvit_t", 512),
        ("swin_v2_t", 768),
        ("fcos_resnet50_fpn", 1280),
        ("ssd300_vgg16", 2816),
        ("deeplabv3_resnet50", 2048),
        ("mvit_v2_s", 768),
        ("s3d", 1024),
    ],
)
def test_features_have_one_row_for_each_input(pair: str, width: int) -> None:
    shape = input_of(pair).shape
    with torch.device("meta"), torch.inference_mode():
        assert backend.build(spec_of(pair))(torch.empty(shape)).shape == (2, width)
