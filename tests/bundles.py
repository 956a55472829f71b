"""Bundles that were changed, and those of an older version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.numpy import save

from vqa.train.header import UNSEALED, sealed


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change the JSON of a bundle, or its tensors, and give it the digest of what it is then."""
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["vqa_bundle"]) | {"digest": UNSEALED}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(document, tensors)
    path.write_bytes(sealed(save(tensors, metadata={"vqa_bundle": json.dumps(document)})))


def without_digest(path: Path) -> None:
    """Make of a bundle what it was before bundles had digests."""
    rewrite(path, lambda document, _: (document.pop("digest"), document.update(schema=3)))
