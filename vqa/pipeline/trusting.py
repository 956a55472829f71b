"""What a bundle says of itself, checked before anything is done with it: it may come from a stranger."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa.cache.store import StoredCandidate
from vqa.errors import BundleError
from vqa.extract.probe import probes_agree
from vqa.extract.rules import tell_other_rules
from vqa.extract.spec import DEFAULT_VIEW, PRECISIONS, VIEWS, ModelSpec
from vqa.records import is_imported
from vqa.train.bundle import Bundle

TRAINING_MOS = "training_mos"
"""Name of a bundle's array of all MOS it was trained on, ascending; float64, shape (N,)."""
TRAINING_ROWS = "training_rows"
"""Name of a bundle's array of hashes of the features it was trained on, as of `row_hashes`, ascending."""
_MOST_FRAMES = 1 << 16


def check_told(bundle: Bundle) -> None:
    """Refuse a bundle that does not say what scoring needs, says it in another form, or is of other decoding rules.

    Raises:
        BundleError: names what is amiss.
    """
    header = bundle.header
    try:
        for name in ("scale", "mos_range"):
            low, high = header[name]
            _require(math.isfinite(low) and math.isfinite(high), name)
        _require(isinstance(header["labels"], str), "labels")
        _require(isinstance(header["videos"], int), "videos")
        _require(isinstance(header.get("method", {}), dict), "method")
        for entry in header["models"]:
            _check_model(entry)
        known = bundle.extras[TRAINING_MOS]
        _require(known.dtype == np.float64 and known.ndim == 1 and len(known) > 0, TRAINING_MOS)
        _require(np.isfinite(known).all() and (np.diff(known) >= 0).all(), TRAINING_MOS)
        hashes = bundle.extras[TRAINING_ROWS]
        _require(hashes.dtype == np.uint64 and hashes.ndim == 1, TRAINING_ROWS)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise BundleError(f"the bundle's header can't be used ({error}); train again") from error
    for entry in (entry for entry in header["models"] if not is_imported(entry["name"])):
        if told := tell_other_rules(entry["details"]):
            raise BundleError(
                f"the bundle was trained on features of {told}; bring it up to date with `vqa extract`, `vqa select` "
                "and `vqa train`"
            )


def has_trained_probe(bundle: Bundle, name: str, stored: StoredCandidate) -> bool:
    """Return whether a cache's model saw the probe clip as the bundle's model of that name did in training.

    The cache may call it otherwise, where its weights are a file that lies elsewhere.
    """
    before = bundle.extras.get(name, np.empty(0)).tolist()
    return probes_agree(stored.probe, before, precision=stored.record.text("precision"))


def row_hashes(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.uint64]:
    """Return a hash of each video's time-averaged features, shape (N,): the first 8 bytes of their SHA-256.

    By it a bundle tells whether it was trained on a video, wherever the video lies and whatever it is called.

    Args:
        blocks: Of all backbones in the bundle's order, each of shape (N, D).
    """
    joined = np.concatenate(blocks, axis=1, dtype="<f4")
    digests = (hashlib.sha256(row.tobytes()).digest()[:8] for row in joined)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


def _check_model(entry: Mapping[str, Any]) -> None:
    """Refuse a backbone whose details are not those of one."""
    if is_imported(entry["name"]):
        return
    weight = entry.get("weight", 0.0)
    _require(type(weight) in (int, float) and math.isfinite(weight), "weight")
    details, spec = entry["details"], entry["details"]["spec"]
    _require(isinstance(entry["weights_sha256"], str), "weights_sha256")
    versions = entry.get("versions", {})
    _require(all(isinstance(version, str) for version in versions.values()), "versions")
    generation = details.get("generation", 0)
    _require(type(generation) is int and generation >= 0, "generation")
    _require(details["precision"] in PRECISIONS, "precision")
    _require(spec.keys() <= {field.name for field in fields(ModelSpec)}, "spec")
    numbers = {"frames": _MOST_FRAMES, "clips": _MOST_FRAMES}
    for name, value in spec.items():
        _require(type(value) is (int if name in numbers else str), name)
        _require(name not in numbers or 0 <= value <= numbers[name], name)
    _require(spec["backend"] and spec["name"], "spec")
    _require(spec.get("view", DEFAULT_VIEW) in VIEWS, "view")


def _require(holds: object, name: str) -> None:
    if not holds:
        raise ValueError(f"its {name} is of another form")
