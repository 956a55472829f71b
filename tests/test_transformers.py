"""The transformers backend, on tiny random checkpoints in the library's own format; the hub is never asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoImageProcessor

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import hub
from vqa.extract.backends import transformers as backend
from vqa.extract.backends import transformers_families as families
from vqa.extract.spec import InputSpec, ModelSpec, parse_spec

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "image_size": 32}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "TimesformerForVideoClassification": ("timesformer", {**SMALL, "num_frames": 4, "patch_size": 16}),
    "VideoMAEForVideoClassification": ("videomae", {**SMALL, "num_frames": 4, "patch_size": 16}),
    "VideoMAEForPreTraining": (
        "videomae",
        {
            **SMALL,
            "num_frames": 4,
            "patch_size": 16,
            "use_mean_pooling": False,
            "decoder_hidden_size": 16,
            "decoder_num_attention_heads": 2,
            "decoder_num_hidden_layers": 1,
            "decoder_intermediate_size": 16,
        },
    ),
    "VivitForVideoClassification": ("vivit", {**SMALL, "num_frames": 4, "tubelet_size": [2, 16, 16]}),
    "VJEPA2Model": (
        "vjepa2",
        {
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "crop_size": 32,
            "frames_per_clip": 4,
            "pred_hidden_size": 24,
            "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
        },
    ),
    "VJEPA2ForVideoClassification": (
        "vjepa2",
        {
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "crop_size": 32,
            "frames_per_clip": 4,
            "num_pooler_layers": 1,
        },
    ),
    "XCLIPModel": (
        "xclip",
        {
            "projection_dim": 16,
            "prompt_num_attention_heads": 2,
            "text_config": {
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 16,
                "vocab_size": 64,
                "projection_dim": 16,
            },
            "vision_config": {
                **SMALL,
                "patch_size": 16,
                "num_frames": 4,
                "mit_hidden_size": 16,
                "mit_intermediate_size": 16,
                "mit_num_hidden_layers": 1,
                "mit_num_attention_heads": 2,
            },
        },
    ),
}
PREPROCESSING = {"size": {"shortest_edge": 36}, "image_mean": [0.45] * 3, "image_std": [0.225] * 3, "resample": 2}


def own_network(kind: str) -> Any:
    """The library's own network with random weights."""
    torch.manual_seed(0)
    model_type, options = CONFIGS[kind]
    config = transformers.AutoConfig.for_model(model_type, **json.loads(json.dumps(options)))
    network = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # the library's initialisers leave much at zero or too small to see
            parameter.normal_(std=0.3)
    return network


def save_checkpoint(kind: str, folder: Path) -> ModelSpec:
    """Write a random checkpoint as the hub keeps them; return the spec that names it."""
    own_network(kind).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    return parse_spec(f"transformers:tiny/{folder}/model.safetensors")


def clips() -> Tensor:
    return torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def own_features(kind: str) -> Tensor:
    """What the library's own forward pass computes, by its documented outputs and hooks alone."""
    network, frames = own_network(kind), clips().transpose(1, 2)
    seen: list[Tensor] = []
    with torch.inference_mode():
        if kind.endswith("VideoClassification"):
            network.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            network(frames)
        elif kind == "VideoMAEForPreTraining":
            seen.append(network.videomae(frames).last_hidden_state.mean(1))
        elif kind == "VJEPA2Model":
            seen.append(network(frames).last_hidden_state.mean(1))
        else:
            text = {"input_ids": torch.tensor([[1, 2, 3]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
            # The whole model gives the embedding normalised.
            seen.append(network(pixel_values=frames, **text).video_embeds)
    return seen[0]


@pytest.mark.parametrize("kind", CONFIGS)
def test_features_equal_the_librarys_own_forward_pass(kind: str, tmp_path: Path) -> None:
    spec = save_checkpoint(kind, tmp_path)
    with torch.inference_mode():
        found = backend.load(spec)(clips())
    if kind == "XCLIPModel":
        found = found / found.norm(dim=1, keepdim=True)
    expected = own_features(kind)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_input_is_read_from_the_checkpoints_own_files(kind: str, tmp_path: Path) -> None:
    spec = save_checkpoint(kind, tmp_path)
    size = backend.describe(spec).input
    assert isinstance(size, InputSpec)
    assert (size.resize, size.crop, size.clip_frames) == ((36,), (32, 32), 4)
    assert (size.interpolation, size.antialias) == ("bilinear", True)
    fps = {"timesformer": 0.46875, "videomae": 7.5, "vivit": 15.0, "xclip": 0.4, "vjepa2": 4.0}
    assert size.clip_fps == fps[CONFIGS[kind][0]]


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("TimesformerForVideoClassification", "timesformer.encoder.layer.0.attention.attention.qkv.weight"),
        ("VideoMAEForVideoClassification", "fc_norm.weight"),
        ("XCLIPModel", "visual_projection.weight"),
        ("VJEPA2Model", "encoder.layernorm.weight"),
    ],
)
def test_a_checkpoint_that_lacks_a_tensor_is_refused(kind: str, lacking: str, tmp_path: Path) -> None:
    spec = save_checkpoint(kind, tmp_path)
    state = load_file(spec.weights)
    del state[lacking]
    save_file(state, spec.weights, {"format": "pt"})
    with pytest.raises(WeightsError, match=rf"do not fit the network \(1 missing: {lacking}\); use those made for it"):
        backend.load(spec)


def test_a_checkpoint_with_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    spec = save_checkpoint("VideoMAEForVideoClassification", tmp_path)
    state = load_file(spec.weights)
    state["fc_norm.weight"] = torch.ones(7)
    save_file(state, spec.weights, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"\(1 of another shape: fc_norm.weight\)"):
        backend.load(spec)


@pytest.mark.parametrize("kind", ["TimesformerForVideoClassification", "VideoMAEForVideoClassification"])
def test_a_checkpoint_may_lack_the_classifier(kind: str, tmp_path: Path) -> None:
    spec = save_checkpoint(kind, tmp_path)
    state = load_file(spec.weights)
    save_file({k: v for k, v in state.items() if not k.startswith("classifier.")}, spec.weights, {"format": "pt"})
    with torch.inference_mode():
        assert torch.allclose(backend.load(spec)(clips()), own_features(kind), atol=1e-5)


def test_parts_that_features_do_not_need_are_left_out(tmp_path: Path) -> None:
    names = backend.load(save_checkpoint("XCLIPModel", tmp_path)).state_dict()
    assert not [name for name in names if "text_model" in name or "prompts_generator" in name]


def test_a_pickled_checkpoint_of_code_is_refused(tmp_path: Path) -> None:
    spec = save_checkpoint("VideoMAEForVideoClassification", tmp_path)
    Path(spec.weights).unlink()
    ran = tmp_path / "ran"
    torch.save({"fc_norm.weight": _Bomb(ran)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="is no readable checkpoint"):
        backend.load(parse_spec(f"transformers:tiny/{tmp_path}/pytorch_model.bin"))
    assert not ran.exists()


class _Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_damaged_weights_file_is_one_line(tmp_path: Path) -> None:
    spec = save_checkpoint("VideoMAEForVideoClassification", tmp_path)
    Path(spec.weights).write_bytes(b"not tensors")
    with pytest.raises(
        WeightsError, match=r"^[^\n]*model.safetensors: is no readable checkpoint [^\n]*; fetch it again$"
    ):
        backend.load(spec)


@pytest.mark.parametrize("changed", ["model.safetensors", "config.json"])
def test_weights_are_named_by_the_bytes_of_weights_and_configuration(changed: str, tmp_path: Path) -> None:
    spec = save_checkpoint("VideoMAEForVideoClassification", tmp_path)
    before = backend.describe(spec).weights_id
    assert backend.describe(spec).weights_id == before
    path = tmp_path / changed
    path.write_bytes(path.read_bytes() + b" ")
    assert backend.describe(spec).weights_id != before
    assert before.startswith("sha256:")


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    spec = save_checkpoint("VideoMAEForVideoClassification", tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"its preprocessor_config.json is not on this machine; put it beside "):
        backend.describe(spec)


def test_a_garbled_configuration_is_named(tmp_path: Path) -> None:
    spec = save_checkpoint("VideoMAEForVideoClassification", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": 224}')
    with pytest.raises(WeightsError, match="its configuration lacks or garbles 'image_mean'; fetch it again"):
        backend.describe(spec)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match=r"config.json: is no JSON object; fetch it again"):
        backend.describe(spec)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    spec = save_checkpoint("VideoMAEForVideoClassification", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    with pytest.raises(UnknownModelError, match="a checkpoint of BertModel gives no clip features; use one of Timesf"):
        backend.describe(spec)


def test_weights_under_another_name_are_refused(tmp_path: Path) -> None:
    spec = parse_spec(f"transformers:tiny/{tmp_path}/own.safetensors")
    with pytest.raises(WeightsError, match=r"reads model.safetensors or pytorch_model.bin only; rename it"):
        backend.describe(spec)


def test_a_repository_outside_the_pool_and_the_cache_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"config.json is not on this machine; run `hf download who/what`"):
        backend.describe(parse_spec("transformers:who/what"))
    with pytest.raises(UnknownModelError, match="no name of a hub repository; write transformers:OWNER/NAME"):
        backend.describe(parse_spec("transformers:who/what/ever"))


@pytest.mark.parametrize("safe", [True, False])
def test_a_repository_in_the_hubs_cache_is_used_without_the_hub(
    safe: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kind, revision = "VideoMAEForVideoClassification", "0" * 40
    cached = tmp_path / "models--who--what"
    weights = Path(save_checkpoint(kind, cached / "snapshots" / revision).weights)
    if not safe:  # as older repositories have it
        torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
        weights.unlink()
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_answers", lambda endpoint: False)
    spec = parse_spec("transformers:who/what")
    assert backend.describe(spec).weights_id == "hub:who/what"
    with torch.inference_mode():
        assert torch.allclose(backend.load(spec)(clips()), own_features(kind), atol=1e-5)


def test_a_repository_whose_configuration_has_changed_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = Path(save_checkpoint("VideoMAEForVideoClassification", tmp_path).weights)
    monkeypatch.setattr(backend, "_weights_file", lambda spec: path)
    with pytest.raises(WeightsError, match="its configuration now says 4 frames, not 16; report it to vqa"):
        backend.load(parse_spec("transformers:MCG-NJU/videomae-base-finetuned-kinetics"))


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_answers", lambda endpoint: False)
    with pytest.raises(
        WeightsError, match=r"^transformers:microsoft/xclip-base-patch32: weights can't be had \([^\n]+$"
    ):
        backend.load(parse_spec("transformers:microsoft/xclip-base-patch32"))


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WeightsError, match=r"needs transformers \(.*\); run pip install 'vqa\[transformers\]'"):
        backend.load(parse_spec("transformers:facebook/vjepa2-vitl-fpc64-256"))


def test_describing_does_not_import_the_library() -> None:
    code = (
        "import sys; from vqa.extract.backends import transformers as t; from vqa.extract.spec import parse_spec;"
        "t.describe(parse_spec('transformers:' + t.list_names()[0])); sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("repository", families.POOL)
def test_the_pools_normalisation_is_what_the_librarys_processor_does(repository: str, tmp_path: Path) -> None:
    published = families.POOL[repository]
    kinds = {"vivit": "VivitImageProcessor"}
    kind = kinds.get(published.config["model_type"], "VideoMAEImageProcessor")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": kind, **published.preprocessing})
    )
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    grey = np.full((224, 224, 3), 51, np.uint8)  # 0.2
    own = torch.as_tensor(np.asarray(processor([grey], return_tensors="pt")["pixel_values"]))[0, 0, :, 0, 0]
    size = families.input_of(published)
    assert torch.allclose((0.2 - torch.tensor(size.mean)) / torch.tensor(size.std), own.float(), atol=1e-5)


def test_size_may_be_height_and_width() -> None:
    files = families.Published(
        {"model_type": "videomae"}, {**PREPROCESSING, "size": {"height": 40, "width": 50}, "resample": 3}
    )
    size = families.input_of(files)
    assert (size.resize, size.crop, size.interpolation, size.clip_frames) == ((40, 50), (224, 224), "bicubic", 16)


@pytest.mark.parametrize(("frames", "fps"), [(8, 0.9375), (16, 1.875), (96, 7.5)])
def test_timesformers_rate_is_that_of_its_three_variants(frames: int, fps: float) -> None:
    files = families.Published({"model_type": "timesformer", "num_frames": frames}, PREPROCESSING)
    assert families.input_of(files).clip_fps == fps
