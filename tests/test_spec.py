from __future__ import annotations

import dataclasses
import json

import pytest

from vqa.errors import UnknownModelError
from vqa.extract.rules import DECODING_RULES
from vqa.extract.spec import Candidate, InputSpec, ModelSpec, NativeInput, Plan, parse_spec, plan_candidate

INPUT = InputSpec(resize=(256,), crop=(224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CANDIDATE = Candidate(ModelSpec("timm", "resnet50.a1_in1k"), INPUT, "hub:timm/resnet50.a1_in1k", "float32")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("timm:convnext_base.fb_in22k", ModelSpec("timm", "convnext_base.fb_in22k")),
        ("open_clip:ViT-B-32/openai", ModelSpec("open_clip", "ViT-B-32", "openai")),
        ("timm:resnet18/w/tiny.safetensors", ModelSpec("timm", "resnet18", "w/tiny.safetensors")),
        ("timm:resnet18//abs/tiny.pth", ModelSpec("timm", "resnet18", "/abs/tiny.pth")),
    ],
)
def test_text_form_reads_and_writes_the_same(text: str, spec: ModelSpec) -> None:
    assert parse_spec(text) == spec
    assert str(spec) == text


def test_the_default_view_is_left_out_of_the_text_form() -> None:
    assert str(parse_spec("timm:resnet18@resize")) == "timm:resnet18"


@pytest.mark.parametrize("text", ["", "resnet50", "timm:", ":x", "timm:a b", "timm:a@", "timm:a/b@c@d"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UnknownModelError, match=r"BACKEND:NAME\[/WEIGHTS\]\[@VIEW\]"):
        parse_spec(text)


def test_an_unknown_view_names_the_known_ones() -> None:
    with pytest.raises(UnknownModelError, match="no view 'squeeze'; use one of: resize"):
        parse_spec("timm:resnet18@squeeze")


def test_no_frames_are_refused() -> None:
    with pytest.raises(UnknownModelError, match="0 frames"):
        parse_spec("timm:resnet18", frames=0)


def test_fingerprint_is_twelve_hexadecimal_digits_and_does_not_drift() -> None:
    assert CANDIDATE.fingerprint == Candidate(**vars(CANDIDATE)).fingerprint
    assert len(CANDIDATE.fingerprint) == 12
    int(CANDIDATE.fingerprint, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": ModelSpec("timm", "resnet50.a2_in1k")},
        {"spec": ModelSpec("timm", "resnet50.a1_in1k", frames=16)},
        {"input": dataclasses.replace(INPUT, interpolation="bilinear")},
        {"input": dataclasses.replace(INPUT, mean=(0.4, 0.5, 0.5))},
        {"weights_id": "sha256:00"},
        {"precision": "bfloat16"},
    ],
)
def test_everything_that_changes_numbers_changes_the_fingerprint(change: dict[str, object]) -> None:
    assert dataclasses.replace(CANDIDATE, **change).fingerprint != CANDIDATE.fingerprint  # type: ignore[arg-type]


def test_the_place_of_a_weights_file_does_not_change_the_fingerprint() -> None:
    here, there = (
        dataclasses.replace(CANDIDATE, spec=ModelSpec("timm", "resnet18", place), weights_id="sha256:ab")
        for place in ("a/tiny.pth", "/b/tiny.pth")
    )
    assert here.fingerprint == there.fingerprint


def test_the_frame_count_of_the_workspace_does_not_touch_a_video_network() -> None:
    clip = dataclasses.replace(CANDIDATE, input=dataclasses.replace(INPUT, clip_frames=16))
    more = dataclasses.replace(clip, spec=dataclasses.replace(clip.spec, frames=32))
    assert clip.clip_frames == more.clip_frames == 16
    assert clip.fingerprint == more.fingerprint


def test_details_hold_the_whole_spec_and_the_decoding_rules() -> None:
    details = json.loads(CANDIDATE.details)
    assert details["model"] == "timm:resnet50.a1_in1k"
    assert details["input"]["crop"] == [224, 224]
    assert details["decoding"].items() > DECODING_RULES["resize"].texts.items()
    assert details["decoding"]["sampling"].startswith("frames shown at the centres")
    assert details["version"] == DECODING_RULES["resize"].version


@pytest.mark.parametrize(
    ("text", "view", "clips"),
    [
        ("timm:resnet50.a1_in1k@fragments", "fragments", 0),
        ("torchvision:r3d_18@dense4", "resize", 4),
        ("torchvision:r3d_18/KINETICS400_V1@crop@dense12", "crop", 12),
    ],
)
def test_views_and_dense_clips_are_part_of_the_text(text: str, view: str, clips: int) -> None:
    spec = parse_spec(text)
    assert (spec.view, spec.clips) == (view, clips)
    assert str(spec) == text


@pytest.mark.parametrize("text", ["timm:resnet50@dense0", "timm:resnet50@dense", "timm:resnet50@dense4@crop"])
def test_other_orders_and_no_clips_at_all_are_refused(text: str) -> None:
    with pytest.raises(UnknownModelError):
        parse_spec(text)


def test_image_networks_take_no_dense_clips() -> None:
    with pytest.raises(UnknownModelError, match="only video networks take dense clips; leave out @dense4"):
        plan_candidate(parse_spec("timm:resnet50@dense4"), Plan(INPUT, "none"), "float32")


def test_measures_of_whole_frames_have_no_view() -> None:
    with pytest.raises(UnknownModelError, match="it measures whole frames as they are; leave out @crop"):
        plan_candidate(parse_spec("classic:nss@crop"), Plan(NativeInput(), "none"), "float32")


def test_dense_clips_are_another_candidate() -> None:
    clip = dataclasses.replace(CANDIDATE, input=dataclasses.replace(INPUT, clip_frames=16, clip_fps=15.0))
    dense = dataclasses.replace(clip, spec=dataclasses.replace(clip.spec, clips=4))
    assert dense.fingerprint != clip.fingerprint


def test_the_rate_of_dense_clips_decides_dense_clips_alone() -> None:
    clip = dataclasses.replace(CANDIDATE, input=dataclasses.replace(INPUT, clip_frames=16, clip_fps=15.0))
    other = dataclasses.replace(clip, input=dataclasses.replace(INPUT, clip_frames=16, clip_fps=7.5))
    assert clip.fingerprint == other.fingerprint
    dense, faster = (dataclasses.replace(each, spec=dataclasses.replace(each.spec, clips=2)) for each in (clip, other))
    assert dense.fingerprint != faster.fingerprint


def test_dense_clips_of_a_network_of_unknown_frame_rate_are_refused() -> None:
    plan = Plan(dataclasses.replace(INPUT, clip_frames=16, clip_fps=0.0), "none")
    with pytest.raises(UnknownModelError, match="x:y@dense2: no frame rate is known"):
        plan_candidate(parse_spec("x:y@dense2"), plan, "float32")
