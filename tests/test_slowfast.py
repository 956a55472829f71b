"""SlowFast, held against the package pytorchvideo on random weights; nothing is downloaded."""

from __future__ import annotations

import functools
import io
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorchvideo.models.slowfast import create_slowfast
from safetensors.torch import save_file
from torch import Tensor, nn

from vqa.errors import UnknownModelError, WeightsError
from vqa.extract.backends import hub
from vqa.extract.backends import pytorchvideo as backend
from vqa.extract.networks.slowfast import SlowFast, slow_frames
from vqa.extract.spec import InputSpec, ModelSpec, parse_spec


def spec_of(text: str) -> ModelSpec:
    return parse_spec(f"pytorchvideo:{text}")


@functools.cache
def own_network() -> nn.Module:
    """The package's network with random weights, and batch statistics that matter."""
    torch.manual_seed(0)
    network: nn.Module = create_slowfast().eval()
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(0.0, 0.1)
        elif "norm" in name and name.endswith("weight"):
            tensor.uniform_(0.5, 1.0)
    return network


@functools.cache
def published() -> dict[str, Any]:
    """A file as the zoo publishes it."""
    return {"model_state": dict(own_network().state_dict())}


def pretend_hub(monkeypatch: pytest.MonkeyPatch, content: object) -> None:
    """Answer the download."""
    monkeypatch.setattr(hub, "_answers", lambda endpoint: True)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *_, **__: content)


def test_the_tensors_have_the_packages_names_and_shapes() -> None:
    own = {name: tuple(tensor.shape) for name, tensor in own_network().state_dict().items()}
    ours = {name: tuple(tensor.shape) for name, tensor in SlowFast().state_dict().items()}
    assert own.keys() - ours.keys() == {"blocks.6.proj.weight", "blocks.6.proj.bias"}
    assert ours == {name: shape for name, shape in own.items() if not name.startswith("blocks.6.")}
    assert len(ours) == 660


@pytest.mark.parametrize("side", [224, 256])
def test_features_times_the_classifier_are_the_packages_scores(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_hub(monkeypatch, published())
    clip = torch.randn(1, 3, 32, side, side, generator=torch.Generator().manual_seed(1))
    own = own_network()
    with torch.inference_mode():
        features = backend.load(spec_of("slowfast_r50"))(clip)
        scores = own([clip[:, :, [0, 4, 8, 13, 17, 22, 26, 31]], clip])
        found = own.get_submodule("blocks.6.proj")(features)
    assert features.shape == (1, 2304)
    assert scores.std() > 0.01
    assert torch.allclose(found, scores, atol=1e-4)


def test_the_slow_pathway_sees_a_quarter_of_the_frames_from_first_to_last() -> None:
    assert slow_frames(32).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]


def test_the_input_is_the_zoos() -> None:
    size = backend.describe(spec_of("slowfast_r50")).input
    assert isinstance(size, InputSpec)
    assert (size.resize, size.crop, size.interpolation, size.antialias) == ((256,), (256, 256), "bilinear", False)
    assert (size.mean, size.std) == ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
    assert (size.clip_frames, size.clip_fps) == (32, 15.0)


def test_a_local_file_gives_the_same_features_and_is_named_by_its_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend_hub(monkeypatch, published())
    save_file(published()["model_state"], tmp_path / "own.safetensors")
    spec = spec_of(f"slowfast_r50/{tmp_path}/own.safetensors")
    ours, theirs = (backend.load(each).state_dict() for each in (spec, spec_of("slowfast_r50")))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert backend.describe(spec).weights_id.startswith("sha256:")
    assert backend.describe(spec_of("slowfast_r50")).weights_id.endswith("/kinetics/SLOWFAST_8x8_R50.pyth")


def test_a_renamed_tensor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Tensor] = dict(published()["model_state"])
    key = "blocks.0.multipathway_fusion.norm.weight"
    state[f"{key}s"] = state.pop(key)
    pretend_hub(monkeypatch, {"model_state": state})
    with pytest.raises(WeightsError, match=rf"1 missing: {key}; 1 unexpected: {key}s"):
        backend.load(spec_of("slowfast_r50"))


@pytest.mark.parametrize("content", [{"state": {}}, [1]])
def test_a_published_file_of_another_layout_is_refused(content: object, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_hub(monkeypatch, content)
    with pytest.raises(
        WeightsError, match="published file holds no 'model_state'; name a local file: pytorchvideo:slow"
    ):
        backend.load(spec_of("slowfast_r50"))


def test_an_unreachable_server_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(hub, "_answers", lambda endpoint: False)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    with pytest.raises(WeightsError, match=r"^pytorchvideo:slowfast_r50: weights can't be had \(the server can't be"):
        backend.load(spec_of("slowfast_r50"))


@pytest.mark.parametrize("kept", [0, 5, 400])
def test_a_download_that_was_cut_short_is_not_kept(kept: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"model_state": {"a": torch.zeros(100)}}, buffer)
    file = tmp_path / "hub" / "checkpoints" / "SLOWFAST_8x8_R50.pyth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: file.write_bytes(buffer.getvalue()[:kept]))
    with pytest.raises(
        WeightsError, match=r"^pytorchvideo:slowfast_r50: weights can't be had \(what came is damaged; try"
    ):
        backend.load(spec_of("slowfast_r50"))
    assert not file.exists()
    file.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"damaged; remove .*SLOWFAST_8x8_R50.pyth\)"):
        backend.load(spec_of("slowfast_r50"))
    assert file.exists()


def test_the_download_runs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def answer(url: str, **options: object) -> dict[str, Any]:
        seen.update(options)
        return published()

    monkeypatch.setattr(hub, "_answers", lambda endpoint: True)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", answer)
    backend.load(spec_of("slowfast_r50"))
    assert seen["weights_only"] is True


def test_a_misspelt_network_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModelError, match=r"no model 'slowfast_r5' here; did you mean slowfast_r50\?"):
        backend.describe(spec_of("slowfast_r5"))


def test_other_weights_than_the_zoos_are_refused() -> None:
    with pytest.raises(UnknownModelError, match="slowfast_r50 has one set of weights; write pytorchvideo:slowfast_r50"):
        backend.build(spec_of("slowfast_r50/ssv2"))
