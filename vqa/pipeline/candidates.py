"""From a model spec to a loaded candidate: its plan, its precision, its weights."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from vqa.cache.store import FeatureStore
from vqa.errors import WeightsError
from vqa.extract.backends import find_backend, weights_sha256
from vqa.extract.model import Model, load_network
from vqa.extract.precision import choose_precision, native_bfloat16
from vqa.extract.spec import PRECISIONS, Candidate, ModelSpec, plan_candidate

_LIBRARIES = ("vqa", "torch", "torchvision", "timm", "open_clip_torch", "av", "numpy")


def library_versions() -> Mapping[str, str]:
    """Return the versions of the libraries that take part in computing features."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


@dataclass(eq=False)
class CandidateLoader:
    """Plans, settles and loads candidates; remembers which could not be had, and why."""

    store: FeatureStore
    precision: str
    """`auto`, `float32` or `bfloat16`."""
    device: torch.device
    unavailable: dict[str, str] = field(default_factory=dict)
    _networks: dict[str, nn.Module] = field(default_factory=dict)

    def plan(self, specs: Sequence[ModelSpec]) -> list[Candidate]:
        """Join each spec with what its backend knows; the precision is still open.

        Raises:
            UnknownModelError: a name that does not exist.
        """
        candidates = []
        for spec in specs:
            try:
                plan = find_backend(spec.backend).describe(spec)
            except WeightsError as error:
                self.unavailable[str(spec)] = str(error)
            else:
                candidates.append(plan_candidate(spec, plan, "float32"))
        return candidates

    def settle(self, candidate: Candidate) -> Candidate | None:
        """Choose the candidate's precision; `auto` keeps to what the cache holds, else measures.

        Returns:
            The candidate, or None where measuring it needs weights that can't be had.
        """
        if self.precision != "auto":
            return replace(candidate, precision=self.precision)
        either = [replace(candidate, precision=precision) for precision in PRECISIONS]
        held = [len(self.store.keys(entry.fingerprint)) for entry in either]
        if any(held):
            return either[held.index(max(held))]
        if not native_bfloat16(self.device):
            return candidate
        network = self._network(candidate)
        if network is None:
            return None
        return replace(candidate, precision=choose_precision(candidate, network, self.device))

    def load(self, candidate: Candidate) -> Model | None:
        """Load a settled candidate, or return None and remember why it can't be had."""
        network = self._network(candidate)
        if network is None:
            return None
        return Model(candidate, network, weights_sha256(network), self.device)

    def _network(self, candidate: Candidate) -> nn.Module | None:
        name = str(candidate)
        if name not in self._networks and name not in self.unavailable:
            try:
                self._networks[name] = load_network(candidate, self.device)
            except WeightsError as error:
                self.unavailable[name] = str(error)
        return self._networks.get(name)
