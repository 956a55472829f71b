"""A trained regressor as named tensors and JSON values, and back; what does not fit together is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.train.fitted import FittedRegressor, NetworkPath
from vqa.train.interval import IntervalScale
from vqa.train.kernel import KernelPath
from vqa.train.linear import LinearPath
from vqa.train.network import NetworkSize, parameter_shapes
from vqa.train.scaling import BlockScaler

Tensors = dict[str, NDArray[Any]]

_NETWORK = "network."
_SCALER = tuple(field.name for field in fields(BlockScaler))
_KERNEL = tuple(field.name for field in fields(KernelPath))
_LINEAR = ("medians", "lowest", "highest", "coefficients")


def pack(fitted: FittedRegressor) -> tuple[Tensors, dict[str, Any]]:
    """Return a regressor's tensors by name, and its other values as JSON takes them."""
    tensors: Tensors = {
        f"scaler.{index}.{field}": getattr(scaler, field)
        for index, scaler in enumerate(fitted.scalers)
        for field in _SCALER
    }
    values: dict[str, Any] = {
        "blocks": len(fitted.scalers),
        "mos_mean": fitted.mos_mean,
        "mos_std": fitted.mos_std,
        "mos_range": list(fitted.mos_range),
    }
    if fitted.network is not None:
        tensors |= {f"{_NETWORK}{name}": value for name, value in fitted.network.parameters.items()}
        values["network"] = {
            "fusion_weights": list(fitted.network.fusion_weights),
            "epochs": list(fitted.network.epochs),
        }
    if fitted.kernel is not None:
        tensors |= {f"kernel.{field}": getattr(fitted.kernel, field) for field in _KERNEL}
    if fitted.linear is not None:
        tensors |= {f"linear.{field}": getattr(fitted.linear, field) for field in _LINEAR}
        values["linear"] = {"intercept": fitted.linear.intercept}
    if fitted.interval is not None:
        tensors["interval.quantiles"] = fitted.interval.quantiles
        values["interval"] = {"typical": fitted.interval.typical}
    return {name: np.ascontiguousarray(value) for name, value in tensors.items()}, values


def unpack(tensors: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> FittedRegressor:
    """Put a regressor together again.

    Raises:
        KeyError, TypeError, ValueError: a part is missing, of another shape, or not finite.
    """
    low, high = values["mos_range"]
    fitted = FittedRegressor(
        scalers=tuple(
            BlockScaler(**{field: tensors[f"scaler.{index}.{field}"] for field in _SCALER})
            for index in range(int(values["blocks"]))
        ),
        network=_network(tensors, values["network"]) if "network" in values else None,
        kernel=KernelPath(**{field: tensors[f"kernel.{field}"] for field in _KERNEL})
        if "kernel.anchors" in tensors
        else None,
        linear=LinearPath(
            **{field: tensors[f"linear.{field}"] for field in _LINEAR}, intercept=float(values["linear"]["intercept"])
        )
        if "linear" in values
        else None,
        mos_mean=float(values["mos_mean"]),
        mos_std=float(values["mos_std"]),
        mos_range=(float(low), float(high)),
        interval=IntervalScale(float(values["interval"]["typical"]), tensors["interval.quantiles"])
        if "interval" in values
        else None,
    )
    _check(fitted, tensors)
    return fitted


def _network(tensors: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> NetworkPath:
    return NetworkPath(
        fusion_weights=tuple(float(weight) for weight in values["fusion_weights"]),
        parameters={name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)},
        epochs=tuple(int(epoch) for epoch in values["epochs"]),
    )


def _check(fitted: FittedRegressor, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Refuse parts of other shapes than training makes, or values that are not finite."""
    scalars = [*fitted.fusion_weights, fitted.mos_mean, fitted.mos_std, *fitted.mos_range]
    scalars += [fitted.linear.intercept] if fitted.linear else []
    scalars += [fitted.interval.typical] if fitted.interval else []
    if any(tensor.dtype.kind not in "fiu" for tensor in tensors.values()):
        raise ValueError("a tensor is not of numbers")
    if not all(np.isfinite(each).all() for each in (np.array(scalars), *tensors.values())):
        raise ValueError("a number is not finite")
    if fitted.network is None and fitted.kernel is None and fitted.linear is None:
        raise ValueError("there is no path from features to score")
    wanted = _shapes(fitted)
    found = {name: value.shape for name, value in tensors.items()}
    if found != wanted:
        odd = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        raise ValueError(f"{odd[0]} is missing or of another shape")


def _shapes(fitted: FittedRegressor) -> dict[str, tuple[int, ...]]:
    """Return the shape that each tensor has to have, from as few of them as possible."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, scaler in enumerate(fitted.scalers):
        width, directions = len(scaler.means), scaler.directions.shape[-1]
        shapes |= {f"scaler.{index}.{field}": (width,) for field in _SCALER}
        shapes[f"scaler.{index}.directions"] = (width, directions)
        shapes[f"scaler.{index}.spreads"] = (directions,)
    blocks, widest = len(fitted.scalers), max(scaler.width for scaler in fitted.scalers)
    if fitted.network is not None:
        restarts, hidden = len(fitted.network.epochs), fitted.network.parameters["score.weight"].shape[-1]
        size = NetworkSize(tuple(scaler.width for scaler in fitted.scalers), hidden)
        shapes |= {f"{_NETWORK}{name}": (restarts, *shape) for name, shape in parameter_shapes(size).items()}
        if restarts < 1 or len(fitted.network.fusion_weights) != blocks:
            raise ValueError("fusion weights or epochs do not fit the networks")
    if fitted.kernel is not None:
        anchors = len(fitted.kernel.coefficients)
        shapes |= {"kernel.anchors": (anchors, blocks, widest), "kernel.coefficients": (anchors,)}
        shapes |= {"kernel.weights": (2, blocks), "kernel.sizes": (2, blocks), "kernel.spreads": (blocks, widest)}
    if fitted.linear is not None:
        shapes |= {f"linear.{field}": (sum(fitted.block_widths),) for field in _LINEAR}
    if fitted.interval is not None:
        shapes["interval.quantiles"] = (201,)
    return shapes
