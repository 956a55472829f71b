"""Examine: whether a candidate can run on this machine, and which precision an extraction takes for it, and why."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace

import torch

from vqa.cache.store import FeatureStore
from vqa.errors import VqaError
from vqa.extract.backends import find_backend
from vqa.extract.backends.hub import weights_from
from vqa.extract.machine import Device
from vqa.extract.model import load_network
from vqa.extract.places import weights_are_here, weights_path
from vqa.extract.precision import MIN_COSINE, precision_cosine
from vqa.extract.spec import Candidate, InputSpec, ModelSpec, Plan, plan_candidate
from vqa.pipeline.candidates import held_generation, held_generations, held_precision

UNUSABLE = "unusable"
_SECONDS = 60.0
"""After so long no further precision is measured: a user waits for all of them."""


@dataclass(frozen=True)
class ModelState:
    """A candidate on this machine."""

    spec: str
    weights: str
    """`here`, `not here`, `none needed`, `only the backend knows` or `unusable`."""
    precision: str
    """What `auto` takes; empty where that is not known."""
    reason: str


class Examiner:
    """Finds out of candidates whether their weights are here, and which precision an extraction takes, and why."""

    def __init__(self, precision: str, device: Device, store: FeatureStore | None) -> None:
        self.precision, self.device, self.store = precision, device, store
        self.deadline = time.monotonic() + _SECONDS

    def examine(self, spec: ModelSpec) -> ModelState:
        """Return the state of one candidate."""
        try:
            plan = find_backend(spec.backend).describe(spec)
            candidate = self._newest(plan_candidate(spec, plan, "float32"))
            weights = _weights(spec, plan)
            precision, reason = self._known(candidate) or self._measured(candidate, weights)
        except VqaError as error:
            return ModelState(str(spec), UNUSABLE, "", str(error).removeprefix(f"{spec}: "))
        return ModelState(str(spec), weights, precision, reason)

    def _newest(self, candidate: Candidate) -> Candidate:
        """Return the candidate in the generation that an extraction goes on with."""
        if self.store is None:
            return candidate
        return replace(candidate, generation=held_generation(candidate, self.store, self._generations))

    @functools.cached_property
    def _generations(self) -> tuple[int, ...]:
        return () if self.store is None else held_generations(self.store)

    def _known(self, candidate: Candidate) -> tuple[str, str] | None:
        """Return the precision and the reason where nothing has to be measured for it, in the order that counts."""
        if not isinstance(candidate.input, InputSpec):
            return "float32", "measures frames as they are"
        if self.precision != "auto":
            return self.precision, "set in vqa.toml"
        if self.store is not None and (held := held_precision(candidate, self.store)):
            return held[0], f"as in the cache ({held[1]} videos)"
        if not self.device.bfloat16:
            return "float32", f"{self.device.name} has no native bfloat16 ({self.device.capability})"
        return None

    def _measured(self, candidate: Candidate, weights: str) -> tuple[str, str]:
        """Measure a candidate's precision as an extraction does, if its weights are here and time is left.

        Raises:
            WeightsError: what is here is damaged or does not fit.
        """
        if weights != "here":
            return "", f"not measured: weights {weights}"
        if time.monotonic() > self.deadline:
            return "", "not measured: no time left; `vqa extract` measures it"
        try:
            with weights_from(offline=True):
                network = load_network(candidate)
            cosine = precision_cosine(candidate, network, torch.device(self.device.name))
        except RuntimeError as error:  # out of memory, for one
            return "", f"not measured: {' '.join(str(error).split())[:160]}"
        if cosine >= MIN_COSINE:
            return "bfloat16", f"cosine to float32 {cosine:.4f} >= {MIN_COSINE}"
        return "float32", f"cosine of bfloat16 to it {cosine:.4f} < {MIN_COSINE}"


def _weights(spec: ModelSpec, plan: Plan) -> str:
    """Say whether a candidate's weights are on this machine."""
    path = weights_path(spec, plan.weights_id)
    if path is None:
        return "none needed" if plan.weights_id == "none" else "only the backend knows"
    return "here" if weights_are_here(path) else "not here"
