"""The methods there are, by name: which paths from features to score they take, and how backbones are weighted."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from vqa.errors import DegenerateDataError
from vqa.train.settings import TrainSettings
from vqa.train.weights import WEIGHT_RULES

FUSION_RULES = ("srocc", *WEIGHT_RULES)
"""How w_n comes about: from each backbone's own SROCC on rows left out, or from its DBI."""
DEFAULT_METHOD = "blend"


@dataclass(frozen=True)
class Method:
    """One way to train.

    Raises:
        DegenerateDataError: there is no such fusion rule.
    """

    name: str
    title: str
    """One line for tables."""
    settings: TrainSettings
    fusion: str
    """One of `FUSION_RULES`."""

    def __post_init__(self) -> None:
        if self.fusion not in FUSION_RULES:
            raise DegenerateDataError(f"there is no fusion rule {self.fusion!r}; use one of: {', '.join(FUSION_RULES)}")


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("blend", "network, kernel and linear path, averaged", TrainSettings(), "srocc"),
            Method(
                "ptm-vqa",
                "PTM-VQA's network alone, weights by inverse DBI",
                TrainSettings(paths=("network",), scaling="standard", restarts=1),
                "inverse",
            ),
        )
    }
)
"""`blend` is the default; `ptm-vqa` is the paper's structure and nothing beside it, with our constants."""


def find_method(name: str, overrides: Mapping[str, Any] = MappingProxyType({})) -> Method:
    """Return a method, with some of its settings replaced.

    Args:
        name: As in `METHODS`.
        overrides: `fusion`, or fields of `TrainSettings` by their names.

    Raises:
        DegenerateDataError: there is no such method, or a value is out of range.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"use one of: {', '.join(METHODS)}"
        raise DegenerateDataError(f"there is no method {name!r}; {hint}")
    method, known = METHODS[name], {field.name for field in fields(TrainSettings)}
    settings = {key: value for key, value in overrides.items() if key in known}
    return replace(
        method,
        settings=replace(method.settings, **settings),
        fusion=overrides.get("fusion", method.fusion),
    )
