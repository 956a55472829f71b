"""What a bundle says of itself: JSON in the file's header, which can be read without its numbers and without torch.

The JSON begins with a digest: the SHA-256 of the file's bytes, with zeros in its own place. So a bit that flips
anywhere, be it in a tensor, in the JSON, in the layout or in the digest, is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vqa.errors import MALFORMED, BundleError

BUNDLE_SCHEMA = 4
BUNDLE_KEY = "vqa_bundle"
"""Where the file's metadata keep the JSON."""
UNSEALED = "0" * 64
"""Stands in place of the digest while it is computed."""
_SCHEMA_WITHOUT_DIGEST = 3
_PARTS = {"header", "regressor", "schema"}
_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_header(path: Path) -> Mapping[str, Any]:
    """Read what a bundle says of itself; damage anywhere is found, but not whether the header fits the numbers.

    Raises:
        BundleError: as of `vqa.train.bundle.load_bundle`.
    """
    with refusing_damage(path):
        with safe_open(path, framework="numpy") as file:
            document = parse_document(path, file.metadata())
        check_digest(path, document)
        header = document["header"]
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
    if document["schema"] not in (BUNDLE_SCHEMA, _SCHEMA_WITHOUT_DIGEST):
        raise BundleError(
            f"{path}: is of schema {document['schema']}, this version reads {BUNDLE_SCHEMA}; "
            "use the version it was made with"
        )
    if document.keys() != (_PARTS | {"digest"} if has_digest(document) else _PARTS):
        raise ValueError("its parts are others than those of its schema")
    return document


def has_digest(document: Mapping[str, Any]) -> bool:
    """Return whether a bundle's JSON is of a version that has a digest."""
    return bool(document["schema"] == BUNDLE_SCHEMA)


def sealed(content: bytes) -> bytes:
    """Return a bundle's bytes with their digest in place of the zeros that stand there."""
    return content.replace(UNSEALED.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def check_digest(path: Path, document: Mapping[str, Any]) -> None:
    """Compare a file with the digest in its JSON, if it is of a version that has one.

    Raises:
        OSError: the file can't be read.
        TypeError, ValueError: the digest is none, or the file is not as it was written.
    """
    if not has_digest(document):
        return
    said = document["digest"]
    if not _DIGEST.fullmatch(said):
        raise ValueError("its digest is none")
    unsealed = path.read_bytes().replace(said.encode(), UNSEALED.encode(), 1)
    if hashlib.sha256(unsealed).hexdigest() != said:
        raise ValueError("its bytes are not those that were written")


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
