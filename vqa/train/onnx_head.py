"""A trained regressor as an ONNX model: from time-averaged features to score and interval, as `FittedRegressor` does.

One input for each backbone, float32 as features are kept; what is not finite in it is missing. Inside all is computed
in double precision, and the outputs are doubles, so that a score is the one `FittedRegressor` gives up to rounding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from vqa.errors import BundleError
from vqa.files import written_whole
from vqa.train.fitted import DEFAULT_COVERAGE, FittedRegressor, NetworkPath
from vqa.train.kernel import KernelPath
from vqa.train.linear import LinearPath
from vqa.train.network import LAYERS
from vqa.train.onnx_graph import OPSET, Graph, asinh, gelu, layer_norm
from vqa.train.rowwise import Floats
from vqa.train.scaling import BlockScaler

OUTPUTS = ("score", "low", "high")
CONTRACT_KEY = "vqa_contract"
"""Where the model's metadata keep the contract, as JSON."""

_TOLD = 120


def write_head(path: Path, fitted: FittedRegressor, names: Sequence[str], contract: Mapping[str, Any]) -> None:
    """Write a regressor as an ONNX model, whole or not at all; the same one gives the same bytes.

    Args:
        path: The file; an older one is replaced.
        fitted: The regressor.
        names: Of the inputs, one for each backbone, in the regressor's order.
        contract: What the model says of itself, JSON values only.

    Raises:
        BundleError: the result would be no valid model.
        OSError: the file can't be written.
    """
    try:
        content = _model(head_graph(fitted, names), contract).SerializeToString(deterministic=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:_TOLD]
        raise BundleError(f"{path}: this scorer gives no valid ONNX model ({reason}); train again") from error
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def _model(graph: onnx.GraphProto, contract: Mapping[str, Any]) -> onnx.ModelProto:
    """Return a checked model of a graph."""
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], producer_name="vqa")
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)
    helper.set_model_props(model, {CONTRACT_KEY: json.dumps(contract, sort_keys=True)})
    onnx.checker.check_model(model, full_check=True)
    return model


def head_graph(fitted: FittedRegressor, names: Sequence[str]) -> onnx.GraphProto:
    """Return the graph of a regressor, with the outputs `OUTPUTS`; arguments as of `write_head`."""
    graph = Graph()
    features = [_Block(graph, name) for name in names]
    parts = []
    if fitted.network is not None or fitted.kernel is not None:
        inputs = [_scale(graph, block, scaler) for block, scaler in zip(features, fitted.scalers, strict=True)]
        parts += [_network(graph, inputs, fitted.network, fitted.scalers)] if fitted.network is not None else []
        parts += [_kernel(graph, inputs, fitted.kernel, fitted.scalers)] if fitted.kernel is not None else []
    if fitted.linear is not None:
        parts.append(_linear(graph, features, fitted.linear, fitted.block_widths))
    outputs = dict(zip(OUTPUTS, _score(graph, parts, fitted), strict=True))
    return graph.finish("vqa_head", dict(zip(names, fitted.block_widths, strict=True)), outputs)


class _Block:
    """One backbone's features, as doubles, and where they are finite; shape (N, D)."""

    def __init__(self, graph: Graph, name: str) -> None:
        self._graph = graph
        largest = graph.constant(np.finfo(np.float32).max)
        self._finite = graph.apply("LessOrEqual", graph.apply("Abs", name), largest)
        self._values = graph.to_double(name)

    def filled(self, medians: Floats) -> str:
        """Return the features with the missing cells replaced."""
        return self._graph.apply("Where", self._finite, self._values, self._graph.doubles(medians))


def _scale(graph: Graph, block: _Block, scaler: BlockScaler) -> str:
    """Add what `BlockScaler.apply` does; shape (N, P) of this backbone."""
    softened = _soften(graph, block.filled(scaler.medians), scaler)
    centred = graph.apply("Sub", softened, graph.doubles(scaler.means))
    standardised = graph.apply("Mul", centred, graph.doubles(scaler.factors))
    return graph.apply("MatMul", standardised, graph.doubles(scaler.directions))


def _soften(graph: Graph, filled: str, scaler: BlockScaler) -> str:
    """Add the arcsinh of the features whose softness is not 0."""
    soft = scaler.softness > 0
    if not soft.any():
        return filled
    moved = graph.apply("Sub", filled, graph.doubles(scaler.medians))
    bent = asinh(graph, graph.apply("Mul", moved, graph.doubles(scaler.softness)))
    return bent if soft.all() else graph.apply("Where", graph.constant(soft), bent, filled)


def _network(graph: Graph, inputs: Sequence[str], path: NetworkPath, scalers: Sequence[BlockScaler]) -> str:
    """Add what `NetworkPath.predict` does: shapes (S, N, W) up to the score, (N, 1) after the mean over restarts."""
    fused = []
    for index, (rows, scaler) in enumerate(zip(inputs, scalers, strict=True)):
        hidden = rows
        for layer in LAYERS:
            weight = path.parameters[f"{layer}.weight"][:, index]
            if layer == LAYERS[0]:  # the rows that stand for a wider backbone's features
                weight = weight[:, : scaler.width]
            gain, bias, shift = (path.parameters[f"{layer}.{kind}"][:, index] for kind in ("gain", "bias", "shift"))
            hidden = graph.apply("Add", graph.apply("MatMul", hidden, graph.doubles(weight)), graph.doubles(bias))
            scaled = graph.apply("Mul", layer_norm(graph, hidden), graph.doubles(gain))
            hidden = gelu(graph, graph.apply("Add", scaled, graph.doubles(shift)))
        fused.append(graph.apply("Mul", hidden, graph.number(path.fusion_weights[index])))
    weight, bias = path.parameters["score.weight"][:, :, None], path.parameters["score.bias"][:, :, None]
    scores = graph.apply("MatMul", graph.total(fused), graph.doubles(weight))
    return graph.apply("ReduceMean", graph.apply("Add", scores, graph.doubles(bias)), axes=[0], keepdims=0)


def _kernel(graph: Graph, inputs: Sequence[str], path: KernelPath, scalers: Sequence[BlockScaler]) -> str:
    """Add what `KernelPath.predict` does, kernel by kernel, so that one of shape (N, M) is held at a time; (N, 1)."""
    parts = [graph.number(path.coefficients.sum())]
    for index, (rows, scaler) in enumerate(zip(inputs, scalers, strict=True)):
        anchors = path.anchors[:, index]
        spread = graph.apply("Mul", rows, graph.doubles(path.spreads[index, : scaler.width]))
        products = graph.apply("MatMul", spread, graph.doubles(anchors[:, : scaler.width].T))
        squares = graph.apply("ReduceSum", graph.square(spread), graph.axis(-1), keepdims=1)
        norms = graph.doubles((anchors.astype(np.float64) ** 2).sum(1))
        crossed = graph.apply("Mul", products, graph.number(2.0))
        distances = graph.apply("Relu", graph.apply("Sub", graph.apply("Add", squares, norms), crossed))
        near = graph.apply("Exp", graph.apply("Mul", distances, graph.number(-0.5 / path.sizes[1, index])))
        linear_weight, near_weight = path.weights[:, index] / [path.sizes[0, index], 1.0]
        for kernel, weight in ((products, linear_weight), (near, near_weight)):
            parts.append(graph.apply("MatMul", kernel, graph.doubles(path.coefficients[:, None] * weight)))
    return graph.total(parts)


def _linear(graph: Graph, blocks: Sequence[_Block], path: LinearPath, widths: Sequence[int]) -> str:
    """Add what `LinearPath.predict` does; shape (N, 1)."""
    parts, start = [graph.number(path.intercept)], 0
    for block, width in zip(blocks, widths, strict=True):
        own = slice(start, start + width)
        raised = graph.apply("Max", block.filled(path.medians[own]), graph.doubles(path.lowest[own]))
        clipped = graph.apply("Min", raised, graph.doubles(path.highest[own]))
        parts.append(graph.apply("MatMul", clipped, graph.doubles(path.coefficients[own, None])))
        start += width
    return graph.total(parts)


def _score(graph: Graph, parts: Sequence[str], fitted: FittedRegressor) -> tuple[str, str, str]:
    """Add the mean of the paths' standardised scores (N, 1) and its interval, on the MOS scale; shape (N,) each."""
    joined = graph.apply("Concat", *parts, axis=1)
    mean, unit = graph.mean_last(joined), graph.number(fitted.mos_std)
    score = graph.apply("Add", graph.apply("Mul", mean, unit), graph.number(fitted.mos_mean))
    if fitted.interval is None:
        half = graph.number(np.nan)
    else:
        variance = graph.mean_last(graph.square(graph.apply("Sub", joined, mean)))
        local = graph.apply("Sqrt", graph.apply("Add", variance, graph.number(fitted.interval.typical**2)))
        half = graph.apply("Mul", local, graph.number(fitted.interval.factor(DEFAULT_COVERAGE) * fitted.mos_std))
    ends = (score, graph.apply("Sub", score, half), graph.apply("Add", score, half))
    first, low, high = (graph.apply("Squeeze", end, graph.axis(1)) for end in ends)
    return first, low, high
