"""What the model hub says of a file and sends of it: neither is believed before it is checked.

    HEAD -> commit, hash, size: of their form? -> GET, no byte more than announced

A hub that tells the truth about bytes of its own choice can't be found out this way: who they come from is settled by
https alone.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import urlsplit

from vqa.errors import WeightsError
from vqa.extract.backends.hub import fetch_errors, http_libraries
from vqa.extract.spec import ModelSpec
from vqa.files import sha256_of

COMMIT = re.compile(r"[0-9a-f]{40}")
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""git's SHA-1 of a small file, or the SHA-256 of a large one."""
_ENCODINGS = ("", "identity", "gzip")  # several on top of each other could unpack to any size

_ANSWER_SECONDS = 30.0
_TRIES = 4
_PAUSE_SECONDS = 1.0
_CHUNK = 1 << 20
_PIECE = 1 << 16  # what is lost at the most where a connection breaks off
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, and its folder in the cache."""

    spec: ModelSpec
    """Whose weights are fetched, for messages."""
    name: str
    folder: Path

    def refuse(self, file: str, fault: str) -> NoReturn:
        """Say in one line what is wrong with the hub's answer."""
        from huggingface_hub import constants

        hub = urlsplit(constants.ENDPOINT)
        raise WeightsError(
            f"{self.spec}: the hub at {hub.scheme}://{hub.hostname} {fault} ({self.name}/{file}); nothing of it is "
            f"kept: check HF_ENDPOINT, use https, or run `vqa models fetch {self.spec} --weights-dir DIR` where a hub "
            "that you trust answers and bring DIR here"
        )


@dataclass(frozen=True)
class Announced:
    """What the hub says of a file."""

    commit: str
    hash: str
    size: int


def ask(source: Repository, name: str, revision: str) -> Announced:
    """Ask the hub for commit, hash and size of a file, and refuse what is none.

    Raises:
        OSError: what answers is no hub.
        WeightsError: it announces what can't be.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import FileMetadataError

    told = get_hf_file_metadata(hf_hub_url(source.name, name, revision=revision), timeout=_ANSWER_SECONDS)
    if told.commit_hash is None or told.etag is None or told.size is None:
        raise FileMetadataError("what answers there gives no commit, hash and size, as a hub does")
    for kind, form, value in (("commit", COMMIT, told.commit_hash), ("hash", HASH, told.etag)):
        if not form.fullmatch(value):
            shown = ascii(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}...")
            source.refuse(name, f"announces the {kind} {shown}, which is none")
    if told.size < 0:
        source.refuse(name, f"announces {told.size} bytes")
    return Announced(told.commit_hash, told.etag, told.size)


def hash_of(path: Path, like: str) -> str:
    """Return a file's hash, of the kind of another: its SHA-256, or git's SHA-1 of its length and bytes."""
    if len(like) == hashlib.sha256().digest_size * 2:
        return sha256_of(path)
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def receive(source: Repository, name: str, announced: Announced, file: BinaryIO) -> None:
    """Write what the hub sends of a file; where the connection breaks off, ask for the rest.

    Raises:
        OSError: it sends an error.
        WeightsError: it sends more or fewer bytes than it announced.
    """
    broken = tuple(library.TransportError for library in http_libraries())
    for left in reversed(range(_TRIES)):
        try:
            _stream(source, name, announced, file)
            break
        except broken:
            if not left:
                raise
            time.sleep(_PAUSE_SECONDS)
    if file.tell() != announced.size:
        source.refuse(name, f"announces {announced.size} bytes and sends {file.tell()}")


def _stream(source: Repository, name: str, announced: Announced, file: BinaryIO) -> None:
    """Write what one request gives, behind what is there already where the server can do that."""
    from huggingface_hub import constants, hf_hub_url, utils
    from huggingface_hub.errors import FileMetadataError

    library: Any = utils
    # Not to the address that the first answer leads to: only what is sent counts, wherever it comes from.
    address = hf_hub_url(source.name, name, revision=announced.commit)
    headers = {**library.build_hf_headers(), "Accept-Encoding": "identity"}
    if file.tell():
        headers["Range"] = f"bytes={file.tell()}-"
    request = {"headers": headers, "follow_redirects": True, "timeout": constants.HF_HUB_DOWNLOAD_TIMEOUT}
    with library.get_session().stream("GET", address, **request) as response:
        encoding = response.headers.get("Content-Encoding", "").lower()
        if response.status_code not in (200, 206):
            raise FileMetadataError(f"the hub has the file and answers {response.status_code} when it is to send it")
        if encoding not in _ENCODINGS:
            source.refuse(name, f"sends bytes packed as {encoding[:_SHOWN_CHARACTERS]!a}")
        if response.status_code == 200:  # the whole, not the rest
            file.seek(0)
            file.truncate()
        shown = {"total": announced.size, "initial": file.tell(), "unit": "B", "unit_scale": True, "desc": name}
        with library.tqdm(**shown, disable=None) as bar:
            for chunk in response.iter_bytes(_PIECE):
                if file.tell() + len(chunk) > announced.size:
                    source.refuse(name, f"announces {announced.size} bytes and sends more")
                file.write(chunk)
                bar.update(len(chunk))


def answer_errors() -> tuple[type[Exception], ...]:
    """Return what asking and downloading raise: a hub may send anything, and addresses that are none."""
    return (*fetch_errors(), ValueError, *(library.InvalidURL for library in http_libraries()))
