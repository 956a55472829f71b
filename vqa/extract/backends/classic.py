"""Quality statistics of full-resolution frames: candidates without weights, computed by this package itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqa.errors import UnknownModelError
from vqa.extract.backends import Backend, suggest
from vqa.extract.spec import ModelSpec, NativeInput, Plan

if TYPE_CHECKING:
    from torch import nn

_NAME = "classic"
_NO_WEIGHTS = "none"
_RUNS = {
    "nss": 1,
    "siti": 3,  # two pairs: every other frame being a repeat shows as one half frozen, flicker as a second difference
}


def list_names() -> tuple[str, ...]:
    """Return the names of all statistics."""
    return tuple(_RUNS)


def describe(spec: ModelSpec) -> Plan:
    """Return how many consecutive frames a statistic looks at.

    Raises:
        UnknownModelError: there is no such statistic, or the spec asks for weights.
    """
    return Plan(NativeInput(_RUNS[_known_name(spec)]), _NO_WEIGHTS)


def load(spec: ModelSpec) -> nn.Module:
    """Return a statistic as a network, in evaluation mode.

    Raises:
        UnknownModelError: there is no such statistic, or the spec asks for weights.
    """
    name = _known_name(spec)
    from vqa.extract.classic.nss import SceneStatistics
    from vqa.extract.classic.siti import SpatialTemporalInformation

    networks = {"nss": SceneStatistics, "siti": SpatialTemporalInformation}
    return networks[name]().eval()


def _known_name(spec: ModelSpec) -> str:
    """Return the spec's name if there is such a statistic."""
    if spec.name not in _RUNS:
        raise UnknownModelError(f"{spec}: there is no statistic {spec.name!r}; {suggest(spec.name, list_names())}")
    if spec.weights:
        raise UnknownModelError(f"{spec}: statistics have no weights; write {_NAME}:{spec.name}")
    return spec.name


BACKEND = Backend(name=_NAME, list_names=list_names, describe=describe, build=load, load=load)
