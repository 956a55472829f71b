"""The exported head against the regressor it was made of, in onnxruntime."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.special import ndtr

from vqa.errors import BundleError
from vqa.train.fitting import TrainJob, TrainSettings, fit_many
from vqa.train.onnx_graph import OPSET, Graph, asinh, gelu
from vqa.train.onnx_head import write_head

TOLERANCE = 1e-11
"""Of the training labels' standard deviation; measured: 7e-15 on synthetic features, 2e-13 on real ones."""

WIDTHS = (100, 25, 5)
NAMES = ("timm:a", "timm:b@fragments", "imported:p/c")
SMALL = {"width": 8, "epochs": 2}
VARIANTS = {
    "blend": TrainSettings(**SMALL, restarts=3),
    "ptm-vqa": TrainSettings(**SMALL, restarts=1, paths=("network",), scaling="standard"),
    "kernel": TrainSettings(paths=("kernel",)),
    "linear": TrainSettings(paths=("linear",)),
}


def features(rows: int, seed: int = 0) -> np.ndarray:
    """Make features with long tails, three constant columns, and one of thirty cells missing."""
    rng = np.random.default_rng(seed)
    values = np.sinh(2 * rng.normal(size=(rows, sum(WIDTHS)))) * 10 ** np.linspace(-8, 8, sum(WIDTHS))
    values[:, [3, 100, 129]] = 7
    values[rng.random(values.shape) < 1 / 30] = np.nan
    return values.astype(np.float32)


def fit(settings: TrainSettings, rows: int = 60, weights: tuple[float, ...] | None = None):
    mos = np.random.default_rng(1).uniform(0, 100, rows)
    return fit_many([TrainJob(features(rows), mos, None, WIDTHS, weights, 0)], settings=settings)[0]


@pytest.fixture(scope="module", params=list(VARIANTS))
def fitted(request):
    return fit(VARIANTS[request.param])


def run(path, values, names=NAMES, widths=WIDTHS):
    """Return score, low and high."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    edges = np.cumsum([0, *widths])
    blocks = {name: values[:, a:b] for name, a, b in zip(names, edges, edges[1:], strict=False)}
    return session.run(["score", "low", "high"], blocks)


def largest_difference(fitted, path, values, **more):
    """Return the largest difference of scores and ends, in standard deviations of the training labels."""
    said = fitted.predict_intervals(values)
    found = np.stack(run(path, values, **more))
    assert found.dtype == np.float64
    return np.abs(found - np.stack([said.scores, said.low, said.high])).max() / fitted.mos_std


@pytest.mark.parametrize("rows", [1, 60, 5000])
def test_the_exported_head_says_what_the_regressor_says(fitted, tmp_path, rows):
    write_head(tmp_path / "h.onnx", fitted, NAMES, {})
    assert largest_difference(fitted, tmp_path / "h.onnx", features(rows, seed=2)) < TOLERANCE


def test_no_videos_give_no_scores(fitted, tmp_path):
    write_head(tmp_path / "h.onnx", fitted, NAMES, {})
    assert [each.shape for each in run(tmp_path / "h.onnx", features(0))] == [(0,), (0,), (0,)]


def test_what_is_not_finite_is_missing_whatever_it_is(fitted, tmp_path):
    write_head(tmp_path / "h.onnx", fitted, NAMES, {})
    values = np.repeat(features(1, seed=3), 4, axis=0)
    values[:, 50] = [np.nan, np.inf, -np.inf, fitted.scalers[0].medians[50]]
    values[1:3, 110] = values[0, 110] = np.nan
    values[3, 110] = fitted.scalers[1].medians[10]
    scores = run(tmp_path / "h.onnx", values)[0]
    assert scores[:3] == pytest.approx([scores[0]] * 3, rel=1e-12)
    assert largest_difference(fitted, tmp_path / "h.onnx", values) < TOLERANCE
    assert np.isfinite(run(tmp_path / "h.onnx", np.full((2, 130), np.nan, np.float32))[0]).all()


def test_values_far_beyond_all_training_ones_stay_finite(fitted, tmp_path):
    write_head(tmp_path / "h.onnx", fitted, NAMES, {})
    values = features(2, seed=4)
    values[0], values[1] = 3e38, -3e38
    said, found = fitted.predict(values), run(tmp_path / "h.onnx", values)[0]
    assert np.isfinite(found).all()
    assert found == pytest.approx(said, rel=1e-9)


def test_too_few_videos_for_an_interval_give_a_score_with_nan_ends(tmp_path):
    fitted = fit(TrainSettings(paths=("kernel", "linear")), rows=9)
    assert fitted.interval is None
    write_head(tmp_path / "h.onnx", fitted, NAMES, {})
    score, low, high = run(tmp_path / "h.onnx", features(3))
    assert score == pytest.approx(fitted.predict(features(3)), rel=1e-12)
    assert np.isnan([low, high]).all()


def test_features_that_are_not_softened_stand_beside_those_that_are(tmp_path):
    fitted = fit(VARIANTS["kernel"])
    softness = np.where(np.arange(100) % 2, fitted.scalers[0].softness, 0)
    mixed = replace(fitted, scalers=(replace(fitted.scalers[0], softness=softness), *fitted.scalers[1:]))
    write_head(tmp_path / "h.onnx", mixed, NAMES, {})
    assert largest_difference(mixed, tmp_path / "h.onnx", features(20)) < TOLERANCE


def test_a_fusion_weight_of_zero_is_kept(tmp_path):
    fitted = fit(VARIANTS["ptm-vqa"], weights=(0.75, 0.25, 0.0))
    write_head(tmp_path / "h.onnx", fitted, NAMES, {})
    assert largest_difference(fitted, tmp_path / "h.onnx", features(20)) < TOLERANCE


def test_the_model_is_the_same_bytes_each_time_and_carries_its_contract(fitted, tmp_path):
    contract = {"labels": "VMAF, é", "scale": [0, 100]}
    write_head(tmp_path / "h.onnx", fitted, NAMES, contract)
    write_head(tmp_path / "again.onnx", fitted, NAMES, dict(reversed(contract.items())))
    assert (tmp_path / "h.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    model = onnx.load(tmp_path / "h.onnx")
    assert json.loads(model.metadata_props[0].value) == contract
    assert (model.metadata_props[0].key, model.producer_name) == ("vqa_contract", "vqa")
    assert ([each.name for each in model.graph.input], model.opset_import[0].version) == (list(NAMES), 13)
    used = {name for node in model.graph.node for name in node.input}
    assert {each.name for each in model.graph.initializer} <= used


@pytest.mark.parametrize("names", [("score", "b", "c"), ("t3", "b", "c"), ("a", "a", "b"), ("a\udc80", "b", "c")])
def test_names_that_give_no_valid_model_are_refused_and_nothing_is_written(tmp_path, names):
    fitted = fit(VARIANTS["linear"])
    with pytest.raises(
        BundleError, match=r"h\.onnx: this scorer gives no valid ONNX model \(.*\); train again"
    ) as told:
        write_head(tmp_path / "h.onnx", fitted, names, {})
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("add", "right"), [(gelu, lambda x: x * ndtr(x)), (asinh, np.arcsinh)])
def test_functions_made_of_others_are_exact_to_the_last_digits(add, right):
    graph = Graph()
    made = graph.finish("g", {}, {"y": add(graph, "x")})
    made.input.append(helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N"]))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 7
    x = np.concatenate([np.linspace(-40, 40, 20001), [0, 1e-300, -1e-9, 1e38, -1e38, 1e300, -1e300]])
    (y,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    assert (np.abs(y - right(x)) / np.maximum(np.abs(right(x)), 1)).max() < 1e-15


@pytest.mark.parametrize(
    ("pool", "settings"),
    [
        pytest.param("livevqc", TrainSettings(epochs=2, restarts=2), id="livevqc"),
        pytest.param("konvid1k", TrainSettings(), id="konvid1k", marks=pytest.mark.slow),
    ],
)
def test_real_features_of_many_widths_with_missing_cells(test_data, tmp_path, pool, settings):
    with np.load(test_data / "pools" / f"{pool}.npz", allow_pickle=False) as file:
        blocks = {name: file[name].astype(np.float32) for name in file.files if "__" in name}
        mos = file["mos"].astype(float)
    joined = np.concatenate(list(blocks.values()), axis=1)
    widths = tuple(block.shape[1] for block in blocks.values())
    assert (len(widths) >= 10, np.isfinite(joined).all()) == (True, False)
    fitted = fit_many([TrainJob(joined, mos, None, widths, None, 0)], settings=settings)[0]
    write_head(tmp_path / "h.onnx", fitted, tuple(blocks), {})
    found = largest_difference(fitted, tmp_path / "h.onnx", joined, names=tuple(blocks), widths=widths)
    assert found < TOLERANCE, found
