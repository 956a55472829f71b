"""An ONNX graph under construction, and the functions that onnxruntime's CPU has in single precision only.

All is computed in double precision. Erf, Gelu and Asinh have no double kernel on onnxruntime's CPU, so they are made of
operators that have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erfcx

from vqa.train.rowwise import Floats

OPSET = 13
"""The lowest with the operators as they are used here: ReduceSum and Squeeze take their axes as an input since then."""

_LAYER_NORM_EPSILON = 1e-5
"""PyTorch's default, which the network was trained with."""
_POLE, _DEGREE = 2.5, 20
"""Of `_erfc_coefficients`: the error of erfc is then 3e-15; more degrees only add rounding."""


class Graph:
    """Collects nodes and constants; each result is known by its name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator of one result; return the result's name."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: ArrayLike) -> str:
        """Add an array, of its own type; return its name."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, value: float) -> str:
        """Add one double."""
        return self.constant(np.array(value, dtype=np.float64))

    def axis(self, axis: int) -> str:
        """Add the number of an axis."""
        return self.constant(np.array([axis], dtype=np.int64))

    def doubles(self, values: NDArray[np.floating]) -> str:
        """Add an array that is computed with in double precision, and kept in the one it has."""
        name = self.constant(values)
        return name if values.dtype == np.float64 else self.to_double(name)

    def to_double(self, name: str) -> str:
        """Turn a result into doubles."""
        return self.apply("Cast", name, to=TensorProto.DOUBLE)

    def total(self, names: Sequence[str]) -> str:
        """Add results up."""
        return names[0] if len(names) == 1 else self.apply("Sum", *names)

    def mean_last(self, name: str) -> str:
        """Average along the last axis, which is kept with length 1."""
        return self.apply("ReduceMean", name, axes=[-1], keepdims=1)

    def square(self, name: str) -> str:
        """Multiply a result with itself."""
        return self.apply("Mul", name, name)

    def finish(self, name: str, inputs: dict[str, int], outputs: dict[str, str]) -> onnx.GraphProto:
        """Return the graph.

        Args:
            name: The graph's.
            inputs: Width D of each input, float32 of shape (N, D), by its name.
            outputs: The result that each output, float64 of shape (N,), is, by its name.
        """
        for output, result in outputs.items():
            self._nodes.append(helper.make_node("Identity", [result], [output]))
        return helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(each, TensorProto.FLOAT, ["N", width]) for each, width in inputs.items()],
            [helper.make_tensor_value_info(each, TensorProto.DOUBLE, ["N"]) for each in outputs],
            self._constants,
        )


def asinh(graph: Graph, name: str) -> str:
    """Add arcsinh(x) = sign(x) (log(m) + log(|x| / m + sqrt((x / m)^2 + 1 / m^2))).

    m = max(|x|, 1), so that no x is too large.
    """
    size = graph.apply("Abs", name)
    most = graph.apply("Max", size, graph.number(1.0))
    ratio = graph.apply("Div", size, most)
    inverse = graph.apply("Reciprocal", most)
    root = graph.apply("Sqrt", graph.apply("Add", graph.square(ratio), graph.square(inverse)))
    logs = graph.apply("Add", graph.apply("Log", most), graph.apply("Log", graph.apply("Add", ratio, root)))
    return graph.apply("Mul", graph.apply("Sign", name), logs)


def gelu(graph: Graph, name: str) -> str:
    """Add GELU, exact and not by tanh: x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2."""
    size = graph.apply("Abs", name)
    complement = _erfc(graph, graph.apply("Mul", size, graph.number(np.sqrt(0.5))))
    lost = graph.apply("Mul", graph.apply("Mul", size, graph.number(0.5)), complement)
    return graph.apply("Sub", graph.apply("Relu", name), lost)


def layer_norm(graph: Graph, name: str) -> str:
    """Add the normalisation of the last axis to mean 0 and variance 1, as `torch.nn.functional.layer_norm` does."""
    centred = graph.apply("Sub", name, graph.mean_last(name))
    variance = graph.mean_last(graph.square(centred))
    spread = graph.apply("Sqrt", graph.apply("Add", variance, graph.number(_LAYER_NORM_EPSILON)))
    return graph.apply("Div", centred, spread)


def _erfc(graph: Graph, name: str) -> str:
    """Add erfc of a result that is 0 or more: t p(2 t - 1) exp(-z^2), t = c / (c + z), p by Horner's rule."""
    share = graph.apply("Div", graph.number(_POLE), graph.apply("Add", name, graph.number(_POLE)))
    place = graph.apply("Sub", graph.apply("Mul", share, graph.number(2.0)), graph.number(1.0))
    *others, highest = _erfc_coefficients().tolist()
    value = graph.number(highest)
    for coefficient in reversed(others):
        value = graph.apply("Add", graph.apply("Mul", value, place), graph.number(coefficient))
    decay = graph.apply("Exp", graph.apply("Neg", graph.square(name)))
    return graph.apply("Mul", graph.apply("Mul", share, value), decay)


def _erfc_coefficients() -> Floats:
    """Return the polynomial p in 2 t - 1 with erfc(z) = t p exp(-z^2), t = c / (c + z), lowest power first.

    It interpolates scipy's erfcx between Chebyshev points: t runs from 1 to 0 while z runs from 0 to infinity, and p is
    smooth there.
    """
    places = chebyshev.chebpts1(_DEGREE + 1)
    share = (places + 1) / 2
    series = chebyshev.chebfit(places, erfcx(_POLE / share - _POLE) / share, _DEGREE)
    return np.asarray(chebyshev.cheb2poly(series), dtype=np.float64)
