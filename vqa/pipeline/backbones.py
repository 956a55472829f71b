"""A bundle's backbones: planned as they were for training, loaded when they are needed, refused where they differ."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa.errors import BundleError, WeightsError
from vqa.extract.backends import find_backend, weights_sha256
from vqa.extract.model import Model, load_network
from vqa.extract.probe import beyond_rounding, probe_features
from vqa.extract.spec import Candidate, ModelSpec, plan_candidate
from vqa.pipeline.candidates import prepare_network
from vqa.pipeline.generations import NEW_GENERATION, tell_distance, tell_versions
from vqa.records import is_imported
from vqa.train.bundle import Bundle


class Backbones:
    """The K backbones of a bundle, in its order; the weights of one are read when it is first asked for.

    Args:
        bundle: Checked by `check_told`.
        device: Where they will run.
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self._bundle, self._device = bundle, device
        self._models: dict[int, Model] = {}

    def __len__(self) -> int:
        return len(self._bundle.names)

    @functools.cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of them, as this installation would run them.

        Raises:
            BundleError: features would be others than those the bundle was trained on, or can't be computed.
        """
        imported = [name for name in self._bundle.names if is_imported(name)]
        if imported:
            raise BundleError(
                f"{', '.join(imported)}: imported features can't be computed for a new video; "
                "select candidates that were extracted, and train again"
            )
        return tuple(_plan(entry) for entry in self._bundle.header["models"])

    def load(self, place: int) -> Model:
        """Return one of them, ready to run.

        Raises:
            BundleError: its numbers are no longer those the bundle was trained on.
            ProbeError: its features are not finite.
            WeightsError: its weights can't be had, or are others.
        """
        if place not in self._models:
            self._models[place] = self._load(place)
        return self._models[place]

    def probe(self, place: int) -> NDArray[np.float32] | None:
        """Return one's features of the probe clip in training, None where they are not known."""
        found = self._bundle.extras.get(self._bundle.names[place])
        return None if found is None else np.asarray(found, np.float32)

    def _load(self, place: int) -> Model:
        candidate, entry = self.candidates[place], self._bundle.header["models"][place]
        network = load_network(candidate)
        digest = weights_sha256(network)
        if digest != entry["weights_sha256"]:
            raise WeightsError(
                f"{candidate}: its weights (SHA-256 {digest[:12]}...) are not those the bundle was trained "
                f"with ({entry['weights_sha256'][:12]}...); fetch those, or train again"
            )
        prepare_network(network, candidate, self._device)
        self._check_probe(place, candidate, probe_features(candidate, network, self._device))
        return Model(candidate, network, digest)

    def _check_probe(self, place: int, candidate: Candidate, found: NDArray[np.float32]) -> None:
        """Refuse a backbone whose numbers are no longer those the bundle was trained on."""
        before = self.probe(place)
        distance = None if before is None else beyond_rounding(found, before, precision=candidate.precision)
        if distance is not None:
            versions = self._bundle.header["models"][place].get("versions", {})
            raise BundleError(
                f"{candidate}: its numbers changed, features of the probe clip differ from those the bundle was "
                f"trained on {tell_distance(candidate, distance)}; {tell_versions(versions)}, "
                f"or start a new generation with {NEW_GENERATION}, and select and train again"
            )


def _plan(entry: Mapping[str, Any]) -> Candidate:
    """Return one entry's candidate; one whose fingerprint differs is refused, never guessed at."""
    details = entry["details"]
    spec = ModelSpec(**details["spec"])
    plan = find_backend(spec.backend).describe(spec)
    candidate = replace(plan_candidate(spec, plan, details["precision"]), generation=details.get("generation", 0))
    if candidate.fingerprint != entry["fingerprint"]:
        raise BundleError(
            f"{spec}: this installation would compute other features (fingerprint {candidate.fingerprint}, the "
            f"bundle has {entry['fingerprint']}); train again, or use the versions named in the bundle"
        )
    return candidate
