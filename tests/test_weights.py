"""Weights are read without running code, loaded whole or not at all, and every failure is one line."""

from __future__ import annotations

import io
import os
import urllib.error
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import errors as hub
from safetensors.torch import save_file
from torch import nn

from vqa.errors import WeightsError
from vqa.extract.spec import parse_spec
from vqa.extract.weights import file_id, hub_error, load_strictly, read_state


class MarkerOnLoad:
    """Pickled, it makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def small_network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def small_state() -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in small_network().state_dict().items()}


def message_of(error: pytest.ExceptionInfo[WeightsError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_reads_safetensors_and_checkpoints_alike(tmp_path):
    state = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        found = read_state(tmp_path / name)
        assert {key: value.tolist() for key, value in found.items()} == {"a": [1.0, 2.0], "b": 3}


@pytest.mark.parametrize("nest", ["state_dict", "model"])
def test_unwraps_a_checkpoint_that_keeps_other_things_beside_the_weights(tmp_path, nest):
    torch.save({nest: {"a": torch.zeros(2)}, "epoch": 7}, tmp_path / "w.pt")
    assert list(read_state(tmp_path / "w.pt")) == ["a"]


def test_refuses_a_pickle_with_code_and_does_not_run_it(tmp_path):
    marker = tmp_path / "was-run"
    torch.save({"a": MarkerOnLoad(marker)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="code, which is not run") as error:
        read_state(tmp_path / "w.pt")
    assert "w.pt" in message_of(error)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"PK\x03\x04 cut short"])
def test_names_a_damaged_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name) as error:
        read_state(tmp_path / name)
    message_of(error)


def test_names_a_truncated_checkpoint(tmp_path):
    torch.save({"a": torch.zeros(5000)}, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_state(tmp_path / "w.pth")


def test_names_a_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="no such weights file; check the path"):
        read_state(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [{}, {"a": torch.zeros(1), "epoch": 3}, torch.zeros(3), [torch.zeros(1)]])
def test_refuses_a_checkpoint_of_anything_but_named_tensors(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no named tensor"):
        read_state(tmp_path / "w.pth")


def test_loads_what_fits():
    network, state = small_network(), small_state()
    state["0.bias"] = torch.tensor([1.0, 2.0, 3.0])
    load_strictly(network, state, source="it")
    assert network[0].bias.tolist() == [1.0, 2.0, 3.0]


def test_does_without_batch_counters_which_change_no_output():
    state = small_state()
    del state["1.num_batches_tracked"]
    load_strictly(small_network(), state, source="it")


def test_names_missing_and_unexpected_tensors():
    state = small_state()
    state["0.biass"] = state.pop("0.bias")
    with pytest.raises(WeightsError) as error:
        load_strictly(small_network(), state, source="timm:tiny")
    assert message_of(error).startswith(
        "timm:tiny: the weights do not fit the network (1 missing: 0.bias; 1 unexpected: 0.biass)"
    )


def test_names_shapes_that_differ_and_leaves_the_network_as_it_was():
    network, state = small_network(), small_state()
    before = network[1].weight.tolist()
    state["1.weight"] = torch.full((3,), 5.0)
    state["0.weight"] = state["0.weight"].T
    with pytest.raises(WeightsError, match=r"1 of another shape: 0.weight \(2, 3\) for \(3, 2\)"):
        load_strictly(network, state, source="it")
    assert network[1].weight.tolist() == before


def test_shows_three_of_many_names():
    with pytest.raises(WeightsError, match=r"6 missing: 0.weight, 0.bias, 1.weight, ..."):
        load_strictly(small_network(), {}, source="it")


def test_leaves_out_only_the_heads_it_is_told_to():
    state = {**small_state(), "head.weight": torch.zeros(1)}
    load_strictly(small_network(), state, source="it", drop_prefixes=("head.",))
    with pytest.raises(WeightsError, match=r"1 unexpected: head\.weight"):
        load_strictly(small_network(), state, source="it", drop_prefixes=("header.",))


def test_a_local_file_is_named_by_its_bytes(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"abc")
    assert file_id(tmp_path / "w.bin") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(WeightsError, match=r"none\.bin: can't be read"):
        file_id(tmp_path / "none.bin")


def answer(status: int) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (hub.OfflineModeIsEnabled("offline\nmode"), "the hub is switched off by HF_HUB_OFFLINE"),
        (hub.LocalEntryNotFoundError("not cached"), "not in the local cache and the hub can't be reached"),
        (hub.RepositoryNotFoundError("404", response=answer(404)), "no such repository"),
        (hub.GatedRepoError("403", response=answer(403)), "access must be asked for"),
        (hub.EntryNotFoundError("404"), "the hub has no such file"),
        (hub.HfHubHTTPError("503 too busy\nmore", response=answer(503)), "(503 too busy)"),
        (urllib.error.HTTPError("u", 404, "Not Found", Message(), io.BytesIO()), "the server answered 404"),
        (urllib.error.URLError("no route\n to host"), "the server can't be reached: no route to host"),
        (ConnectionResetError(), "the server can't be reached"),
        (TimeoutError(), "no answer from the server in time"),
        (OSError("disk full\nand more"), "(disk full)"),
        (RuntimeError("x" * 500), "xxx...)"),
        (OSError(), "(OSError)"),
    ],
)
def test_says_in_one_line_why_the_hub_gave_nothing_and_what_to_do(error, reason):
    text = str(hub_error(parse_spec("open_clip:ViT-B-32/openai@resize"), error))
    assert text.startswith("open_clip:ViT-B-32/openai: weights can't be had (")
    assert reason in text
    assert text.endswith("or name a local file: open_clip:ViT-B-32/FILE.safetensors")
    assert "\n" not in text
    assert len(text) < 400
