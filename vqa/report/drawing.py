"""Parts that several figures share: numbers as short lists, names as short texts, dots in the colours of ratings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLOURS = "Viridis"
"""From dark for the lowest to bright for the highest; told apart by the colour-blind, and in grey."""
EDGE = {"color": "#808080", "width": 0.5}
"""Keeps the brightest marks visible on a white page, and the darkest on a black one."""
_LONGEST_NAME = 60
_MANY_DOTS = 300


def numbers(values: ArrayLike, digits: int) -> list[float | None]:
    """Return numbers with so many digits after the point; None for what is not finite."""
    rounded = np.round(np.asarray(values, dtype=np.float64), digits).tolist()
    return [value if math.isfinite(value) else None for value in rounded]


def digits_for(values: NDArray[np.floating]) -> int:
    """Return the digits after the point that tell a few thousandths of the values' range apart.

    1 to 5 -> 3        0 to 100 -> 2
    """
    span = float(np.ptp(values)) if len(values) else 0.0
    return int(np.clip(3 - math.floor(math.log10(span / 2)), 0, 6)) if span > 0 and math.isfinite(span) else 2


def short(name: str) -> str:
    """Return a name that fits beside a dot: a long one loses its middle."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:39]}…{name[-20:]}"


def dots(count: int) -> dict[str, Any]:
    """Return markers for so many dots; many are small, and show each other through."""
    many = count > _MANY_DOTS
    return {"size": 6 if many else 9, "opacity": 0.75 if many else 0.9}


def titled(text: str, **more: Any) -> dict[str, Any]:
    """Return an axis with a title."""
    return {"title": {"text": text}, **more}


def shorts(names: Sequence[str]) -> list[str]:
    """Return names that fit beside dots."""
    return [short(name) for name in names]
