"""Places of files: local paths, and URLs of object stores.

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

_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]+)://")
_LOCAL = ("file", "local")
_PUT_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "memory")
"""Protocols by which a file is there whole or not at all, and whose listings tell sizes and times; `memory` lasts as
long as the process."""


def is_url(text: str) -> bool:
    """Return whether a text names a place by its URL; `C:/clips` is none."""
    return _URL.match(text) is not None


def place_of(text: str | Place) -> Place:
    """Return the place that a text names: a local path as such, a URL as a path of its own kind.

    Args:
        text: A path; `file:///folder`, which is one too; or a URL such as `s3://bucket/folder`.

    Raises:
        StorageError: the URL is not one of an object store, or the package that speaks its protocol is not installed.
    """
    if not isinstance(text, str):
        return text
    url = _URL.match(text)
    if url is None:
        return Path(text)
    if url["protocol"].lower() in _LOCAL:
        return Path(unquote(urlsplit(text).path))
    _check_store(text, url["protocol"])
    try:
        from vqa.remote import remote_path
    except ImportError as error:
        raise StorageError(
            f"{text}: URLs need packages that are not installed ({error.name}); run pip install 'vqa[s3]'"
        ) from error
    return remote_path(text)


def _check_store(url: str, protocol: str) -> None:
    """Refuse what would break the promises made of a cache, or read something else than was named."""
    if protocol.lower() not in _PUT_WHOLE:
        raise StorageError(
            f"{url}: {protocol}:// can't be used; mount or copy it to a folder, or use an object store (s3://, gs://, az://)"
        )
