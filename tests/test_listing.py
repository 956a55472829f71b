"""What `vqa models` tells of candidates: width, cost, how many videos are cached."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vqa import terminal
from vqa.cache.store import FeatureStore
from vqa.cli import main
from vqa.errors import UnknownModelError
from vqa.extract.backends import find_backend
from vqa.extract.spec import parse_spec, plan_candidate
from vqa.pipeline import list_models
from vqa.records import VideoFeatures


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run `vqa models` in this process; gives the lines of its output."""

    def call(*arguments: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["vqa", "models", *map(str, arguments)])
        main()
        return capsys.readouterr().out.splitlines()

    return call


def cell(lines: list[str], spec: str) -> list[str]:
    """Return a candidate's line, its cells divided by three spaces or more."""
    line = next(line for line in lines if line.strip().startswith(f"{spec} "))
    return [part.strip() for part in line.split("   ") if part.strip()]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "vqa.toml").write_text('[dataset]\nvideos = "clips"\n[extract]\nmodels = ["classic"]\n')
    return tmp_path / "w"


def put_in_cache(folder: Path, text: str, seconds: tuple[float, ...], frames: int = 8) -> None:
    """Let the cache hold features of as many videos as there are times."""
    spec = parse_spec(text, frames=frames)
    candidate = plan_candidate(spec, find_backend(spec.backend).describe(spec), "float32")
    features = VideoFeatures(np.ones((8, 36), np.float16), np.arange(8.0))
    with FeatureStore(folder / "cache").writer(candidate.record, weights_sha256="0" * 64, versions={}) as writer:
        for number, each in enumerate(seconds):
            writer.put(f"{number:064x}", features, seconds=each)


def test_the_hub_pool_tells_width_input_and_multiplications(show: Callable[..., list[str]]) -> None:
    lines = show("--pool", "hub")
    assert lines[1].endswith(" candidates")
    told = cell(lines, "timm:resnet50.a1_in1k")
    assert told[1:] == ["classification", "ImageNet-1k", "2048", "224", "Apache-2.0", "4.09 GMACs"]
    assert cell(lines, "transformers:facebook/vjepa2-vitl-fpc64-256")[-1] == "5790 GMACs"
    assert lines[-1] == "GMACs: 10^9 multiplications for each frame, or each clip of a video network"


def test_every_candidate_with_a_network_tells_a_cost_before_it_was_ever_run() -> None:
    assert [model.spec for model in list_models() if model.gmacs is None] == ["classic:nss", "classic:siti"]


def test_a_view_of_a_pool_candidate_has_its_row() -> None:
    (model,) = list_models("timm:resnet50.a1_in1k@crop")
    assert (model.row is not None and model.row.width, model.gmacs) == (2048, 4.09)


def test_a_candidate_of_no_pool_has_dashes(show: Callable[..., list[str]]) -> None:
    assert cell(show("timm:resnet18.a1_in1k"), "timm:resnet18.a1_in1k")[1:] == ["-"] * 6


def test_statistics_tell_no_cost_until_it_was_measured_here(show: Callable[..., list[str]], workspace: Path) -> None:
    assert cell(show("-C", workspace, "classic:*"), "classic:nss")[-1] == "-"
    put_in_cache(workspace, "classic:nss", (0.5, 1.0, 1.5))
    lines = show("-C", workspace, "classic:*")
    assert cell(lines, "classic:nss")[-2:] == ["1000 ms/video", "3"]
    assert cell(lines, "classic:siti")[-2:] == ["-", "-"]


def test_a_measured_cost_stands_before_a_stated_one(workspace: Path) -> None:
    put_in_cache(workspace, "bundled:vgg16", (0.25, 0.25))
    (model,) = list_models("bundled:vgg16", folder=workspace)
    assert (model.cached_videos, model.cost_ms, model.gmacs) == (2, 250, 15.3)


def test_features_of_another_frame_count_are_no_cached_videos(workspace: Path) -> None:
    put_in_cache(workspace, "classic:nss", (1.0,), frames=5)
    assert [model.cached_videos for model in list_models("classic:*", folder=workspace)] == [0, 0]


def test_a_pool_and_a_pattern_give_what_both_name() -> None:
    assert [model.spec for model in list_models("*slowfast*", pool="hub")] == ["pytorchvideo:slowfast_r50"]
    assert list_models("bundled:*", pool="hub") == []
    with pytest.raises(UnknownModelError, match="no pool or model 'hubb'; did you mean hub"):
        list_models(pool="hubb")


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["model", "width", "cost"]),
        (100, ["model", "pretext", "task", "width", "cost"]),
        (140, ["model", "pretext", "task", "pretraining", "width", "licence", "cost"]),
        (200, ["model", "pretext", "task", "pretraining", "width", "input", "licence", "cost"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_rather_than_broken_words(
    show: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, width: int, columns: list[str]
) -> None:
    monkeypatch.setattr(
        terminal, "_console", lambda *, stderr: Console(force_terminal=True, width=width, color_system=None)
    )
    lines = show("--pool", "hub")
    assert next(line for line in lines if "model" in line).split() == columns
    assert max(len(line) for line in lines if not line.startswith("Left out")) <= width
    assert sum("classification " in line for line in lines) >= (8 if width > 80 else 0)
    assert sum("self-distillation " in line for line in lines) >= (4 if width > 80 else 0)
    told = [line for line in lines if line.startswith("Left out in a narrow terminal: ")]
    assert told == ([] if width == 200 else [told[0]])
    assert told == [] or told[0].endswith("; `--json` has all")


def test_a_table_in_a_pipe_has_no_spaces_at_the_ends_of_its_lines(show: Callable[..., list[str]]) -> None:
    assert [line for line in show("--pool", "hub") if line != line.rstrip()] == []
