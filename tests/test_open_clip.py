"""The open_clip backend, on tiny random pairs put into its tables for the test; no hub beyond this machine is asked."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from hubserver import hub_server
from open_clip.transform import image_transform
from open_clip.transformer import QuickGELU
from safetensors.torch import save
from torch import Tensor, nn
from torchvision.transforms import CenterCrop, Resize

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import hub
from vqa.extract.backends import open_clip as backend
from vqa.extract.spec import ModelSpec, parse_spec

TEXT = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
TINY = {
    "tiny": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT},
    "tiny-quickgelu": {"embed_dim": 24, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT},
    "coca_tiny": {
        "embed_dim": 24,
        "vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**TEXT, "width": 24, "dim_head": 8, "mlp_ratio": 4, "layers": 1},
        "custom_text": True,
    },
}
OPENAI = {"hf_hub": "someone/tiny/", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "quick_gelu": True}


@pytest.fixture(autouse=True)
def tiny_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, config in TINY.items():
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, {"openai": OPENAI})
    backend.list_names.cache_clear()


def spec_of(text: str) -> ModelSpec:
    return parse_spec(f"open_clip:{text}")


def saved_pair(name: str, folder: Path) -> Path:
    """Save a whole random pair, text tower and all, as open_clip trains it."""
    torch.manual_seed(0)
    path = folder / f"{name}.pt"
    torch.save(open_clip.create_model(name).state_dict(), path)
    return path


def frames(side: int = 32) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def quick_gelus(network: nn.Module) -> int:
    return sum(isinstance(module, QuickGELU) for module in network.modules())


def on_meta(text: str) -> nn.Module:
    with torch.device("meta"):
        return backend.build(spec_of(text))


@pytest.mark.parametrize("name", ["tiny", "tiny-quickgelu", "coca_tiny"])
def test_features_of_a_file_equal_open_clips_own(name: str, tmp_path: Path) -> None:
    path = saved_pair(name, tmp_path)
    own = open_clip.create_model(name, pretrained=str(path)).eval()
    with torch.inference_mode():
        found = backend.load(spec_of(f"{name}/{path}"))(frames())
        assert found.shape == (2, 24)
        # Not bit by bit: the two hold their weights at other alignments, on which some processors' kernels depend.
        torch.testing.assert_close(found, own.encode_image(frames(), normalize=False), rtol=1e-6, atol=1e-6)


def test_a_tag_trained_with_quickgelu_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = saved_pair("tiny", tmp_path)
    monkeypatch.setattr(backend, "hub_files", lambda *_, **__: (path,))
    right = open_clip.create_model("tiny", pretrained=str(path), force_quick_gelu=True).eval()
    with torch.inference_mode():
        assert torch.equal(backend.load(spec_of("tiny/openai"))(frames()), right.encode_image(frames()))


@pytest.mark.parametrize("safe", [True, False])
def test_weights_come_from_the_hub_as_safetensors_where_it_has_them_so(
    safe: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, name = saved_pair("tiny", tmp_path), "someone/tiny/open_clip_pytorch_model.bin"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub_server() as server:
        server.is_asked(monkeypatch)
        server.files[name] = path.read_bytes()
        if safe:
            server.files["someone/tiny/open_clip_model.safetensors"] = save(torch.load(path, weights_only=True))
        backend.load(spec_of("tiny/openai"))
    got = [name for method, name in server.asked if method == "GET"]
    assert got == (["someone/tiny/open_clip_model.safetensors"] if safe else [name])


def test_without_our_care_open_clip_gives_the_openai_tag_another_activation(tmp_path: Path) -> None:
    path = saved_pair("tiny", tmp_path)
    plain, quick = (backend.load(spec_of(f"{name}/{path}"))(frames()) for name in ("tiny", "tiny-quickgelu"))
    assert not torch.allclose(plain, quick, atol=1e-4)


@pytest.mark.parametrize(
    ("pair", "count"),
    [
        ("ViT-B-32/openai", 12),
        ("ViT-B-32-quickgelu/openai", 12),
        ("ViT-B-32/laion400m_e32", 12),
        ("ViT-B-32/laion2b_s34b_b79k", 0),
        ("ViT-B-16/datacomp_xl_s13b_b90k", 0),
        ("roberta-ViT-B-32/laion2b_s12b_b32k", 12),  # its configuration says so, its tag does not
    ],
)
def test_quickgelu_is_in_where_the_weights_were_trained_with_it(pair: str, count: int) -> None:
    assert quick_gelus(on_meta(pair)) == count


def test_every_pair_has_quickgelu_where_its_tag_says_so() -> None:
    """Towers of timm and ResNets never have it, in open_clip either."""
    for pair in backend.list_names()[::9]:
        name, _, tag = pair.partition("/")
        vision = open_clip.get_model_config(name)["vision_cfg"]
        if open_clip.get_pretrained_cfg(name, tag).get("quick_gelu") and isinstance(vision.get("layers"), int):
            assert quick_gelus(on_meta(pair)) == vision["layers"], pair


def test_a_pair_with_a_text_tower_of_another_library_needs_it_not() -> None:
    with torch.device("meta"), torch.inference_mode():
        assert on_meta("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k")(frames(224)).shape == (2, 512)


def test_building_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_meta("ViT-B-32/openai")


def test_a_renamed_tensor_is_refused(tmp_path: Path) -> None:
    path = saved_pair("tiny", tmp_path)
    state = torch.load(path, weights_only=True)
    state["visual.porj"] = state.pop("visual.proj")
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"1 missing: tower\.proj; 1 unexpected: tower\.porj"):
        backend.load(spec_of(f"tiny/{path}"))


def test_weights_of_a_parallel_training_are_read(tmp_path: Path) -> None:
    path = saved_pair("tiny", tmp_path)
    state = torch.load(path, weights_only=True)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    assert backend.load(spec_of(f"tiny/{path}"))(frames()).shape == (2, 24)


def test_a_file_without_image_tower_is_refused(tmp_path: Path) -> None:
    torch.save({"text.weight": torch.zeros(2)}, tmp_path / "text.pt")
    with pytest.raises(WeightsError, match="missing: tower"):
        backend.load(spec_of(f"tiny/{tmp_path}/text.pt"))


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "_answers", lambda endpoint: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"^open_clip:tiny/openai: weights can't be had \(.*hub can't be reached\)"):
        backend.load(spec_of("tiny/openai"))


def test_a_misspelt_model_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModelError, match=r"open_clip has no model 'ViT-B32'; did you mean .*ViT-B-32"):
        backend.describe(spec_of("ViT-B32/openai"))


def test_a_misspelt_tag_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModelError, match=r"no weights 'openal'; did you mean ViT-B-32/openai"):
        backend.describe(spec_of("ViT-B-32/openal"))


def test_a_model_without_tag_is_asked_for_one() -> None:
    with pytest.raises(UnknownModelError, match=r"ViT-B-32 has no default weights; .*ViT-B-32/"):
        backend.describe(spec_of("ViT-B-32"))


def test_weights_are_named_by_their_repository() -> None:
    assert backend.describe(spec_of("tiny/openai")).weights_id == "hub:someone/tiny"


def test_a_file_takes_the_preprocessing_its_models_tags_share(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"abc")
    plan = backend.describe(spec_of(f"ViT-B-16-SigLIP/{path}"))
    assert (plan.input.mean, plan.input.resize) == ((0.5, 0.5, 0.5), (224, 224))
    assert plan.weights_id == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_takes_the_default_preprocessing_where_its_models_tags_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tags = {"openai": OPENAI, "other": {**OPENAI, "mean": (0.1, 0.1, 0.1)}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", tags)
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"abc")
    assert backend.describe(spec_of(f"tiny/{path}")).input.mean == open_clip.constants.OPENAI_DATASET_MEAN


def test_every_input_is_what_open_clips_evaluation_transform_does() -> None:
    for pair in backend.list_names():
        name, _, tag = pair.partition("/")
        size = backend.describe(spec_of(pair)).input
        given: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
        options = {key: given.get(key) for key in ("mean", "std", "resize_mode", "interpolation")}
        side = open_clip.get_model_config(name)["vision_cfg"].get("image_size", 224)
        resize, *_, normalise = (steps := image_transform(side, is_train=False, **options).transforms)
        assert isinstance(resize, Resize), pair
        wanted = resize.size if isinstance(resize.size, tuple | list) else (resize.size,)
        crops = [tuple(step.size) for step in steps if isinstance(step, CenterCrop)] or [tuple(wanted)]
        assert (size.resize, size.crop) == (tuple(wanted), crops[0]), pair
        assert (size.mean, size.std) == (tuple(normalise.mean), tuple(normalise.std)), pair
        assert size.interpolation == resize.interpolation.value, pair
