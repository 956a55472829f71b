"""Small pieces of HTML for notebooks, escaped whatever stands in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

_TABLE = Environment(autoescape=True).from_string(
    "<table>"
    "{% if caption %}<caption>{{ caption }}</caption>{% endif %}"
    "<thead><tr>{% for name in columns %}<th scope=col>{{ name }}</th>{% endfor %}</tr></thead>"
    "<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody>"
    "</table>"
)


def table_html(columns: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """Return a table of text."""
    return _TABLE.render(columns=columns, rows=rows, caption=caption)


_CURVE = Environment(autoescape=True).from_string(
    "<figure><figcaption>{{ caption }}, on the scale {{ low }} (worst) to {{ high }} (best)</figcaption>"
    '<svg viewBox="0 0 600 160" width="600" role="img" aria-label="{{ caption }}">'
    '<rect x="0" y="0" width="600" height="160" fill="none" stroke="currentColor" stroke-opacity=".3"/>'
    '{% for line in lines %}<polyline fill="none" stroke="currentColor" stroke-width="2" points="{{ line }}"/>'
    "{% endfor %}"
    "</svg></figure>"
)
"""A curve over time; a gap parts it into lines."""


def curve_html(
    seconds: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    scale: tuple[float, float],
    caption: str,
    lowest: Sequence[Sequence[str]],
) -> str:
    """Return a curve over time, and a table of its lowest places.

    Args:
        seconds: Shape (N,), ascending.
        values: Shape (N,); NaN makes a gap.
        scale: Lowest and highest value drawn.
        caption: What it is.
        lowest: Rows of the table: time and value.
    """
    across = 600 * seconds / max(float(seconds[-1]) if len(seconds) else 0.0, 1e-9)
    up = 160 - 160 * np.clip((values - scale[0]) / ((scale[1] - scale[0]) or 1.0), 0, 1)
    known = np.isfinite(values)
    runs = np.split(np.arange(len(values)), np.flatnonzero(np.diff(known)) + 1)
    lines = [" ".join(f"{across[i]:.1f},{up[i]:.1f}" for i in run) for run in runs if len(run) and known[run[0]]]
    drawn = _CURVE.render(caption=caption, low=f"{scale[0]:g}", high=f"{scale[1]:g}", lines=lines)
    return drawn + table_html(("worst moments", "score"), lowest)
