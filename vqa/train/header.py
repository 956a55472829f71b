"""What a bundle says of itself: JSON in the file's header, which can be read without its numbers and without torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vqa.errors import MALFORMED, BundleError

BUNDLE_SCHEMA = 3
BUNDLE_KEY = "vqa_bundle"
"""Where the file's metadata keep the JSON."""


def read_header(path: Path) -> Mapping[str, Any]:
    """Read what a bundle says of itself; whether it fits the bundle's numbers is not looked at.

    Raises:
        BundleError: as of `vqa.train.bundle.load_bundle`.
    """
    with refusing_damage(path):
        with safe_open(path, framework="numpy") as file:
            header = parse_document(path, file.metadata())["header"]
        if not isinstance(header, dict):
            raise TypeError("the header is no table")
        return header


def parse_document(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the JSON in a bundle's metadata.

    Raises:
        BundleError: it is of another version.
        LookupError, TypeError, ValueError: it is none.
    """
    document: dict[str, Any] = json.loads((metadata or {})[BUNDLE_KEY])
    if document["schema"] != BUNDLE_SCHEMA:
        raise BundleError(
            f"{path}: is of schema {document['schema']}, this version reads {BUNDLE_SCHEMA}; "
            "use the version it was made with"
        )
    return document


@contextlib.contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Turn what reading a bundle raises into one line.

    Raises:
        BundleError: there is no such file, or it is damaged or of another kind.
    """
    if not path.is_file():
        raise BundleError(f"{path}: there is no bundle here; run `vqa train` first")
    try:
        yield
    except (SafetensorError, OSError, *MALFORMED) as error:
        raise BundleError(
            f"{path}: is no bundle, or a damaged one ({_reason(error)}); run `vqa train` again"
        ) from error


def _reason(error: Exception) -> str:
    """Say in a few words what could not be read."""
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"[:120]
