"""JSON files that later commands read back: each has a SHA-256 of its content, so that no flipped digit is believed.

It is not over the bytes: whoever lays the file out anew, with other blanks, changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqa.errors import MALFORMED, WorkspaceError
from vqa.files import write_text

EVALUATION_FILE = "evaluation.json"
"""The record of what `vqa evaluate` measured, in a folder of results."""
EVALUATION_SCHEMA = 2
_DIGEST = "sha256"
_SCHEMA = "schema"


def write_document(file: Path, schema: int, content: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Write a document whole or not at all.

    Args:
        file: An older one is replaced.
        schema: Of its content.
        content: What JSON takes.
        indent: Blanks before what is inside; None for a file on one line.

    Raises:
        OSError: it can't be written.
    """
    values = json.loads(json.dumps({_SCHEMA: schema, **content}))  # as it will be read
    document = {_DIGEST: _digest(values), **values}
    separators = (",", ":") if indent is None else None
    write_text(file, json.dumps(document, indent=indent, separators=separators) + "\n")


def read_document(file: Path, *, digest_since: int) -> dict[str, Any]:
    """Read a document that is as it was written.

    Args:
        file: A regular file.
        digest_since: The first schema with a digest; documents of older ones are read as they are.

    Raises:
        OSError: it can't be read.
        LookupError, TypeError, ValueError, RecursionError: it is damaged.
    """
    document = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise TypeError("it is no table")
    said, schema = document.pop(_DIGEST, None), document.get(_SCHEMA, 0)
    if said is None and schema < digest_since:
        return document
    if said != _digest(document):
        raise ValueError("its content is not what was written")
    return document


def read_evaluation(folder: Path) -> dict[str, Any] | None:
    """Return the record of the last evaluation in a folder of results, None where there is none.

    Raises:
        WorkspaceError: it is damaged, or of an older version, which had its figures in other files.
    """
    file = folder / EVALUATION_FILE
    if not file.is_file():
        return None
    try:
        document = read_document(file, digest_since=EVALUATION_SCHEMA)
        if document["schema"] != EVALUATION_SCHEMA:
            raise ValueError("it is of another version")
    except (OSError, *MALFORMED) as error:
        raise WorkspaceError(
            f"{folder.name}/{file.name}: is damaged or of another version; run `vqa evaluate` again"
        ) from error
    return document


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
