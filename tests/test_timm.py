"""The timm backend, on tiny random checkpoints and timm's own test models; the hub is never asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms import CenterCrop, Resize

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import hub
from vqa.extract.backends import timm as backend
from vqa.extract.spec import ModelSpec, parse_spec

TINY = ("test_vit.r160_in1k", "test_convnext.r160_in1k", "test_resnet.r160_in1k", "test_efficientnet.r160_in1k")
MISFIT = "test_vit.r160_in1k"


def spec_of(text: str) -> ModelSpec:
    return parse_spec(f"timm:{text}")


def random_network(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, **options).eval()


def frames_for(name: str) -> Tensor:
    return torch.rand(2, 3, *backend.describe(spec_of(name)).input.crop, generator=torch.Generator().manual_seed(1))


def features_only_state(name: str) -> dict[str, Tensor]:
    """What the hub would send: random weights of the network without its classifier."""
    return dict(random_network(name).state_dict())


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_answers", lambda endpoint: False)


def pretend_hub(monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]) -> None:
    """Answer timm's download with a state dictionary."""
    monkeypatch.setattr(backend, "hub_files", lambda *_, **__: ())
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: dict(state))


@pytest.mark.parametrize("name", TINY)
def test_features_of_a_file_equal_timms_own_without_classifier(name: str, tmp_path: Path) -> None:
    own = random_network(name, num_classes=0)
    save_file(own.state_dict(), tmp_path / "tiny.safetensors")
    with torch.inference_mode():
        found = backend.load(spec_of(f"{name}/{tmp_path}/tiny.safetensors"))(frames_for(name))
        assert torch.equal(found, own(frames_for(name)))


@pytest.mark.parametrize("classes", [7, 1000])
def test_a_classifier_in_the_file_is_left_out(classes: int, tmp_path: Path) -> None:
    own = random_network("test_resnet.r160_in1k", num_classes=classes)
    save_file(own.state_dict(), tmp_path / "tiny.safetensors")
    own.reset_classifier(0)  # type: ignore[operator]
    frames = frames_for("test_resnet.r160_in1k")
    with torch.inference_mode():
        found = backend.load(spec_of(f"test_resnet.r160_in1k/{tmp_path}/tiny.safetensors"))(frames)
        assert torch.equal(found, own(frames))


def test_a_classifier_with_its_own_norm_is_left_out_too(tmp_path: Path) -> None:
    save_file(random_network("levit_128s.fb_dist_in1k").state_dict(), tmp_path / "levit.safetensors")
    network = backend.load(spec_of(f"levit_128s.fb_dist_in1k/{tmp_path}/levit.safetensors"))
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 384)


def test_a_renamed_tensor_in_a_file_is_refused(tmp_path: Path) -> None:
    state = random_network(MISFIT).state_dict()
    state["blocks.0.norm1.wait"] = state.pop("blocks.0.norm1.weight")
    save_file(state, tmp_path / "tiny.safetensors")
    with pytest.raises(
        WeightsError, match=r"1 missing: blocks\.0\.norm1\.weight; 1 unexpected: blocks\.0\.norm1\.wait"
    ):
        backend.load(spec_of(f"{MISFIT}/{tmp_path}/tiny.safetensors"))


def test_features_from_the_hub_equal_timms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "test_convnext.r160_in1k"
    state = features_only_state(name)
    pretend_hub(monkeypatch, state)
    own = random_network(name, num_classes=0)
    own.load_state_dict({key: state[key] for key in own.state_dict()})
    torch.manual_seed(2)  # another start must not matter
    with torch.inference_mode():
        assert torch.equal(backend.load(spec_of(name))(frames_for(name)), own(frames_for(name)))


def test_a_renamed_tensor_from_the_hub_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = features_only_state(MISFIT)
    state["norm.wait"] = state.pop("norm.weight")
    pretend_hub(monkeypatch, state)
    with pytest.raises(WeightsError, match=r"^timm:test_vit\.r160_in1k: .*norm\.weight.*; update timm$"):
        backend.load(spec_of(MISFIT))


def test_a_tensor_missing_where_timm_is_not_strict_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = features_only_state("dla46x_c.in1k")  # timm loads this family with strict=False
    del state["level2.root.bn.weight"]
    pretend_hub(monkeypatch, state)
    with pytest.raises(WeightsError, match=r"timm did not load level2\.root\.bn\.weight; update timm"):
        backend.load(spec_of("dla46x_c.in1k"))


def test_fcmae_weights_may_lack_the_last_norm_and_the_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "convnextv2_atto.fcmae"
    state = {key: value for key, value in features_only_state(name).items() if not key.startswith("head.")}
    pretend_hub(monkeypatch, state)
    with torch.inference_mode():
        assert backend.load(spec_of(name))(torch.zeros(1, 3, 224, 224)).shape == (1, 320)


def test_loading_leaves_no_hook_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_hub(monkeypatch, features_only_state(MISFIT))
    network = backend.load(spec_of(MISFIT))
    assert all(not module._load_state_dict_post_hooks for module in network.modules())


@pytest.mark.usefixtures("offline")
def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"^timm:test_vit\.r160_in1k: weights can't be had \(.+\).*$") as caught:
        backend.load(spec_of(MISFIT))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("offline")
def test_the_hub_is_switched_on_again_after_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(WeightsError):
        backend.load(spec_of(MISFIT))
    assert constants.HF_HUB_OFFLINE is False


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModelError, match=r"timm has no pretrained model 'resnet5O'; did you mean .*resnet50"):
        backend.describe(spec_of("resnet5O"))


def test_a_wrong_tag_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModelError, match=r"did you mean .*resnet50\.a1_in1k"):
        backend.describe(spec_of("resnet50.a1_inlk"))


def test_a_tag_after_a_slash_is_told_where_it_belongs() -> None:
    with pytest.raises(UnknownModelError, match=r"write timm:resnet50\.a1_in1k$"):
        backend.describe(spec_of("resnet50/a1_in1k"))


def test_a_name_without_tag_names_the_default_weights() -> None:
    assert backend.describe(spec_of("resnet50")).weights_id == "hub:timm/resnet50.a1_in1k"


def test_weights_of_a_file_are_named_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"abc")
    found = backend.describe(spec_of(f"resnet18/{tmp_path}/a.safetensors")).weights_id
    assert found == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_missing_file_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors: can't be read"):
        backend.describe(spec_of(f"resnet18/{tmp_path}/none.safetensors"))


@pytest.mark.parametrize(
    ("name", "resize", "crop", "interpolation"),
    [
        ("resnet50.a1_in1k", (235,), (224, 224), "bicubic"),  # floor(224 / .95)
        ("legacy_xception.tf_in1k", (333,), (299, 299), "bicubic"),  # floor(299 / .8975)
        ("coat_lite_medium_384.in1k", (384, 384), (384, 384), "bicubic"),  # squash
        ("vit_base_patch16_sapiens2.fb", (1024, 768), (1024, 768), "bilinear"),
        ("volo_d4_448.sail_in1k", (389,), (448, 448), "bicubic"),  # floor(448 / 1.15): the crop pads
    ],
)
def test_input_is_the_weights_own(
    name: str, resize: tuple[int, ...], crop: tuple[int, int], interpolation: str
) -> None:
    found = backend.describe(spec_of(name)).input
    assert (found.resize, found.crop, found.interpolation) == (resize, crop, interpolation)


def test_every_input_is_what_timms_evaluation_transform_does() -> None:
    for name in backend.list_names()[::40]:
        config = timm.models.get_pretrained_cfg(name).to_dict()  # type: ignore[union-attr]
        steps = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config)).transforms
        size = backend.describe(spec_of(name)).input
        resize, crop = steps[:2]
        assert isinstance(resize, Resize), name
        assert isinstance(crop, CenterCrop), name
        wanted = resize.size if isinstance(resize.size, tuple | list) else (resize.size,)
        assert (size.resize, size.crop) == (tuple(wanted), tuple(crop.size)), name
        assert size.interpolation == resize.interpolation.value, name
        assert size.mean == pytest.approx(steps[-1].mean.tolist()), name
        assert size.std == pytest.approx(steps[-1].std.tolist()), name


def test_models_whose_input_or_features_can_not_be_had_are_not_listed() -> None:
    names = backend.list_names()
    assert not [name for name in names if name.startswith("deepseek_vit") or name.partition(".")[0].endswith("_enc")]
    assert len(names) > 1500
