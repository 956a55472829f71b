"""A figure as JSON that may stand inside a page: no tag can end there, and no text in it becomes a link."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from vqa.escaping import for_terminal

_HARMLESS = re.compile(r"&lt;(/?(?:br|b|i|sub|sup|extra))&gt;")
"""Tags of plotly's own mark-up that carry no attributes, and so no links and no styles."""


def figure_json(figure: Mapping[str, Any]) -> str:
    """Return `data` and `layout` of a figure as JSON for a `<script>` element.

    Numbers that are not finite become null. plotly reads its own mark-up in every text, links among it: texts are
    escaped for it, but for tags without attributes such as `<b>` and `<br>`. A template of the layout is left out,
    since colours and fonts are the page's.
    """
    layout = {name: value for name, value in figure.get("layout", {}).items() if name != "template"}
    plain = _plain({"data": figure["data"], "layout": layout})
    text = json.dumps(plain, allow_nan=False, separators=(",", ":"))  # all but ASCII is escaped there
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return _inert(value)
    return value


def _inert(text: str) -> str:
    escaped = for_terminal(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _HARMLESS.sub(r"<\1>", escaped)
