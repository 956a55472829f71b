"""A trained scorer as one safetensors file: numbers as tensors, everything else as JSON in its header. No pickle.

The file carries a digest of itself, see `vqa.train.header`. Its metadata have one key, since a safetensors file with
several may order them differently each time it is written; two saves of the same regressor are the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from vqa.errors import BundleError
from vqa.files import put_whole
from vqa.train.fitted import FittedRegressor, Predictions
from vqa.train.header import (
    BUNDLE_KEY,
    BUNDLE_SCHEMA,
    UNSEALED,
    check_digest,
    has_digest,
    parse_document,
    refusing_damage,
    sealed,
)
from vqa.train.packing import pack, unpack

_EXTRA = "extra."


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained scorer and what it says of itself."""

    header: Mapping[str, Any]
    """As given to `save_bundle`."""
    fitted: FittedRegressor
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """As given to `save_bundle`."""
    note: str = ""
    """What a user should know of the file, in one line; empty where there is nothing."""

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

    def predict(self, blocks: Mapping[str, NDArray[np.floating]]) -> Predictions:
        """Return a score on the MOS scale for each video, with its interval.

        Args:
            blocks: Time-averaged features, shape (N, D), by the text form of their candidate.

        Raises:
            BundleError: a block is missing or has another shape, or a score is not finite.
        """
        with np.errstate(all="ignore"):  # whatever the bundle holds, a score that is no number is told below
            said = self.fitted.predict_intervals(self._join(blocks))
        if not np.isfinite(said.scores).all():
            raise BundleError("the bundle gives a score that is no finite number; train again")
        return said

    def _join(self, blocks: Mapping[str, NDArray[np.floating]]) -> NDArray[np.floating]:
        """Put the backbones' features side by side."""
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
        return np.concatenate(parts, axis=1)


def save_bundle(
    path: Path,
    fitted: FittedRegressor,
    header: Mapping[str, Any],
    extras: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> None:
    """Write a trained scorer, whole or not at all.

    Args:
        path: The file; an older one is replaced.
        fitted: The regressor.
        header: What the bundle says of itself, JSON values only. `models` holds for each backbone in order at least
            `name` (its text form) and `fingerprint`.
        extras: Arrays to keep beside, by name; they mean nothing here.

    Raises:
        BundleError: the header's models do not fit the regressor.
    """
    _check_models(path, header, fitted)
    tensors, values = pack(fitted)
    tensors |= {f"{_EXTRA}{name}": np.ascontiguousarray(value) for name, value in extras.items()}
    document = {"digest": UNSEALED, "schema": BUNDLE_SCHEMA, "header": dict(header), "regressor": values}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    put_whole(path, sealed(save(tensors, metadata={BUNDLE_KEY: text})))


def load_bundle(path: Path) -> Bundle:
    """Read a trained scorer.

    Raises:
        BundleError: there is no such file, or it is damaged, of another kind or of another version.
    """
    note = ""
    with refusing_damage(path):
        document, tensors = _read(path)
        extras = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_EXTRA)}
        fitted = unpack(tensors, document["regressor"])
        header = document["header"]
        if not has_digest(document):
            note = (
                f"{path}: of an older version, without a digest by which damage is noticed; "
                "run `vqa train` again to have one"
            )
    _check_models(path, header, fitted)
    return Bundle(header, fitted, {name.removeprefix(_EXTRA): value for name, value in extras.items()}, note)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the JSON and all tensors of a file that is as it was written."""
    with safe_open(path, framework="numpy") as file:
        document = parse_document(path, file.metadata())
        check_digest(path, document)
        return document, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # has no iterator of its own


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
