"""A trained scorer as one safetensors file: numbers as tensors, everything else as JSON in its header. No pickle.

The file's metadata has one key, since a safetensors file with several may order them differently each time it is
written; two saves of the same regressor are the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vqa.errors import BundleError
from vqa.files import written_whole
from vqa.train.fitted import FittedRegressor
from vqa.train.network import NetworkSize, parameter_shapes
from vqa.train.scaling import BlockScaler

BUNDLE_SCHEMA = 1

_KEY = "vqa_bundle"
_SCALER_FIELDS = ("medians", "means", "factors", "directions")
_NETWORK = "network."


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained scorer and what it says of itself."""

    header: Mapping[str, Any]
    """As given to `save_bundle`."""
    fitted: FittedRegressor

    @property
    def names(self) -> tuple[str, ...]:
        """Text forms of its backbones, in the order of their features."""
        return tuple(model["name"] for model in self.header["models"])

    def require(self, fingerprints: Mapping[str, str]) -> None:
        """Check that features come from the backbones that the scorer was trained on.

        Args:
            fingerprints: Fingerprint of each candidate by its text form; others than the bundle's are no matter.

        Raises:
            BundleError: one is missing, or its fingerprint is another.
        """
        for model in self.header["models"]:
            found = fingerprints.get(model["name"])
            if found is None:
                raise BundleError(
                    f"{model['name']}: its features are missing; the bundle needs them, extract them first"
                )
            if found != model["fingerprint"]:
                raise BundleError(
                    f"{model['name']}: features have fingerprint {found}, "
                    f"the bundle was trained on {model['fingerprint']}; "
                    "extract with the settings named in the bundle, or train again"
                )

    def predict(self, blocks: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
        """Return a score on the MOS scale for each video.

        Args:
            blocks: Time-averaged features, shape (N, D), by the text form of their candidate.

        Returns:
            Shape (N,).

        Raises:
            BundleError: a block is missing or has another shape.
        """
        parts: list[NDArray[np.floating]] = []
        for name, width in zip(self.names, self.fitted.block_widths, strict=True):
            block = blocks.get(name)
            if block is None:
                raise BundleError(f"{name}: its features are missing; the bundle needs them, extract them first")
            if block.ndim != 2 or block.shape[1] != width or (parts and len(block) != len(parts[0])):
                raise BundleError(
                    f"{name}: features of shape {block.shape}, but the bundle takes (N, {width}); extract them again"
                )
            parts.append(block)
        return self.fitted.predict(np.concatenate(parts, axis=1))


def save_bundle(path: Path, fitted: FittedRegressor, header: Mapping[str, Any]) -> None:
    """Write a trained scorer, whole or not at all.

    Args:
        path: The file; an older one is replaced.
        fitted: The regressor.
        header: What the bundle says of itself, JSON values only. `models` holds for each backbone in order at least
            `name` (its text form) and `fingerprint`.

    Raises:
        BundleError: the header's models do not fit the regressor.
    """
    _check_models(path, header, fitted)
    tensors = {f"{_NETWORK}{name}": np.ascontiguousarray(value) for name, value in fitted.parameters.items()}
    for index, scaler in enumerate(fitted.scalers):
        for field in _SCALER_FIELDS:
            tensors[f"scaler.{index}.{field}"] = np.ascontiguousarray(getattr(scaler, field))
    document = {
        "schema": BUNDLE_SCHEMA,
        "header": dict(header),
        "regressor": {
            "fusion_weights": list(fitted.fusion_weights),
            "mos_mean": fitted.mos_mean,
            "mos_std": fitted.mos_std,
            "mos_range": list(fitted.mos_range),
            "epochs": list(fitted.epochs),
        },
    }
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(document, sort_keys=True, separators=(",", ":"))})


def load_bundle(path: Path) -> Bundle:
    """Read a trained scorer.

    Raises:
        BundleError: there is no such file, or it is damaged, of another kind or of another version.
    """
    if not path.is_file():
        raise BundleError(f"{path}: there is no bundle here; run `vqa train` first")
    try:
        document, tensors = _read(path)
        fitted = _regressor(document["regressor"], tensors)
        header = document["header"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path}: is no bundle, or a damaged one ({_reason(error)}); run `vqa train` again"
        ) from error
    _check_models(path, header, fitted)
    _check_numbers(path, fitted)
    return Bundle(header, fitted)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the JSON and all tensors."""
    with safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {})[_KEY]
        document = json.loads(text)
        if document["schema"] != BUNDLE_SCHEMA:
            raise BundleError(
                f"{path}: is of schema {document['schema']}, this version reads {BUNDLE_SCHEMA}; "
                "use the version it was made with"
            )
        return document, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # has no iterator of its own


def _regressor(values: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> FittedRegressor:
    """Put a regressor together again."""
    weights = tuple(float(weight) for weight in values["fusion_weights"])
    scalers = tuple(
        BlockScaler(**{field: tensors[f"scaler.{index}.{field}"] for field in _SCALER_FIELDS})
        for index in range(len(weights))
    )
    low, high = values["mos_range"]
    return FittedRegressor(
        scalers=scalers,
        fusion_weights=weights,
        parameters={name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)},
        mos_mean=float(values["mos_mean"]),
        mos_std=float(values["mos_std"]),
        mos_range=(float(low), float(high)),
        epochs=tuple(int(epoch) for epoch in values["epochs"]),
    )


def _check_models(path: Path, header: Any, fitted: FittedRegressor) -> None:
    """Refuse a header that does not name each of the regressor's backbones once."""
    models = header.get("models") if isinstance(header, dict) else None
    names = {_name(model) for model in models} if isinstance(models, list) else set()
    if None in names or len(names) != len(fitted.scalers):
        raise BundleError(
            f"{path}: its header does not name the {len(fitted.scalers)} backbones of the regressor; "
            "run `vqa train` again"
        )


def _name(model: Any) -> str | None:
    """Return a model's name, or None where the header lacks it or the fingerprint."""
    if not isinstance(model, dict) or not isinstance(model.get("fingerprint"), str):
        return None
    name = model.get("name")
    return name if isinstance(name, str) else None


def _check_numbers(path: Path, fitted: FittedRegressor) -> None:
    """Refuse tensors of other shapes than the network needs, or that are not finite."""
    scalars = np.array([*fitted.fusion_weights, fitted.mos_mean, fitted.mos_std, *fitted.mos_range])
    tensors = [getattr(scaler, field) for scaler in fitted.scalers for field in _SCALER_FIELDS]
    whole = all(np.isfinite(values).all() for values in (scalars, *tensors, *fitted.parameters.values()))
    if not (whole and _shapes_agree(fitted)):
        raise BundleError(f"{path}: its numbers are damaged; run `vqa train` again")


def _shapes_agree(fitted: FittedRegressor) -> bool:
    """Compare all shapes with those that training makes."""
    for scaler in fitted.scalers:
        width = len(scaler.medians)
        if scaler.directions.ndim != 2 or len(scaler.directions) != width or scaler.directions.shape[1] < 1:
            return False
        if any(getattr(scaler, field).shape != (width,) for field in _SCALER_FIELDS[:3]):
            return False
    head = fitted.parameters.get("score.weight")
    if head is None or head.ndim != 2 or len(fitted.epochs) != len(head):
        return False
    size = NetworkSize(tuple(scaler.width for scaler in fitted.scalers), head.shape[1])
    wanted = {name: (len(head), *shape) for name, shape in parameter_shapes(size).items()}
    return wanted == {name: value.shape for name, value in fitted.parameters.items()}


def _reason(error: Exception) -> str:
    """Say in a few words what could not be read."""
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"[:120]
