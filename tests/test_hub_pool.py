"""What the rows of the pools say, held against the installed libraries; most of all the pool `hub`'s.

Nothing is downloaded.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from vqa.extract.backends import find_backend
from vqa.extract.spec import InputSpec, parse_spec

POOL = "pools.toml"
POOLS: dict[str, list[dict[str, Any]]] = tomllib.loads(resources.files("vqa.extract").joinpath(POOL).read_text("utf-8"))
ROWS = POOLS["hub"]
SPECS = [row["spec"] for row in ROWS]
STATED = {row["spec"]: row["gmacs"] for rows in POOLS.values() for row in rows if "gmacs" in row}
QUICK = ["bundled:mobilenetv2_100", "timm:swin_tiny_patch4_window7_224.ms_in1k", "open_clip:ViT-B-32/openai"]
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
    assert set(row) == {"spec", "pretext", "pretraining", "width", "licence", "input", "gmacs"}
    assert isinstance(row["width"], int)
    assert row["gmacs"] > 0
    assert all(isinstance(row[name], str) and row[name] for name in row if name not in ("width", "gmacs"))


@pytest.mark.parametrize("text", SPECS)
def test_every_name_is_one_the_library_lists(text: str) -> None:
    backend, _, name = text.partition(":")
    assert name in find_backend(backend).list_names()


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row["spec"], marks=pytest.mark.slow if place % 4 else ()) for place, row in enumerate(ROWS)],
)
def test_the_network_has_the_width_and_input_its_row_states(row: dict[str, Any]) -> None:
    spec = parse_spec(row["spec"])
    backend = find_backend(spec.backend)
    size = backend.describe(spec).input
    clip = (size.clip_frames,) if size.clip_frames else ()
    with torch.device("meta"), torch.inference_mode():
        features = backend.build(spec)(torch.empty(2, 3, *clip, *size.crop))
    assert features.shape == (2, row["width"])
    assert row["input"] == input_text(size)


def test_vivits_input_is_that_of_its_training_not_that_of_the_librarys_processor() -> None:
    spec = parse_spec("transformers:google/vivit-b-16x2-kinetics400")
    size = find_backend("transformers").describe(spec).input
    assert isinstance(size, InputSpec)
    assert (size.resize, size.crop) == ((256,), (224, 224))
    assert (size.mean, size.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # bytes to -1..1


def counted_gmacs(text: str) -> float:
    """Count a candidate's multiplications for one frame or clip, in 10^9, as the head of the pools' file says."""
    spec = parse_spec(text)
    backend = find_backend(spec.backend)
    size = backend.describe(spec).input
    assert isinstance(size, InputSpec)
    clip = (size.clip_frames,) if size.clip_frames else ()
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        # Parameters that want gradients make the counter hook into them, which CoCa's towers don't survive.
        backend.build(spec).eval().requires_grad_(requires_grad=False)(torch.empty(1, 3, *clip, *size.crop))
    return float(counter.get_total_flops()) / 2e9  # it counts a multiplication with its addition as two


@pytest.mark.parametrize("text", QUICK)
def test_multiplications_are_those_stated(text: str) -> None:
    assert counted_gmacs(text) == pytest.approx(STATED[text], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("text", sorted(STATED.keys() - set(QUICK)))
def test_multiplications_of_the_others_are_those_stated(text: str) -> None:
    assert counted_gmacs(text) == pytest.approx(STATED[text], rel=0.02)


def test_every_candidate_that_has_a_network_states_its_multiplications() -> None:
    assert [row["spec"] for rows in POOLS.values() for row in rows if row["spec"] not in STATED] == [
        row["spec"] for row in POOLS["classic"]
    ]


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("timm:resnet50.a1_in1k", 4.1),
        ("timm:vit_base_patch16_224.augreg_in21k", 17.6),  # attention among it, 0.7 of it
        ("timm:swin_base_patch4_window7_224.ms_in22k", 15.4),
        ("timm:convnext_base.fb_in22k", 15.4),
        ("pytorchvideo:slowfast_r50", 65.7),
        ("torchvision:mvit_v2_s/KINETICS400_V1", 64.2),
        ("torchvision:swin3d_t/KINETICS400_V1", 88.0),
        ("transformers:MCG-NJU/videomae-base-finetuned-kinetics", 180.0),
        ("transformers:facebook/timesformer-base-finetuned-k400", 196.7),  # 0.59 T for three crops
    ],
)
def test_multiplications_are_those_the_authors_publish(text: str, published: float) -> None:
    assert STATED[text] == pytest.approx(published, rel=0.02)


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
