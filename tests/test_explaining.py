from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from workspaces import Trained

from vqa.errors import VideoError, VqaError
from vqa.pipeline import Scorer
from vqa.pipeline.explaining import MOST_BACKBONES, explain_score
from vqa.records import VideoFeatures

Run = Callable[..., tuple[int, str, str]]


def features(values: list[list[float]], seconds: list[float]) -> VideoFeatures:
    return VideoFeatures(np.array(values, np.float16), np.array(seconds))


def fake(function: Callable[[dict[str, np.ndarray[Any, Any]]], np.ndarray[Any, Any]], *names: str) -> Any:
    """A bundle whose score is a function of its blocks, where NaN counts as 0."""

    def predict(blocks: dict[str, np.ndarray[Any, Any]]) -> SimpleNamespace:
        return SimpleNamespace(scores=function({name: np.nan_to_num(block) for name, block in blocks.items()}))

    return SimpleNamespace(names=names, predict=predict)


def test_shapley_values_of_a_sum_are_its_parts() -> None:
    bundle = fake(lambda b: 3 + 2 * b["a"][:, 0] - b["b"][:, 0], "a", "b")
    told = explain_score(bundle, {"a": features([[1.0]], [0.5]), "b": features([[4.0]], [0.5])}, "v", (0, 10))
    assert (told.baseline, told.score) == (3, 1)
    assert [(one.name, one.moved) for one in told.backbones] == [("b", -4), ("a", 2)]
    assert told.moments == ()


def test_shapley_values_are_the_mean_gain_over_all_orders() -> None:
    names = ("a", "b", "c")

    def worth(known: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        a, b, c = (known[name][:, 0] for name in names)
        return a + a * b + 5 * a * b * c - 2 * c

    given = {name: features([[1.0]], [0.0]) for name in names}
    told = explain_score(fake(worth, *names), given, "v", (0, 1))

    def value(known: set[str]) -> float:
        return float(worth({name: np.array([[float(name in known)]]) for name in names})[0])

    for one in told.backbones:
        gains = []
        for order in itertools.permutations(names):
            before = set(order[: order.index(one.name)])
            gains.append(value(before | {one.name}) - value(before))
        assert one.moved == pytest.approx(sum(gains) / math.factorial(3))
    assert sum(one.moved for one in told.backbones) == pytest.approx(told.score - told.baseline)


def test_a_moment_moved_what_the_score_loses_without_it() -> None:
    bundle = fake(lambda b: b["a"][:, 0] + b["clip"][:, 0], "a", "clip")
    rows = features([[0.0], [3.0], [9.0]], [1.0, 2.0, 3.0])
    told = explain_score(bundle, {"a": rows, "clip": features([[1.0]], [2.0])}, "v", (0, 10))
    assert told.score == 5
    assert [(one.seconds, one.moved) for one in told.moments] == [(1.0, 5 - 7), (2.0, 5 - 5.5), (3.0, 5 - 2.5)]


def test_backbones_of_other_instants_lose_what_lies_nearest() -> None:
    bundle = fake(lambda b: b["b"][:, 0], "a", "b")
    fine, coarse = features([[0.0]] * 4, [1.0, 2.0, 3.0, 4.0]), features([[2.0], [6.0]], [1.4, 3.6])
    told = explain_score(bundle, {"a": fine, "b": coarse}, "v", (0, 10))
    assert [one.moved for one in told.moments] == [4 - 6, 0, 0, 4 - 2]


def test_too_many_backbones_are_refused() -> None:
    names = [f"m{place}" for place in range(MOST_BACKBONES + 1)]
    given = {name: features([[1.0]], [0.0]) for name in names}
    with pytest.raises(VqaError, match=r"takes 2\^13 scores to explain; select 12 or fewer"):
        explain_score(fake(lambda b: np.zeros(1), *names), given, "v", (0, 1))


def test_a_real_score_is_explained_whole(trained: Trained) -> None:
    scorer = Scorer.load(trained.bundle)
    told, score = scorer.explain(trained.clips[0]), scorer.score(trained.clips[0])
    assert told.score == score.score
    assert told.baseline + sum(one.moved for one in told.backbones) == pytest.approx(told.score)
    assert len(told.backbones) == 2
    assert len(told.moments) == 4
    assert "+" in told._repr_html_()
    cached = Scorer.load(trained.bundle, cache=trained.folder / "cache", adding=False).explain(trained.clips[0])
    assert cached.score == pytest.approx(told.score, abs=0.1)


def test_the_command_tells_why(trained: Trained, tmp_path: Path, run: Run) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    arguments = ["score", trained.clips[0], tmp_path / "x.mp4", "--model", trained.bundle, "--why"]
    status, out, _ = run(*arguments, "--output", tmp_path / "why.json")
    assert status == 3
    assert "a video of which nothing is known" in out
    assert "Moments: the score minus that without the moment" in out
    assert "failed: " in out
    written = json.loads((tmp_path / "why.json").read_text())
    status, out, _ = run(*arguments, "--json")
    told = json.loads(out)
    assert told["explanations"] == written["explanations"]
    assert len(told["explanations"][0]["moments"]) == 4
    assert told["failures"].keys() == {str(tmp_path / "x.mp4")}
    assert told["bundle"] == written["bundle"]


def test_what_is_no_video_can_t_be_explained(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"x.mp4: "):
        Scorer.load(trained.bundle).explain(tmp_path / "x.mp4")
