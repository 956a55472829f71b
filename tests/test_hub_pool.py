"""The pool `hub`: what its rows say, held against the installed libraries. Nothing is downloaded."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import pytest
import timm
import torch

from vqa.extract.backends import find_backend
from vqa.extract.spec import InputSpec, parse_spec

POOL = "pools.toml"
ROWS: list[dict[str, Any]] = tomllib.loads(resources.files("vqa.extract").joinpath(POOL).read_text("utf-8"))["hub"]
SPECS = [row["spec"] for row in ROWS]
TASKS_AND_SETS = (
    "ImageNet-1k|ImageNet-22k|weak supervision|noisy student|CLIP|SigLIP|CoCa|DINO |DINOv2|DINOv3|MAE|BEiT v2|EVA-02|"
    "AIMv2|FCMAE|SAM|detection|semantic segmentation|Kinetics-400"
)


def input_text(size: InputSpec) -> str:
    """Write an input as the pool does."""
    if size.clip_frames:
        return f"{size.clip_frames} x {size.crop[0]} x {size.crop[1]}"
    return str(size.crop[0]) if size.crop[0] == size.crop[1] else f"{size.crop[0]} x {size.crop[1]}"


def test_the_pool_has_at_least_34_candidates_each_once() -> None:
    assert len(ROWS) >= 34
    assert len(set(SPECS)) == len(SPECS)


@pytest.mark.parametrize("row", ROWS, ids=SPECS)
def test_every_field_is_there(row: dict[str, Any]) -> None:
    assert set(row) == {"spec", "pretext", "pretraining", "width", "licence", "input"}
    assert isinstance(row["width"], int)
    assert all(isinstance(row[name], str) and row[name] for name in row if name != "width")


@pytest.mark.parametrize("text", SPECS)
def test_every_name_is_one_the_library_lists(text: str) -> None:
    backend, _, name = text.partition(":")
    assert name in find_backend(backend).list_names()


@pytest.mark.parametrize("row", ROWS, ids=SPECS)
def test_the_network_has_the_width_and_input_its_row_states(row: dict[str, Any]) -> None:
    spec = parse_spec(row["spec"])
    backend = find_backend(spec.backend)
    size = backend.describe(spec).input
    clip = (size.clip_frames,) if size.clip_frames else ()
    with torch.device("meta"), torch.inference_mode():
        features = backend.build(spec)(torch.empty(2, 3, *clip, *size.crop))
    assert features.shape == (2, row["width"])
    assert row["input"] == input_text(size)


def test_licences_of_timm_models_are_those_timm_states() -> None:
    for row in ROWS:
        backend, _, name = row["spec"].partition(":")
        if backend == "timm":
            stated = timm.models.get_pretrained_cfg(name).license  # type: ignore[union-attr]
            assert row["licence"].lower().startswith(stated), name


@pytest.mark.parametrize("word", TASKS_AND_SETS.split("|"))
def test_the_pool_spreads_over_pretext_tasks_and_pretraining_sets(word: str) -> None:
    assert [row for row in ROWS if word in row["pretext"] or word in row["pretraining"]]


@pytest.mark.parametrize("part", ["densenet201", "legacy_xception", "hiera", "samvit", "fasterrcnn", "deeplabv3"])
def test_the_networks_asked_for_are_there(part: str) -> None:
    assert [text for text in SPECS if part in text]


def test_non_commercial_weights_say_so() -> None:
    for row in ROWS:
        assert ("CC-BY-NC" in row["licence"]) == ("non-commercial" in row["licence"]), row["spec"]
