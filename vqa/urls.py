"""Places of files: local paths, and URLs of object stores and whatever else fsspec reaches.

A URL costs its library's import; a local path, `file://` included, never does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from vqa.errors import StorageError

if TYPE_CHECKING:
    from vqa.remote import RemotePath

    Place = Path | RemotePath
else:
    Place = Path  # for whoever asks for annotations at run time; a remote path does what is asked of it here

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(text: str) -> bool:
    """Return whether a text names a place by its URL; `C:/clips` is none."""
    return _URL.match(text) is not None


def place_of(text: str | Place) -> Place:
    """Return the place that a text names: a local path as such, a URL as a path of its own kind.

    Args:
        text: A path; `file:///folder`, which is one too; or a URL such as `s3://bucket/folder`.

    Raises:
        StorageError: the URL's protocol is not known, or the package that speaks it is not installed.
    """
    if not isinstance(text, str):
        return text
    if not is_url(text):
        return Path(text)
    if text.lower().startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    try:
        from vqa.remote import remote_path
    except ImportError as error:
        raise StorageError(
            f"{text}: URLs need packages that are not installed ({error.name}); run pip install 'vqa[s3]'"
        ) from error
    return remote_path(text)
