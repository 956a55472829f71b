"""From a model spec to a loaded candidate: its plan, its precision, its weights."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from vqa.cache.store import FeatureStore
from vqa.errors import ProbeError, WeightsError
from vqa.extract.backends import find_backend, weights_sha256
from vqa.extract.model import Model, cast_matrices, load_network
from vqa.extract.precision import choose_precision, native_bfloat16, probe_input
from vqa.extract.probe import probe_features
from vqa.extract.spec import DEFAULT_VIEW, PRECISIONS, Candidate, ModelSpec, NativeInput, plan_candidate

_log = logging.getLogger(__name__)


def prepare_network(network: nn.Module, candidate: Candidate, device: torch.device) -> None:
    """Make a loaded network as fast as it gets without another number, on the device it will run on."""
    if candidate.precision == "bfloat16" and device.type == "cpu":
        cast_matrices(network, candidate, probe_input(candidate)[:2])


def held_generations(store: FeatureStore) -> tuple[int, ...]:
    """Return the generations that the cache has of any candidate, the highest first."""
    return tuple(sorted({stored.record.generation for stored in store.candidates()}, reverse=True))


def held_generation(candidate: Candidate, store: FeatureStore, generations: Sequence[int]) -> int:
    """Return the highest generation that the cache holds of a candidate, in whatever precision; 0 if it has none."""
    for generation in generations:
        older = (replace(candidate, precision=precision, generation=generation) for precision in PRECISIONS)
        if any(store.keys(one.fingerprint) for one in older):
            return generation
    return 0


def held_precision(candidate: Candidate, store: FeatureStore) -> tuple[str, int] | None:
    """Return the precision in which the cache holds most videos of a candidate, and how many; None if it has none.

    Its generation counts: others are other candidates.
    """
    videos = {
        precision: len(store.keys(replace(candidate, precision=precision).fingerprint)) for precision in PRECISIONS
    }
    most = max(PRECISIONS, key=videos.__getitem__)  # the first of equals
    return (most, videos[most]) if videos[most] else None


@dataclass(eq=False)
class CandidateLoader:
    """Plans, settles and loads candidates; remembers which could not be had, and why."""

    store: FeatureStore
    precision: str
    """`auto`, `float32` or `bfloat16`."""
    device: torch.device
    unavailable: dict[str, str] = field(default_factory=dict)
    _measured: dict[str, nn.Module] = field(default_factory=dict)
    """Networks in float32, on their way to be models."""
    _models: dict[tuple[str, str], Model] = field(default_factory=dict)
    """By backbone and precision: candidates that differ in their view alone share one network."""

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
        """Choose the candidate's generation and precision.

        The generation is the highest that the cache holds; `auto` precision keeps to what it holds, else measures.

        Returns:
            The candidate, or None where measuring it needs weights that can't be had.
        """
        candidate = replace(candidate, generation=held_generation(candidate, self.store, self._generations))
        if isinstance(candidate.input, NativeInput):
            return candidate
        if self.precision != "auto":
            _log.info("%s: %s, as asked for", candidate, self.precision)
            return replace(candidate, precision=self.precision)
        if held := held_precision(candidate, self.store):
            _log.info("%s: %s, as the cache holds it of %d videos", candidate, *held)
            return replace(candidate, precision=held[0])
        if not native_bfloat16(self.device):
            _log.info("%s: float32, since bfloat16 is not native to this device", candidate)
            return candidate
        network = self._network(candidate)
        if network is None:
            return None
        precision = choose_precision(candidate, network, self.device)
        _log.info("%s: %s, as its features of the probe frames in both say", candidate, precision)
        return replace(candidate, precision=precision)

    def load(self, candidate: Candidate) -> Model | None:
        """Load a settled candidate, or return None and remember why it can't be had."""
        name = (_backbone(candidate), candidate.precision)
        if name in self._models:
            self._measured.pop(_backbone(candidate), None)
            return replace(self._models[name], candidate=candidate)
        network = self._network(candidate)
        if network is None:
            return None
        del self._measured[_backbone(candidate)]
        model = Model(candidate, network, weights_sha256(network))
        prepare_network(network, candidate, self.device)
        self._models[name] = model
        return model

    def probe(self, model: Model) -> tuple[float, ...] | None:
        """Run a loaded candidate on the probe clip, or return None and remember why it can't be used."""
        try:
            features = probe_features(model.candidate, model.network, self.device)
        except ProbeError as error:
            self.unavailable[str(model.candidate)] = str(error)
            return None
        return tuple(features.tolist())

    @functools.cached_property
    def _generations(self) -> tuple[int, ...]:
        return held_generations(self.store)

    def _network(self, candidate: Candidate) -> nn.Module | None:
        """Return a candidate's network in float32; it is asked for twice where its precision is measured."""
        backbone = _backbone(candidate)
        if backbone not in self._measured and str(candidate) not in self.unavailable:
            began = time.perf_counter()
            try:
                self._measured[backbone] = load_network(candidate)
                _log.info("%s: network loaded in %.2f s", candidate, time.perf_counter() - began)
            except WeightsError as error:
                self.unavailable[str(candidate)] = str(error)
        return self._measured.get(backbone)


def _backbone(candidate: Candidate) -> str:
    """Return what decides a candidate's network: its name without view and clips."""
    return str(replace(candidate.spec, view=DEFAULT_VIEW, clips=0))
