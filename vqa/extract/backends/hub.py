"""The model hub: asked once whether it answers, and every failure to fetch said in one line."""

from __future__ import annotations

import contextlib
import pickle
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

from vqa.extract.spec import ModelSpec
from vqa.extract.weights import hub_error

_ANSWER_SECONDS = 5.0


@contextlib.contextmanager
def fetching(spec: ModelSpec) -> Iterator[None]:
    """Let a library fetch weights inside the block; where it can't, say why in one line.

    huggingface_hub repeats every request to an unreachable hub six times, 23 s for each of several file names, even for
    files it already holds. So the hub is asked once, and if it does not answer, the block works from the local cache.

    Raises:
        WeightsError: the library could not fetch the weights.
    """
    try:
        with _offline_if_unreachable():
            yield
    except _fetch_errors() as error:
        # open_clip puts a plain FileNotFoundError over the hub's own error, which tells why.
        inner = error.__context__ if type(error) is FileNotFoundError else None
        raise hub_error(spec, inner if isinstance(inner, Exception) else error) from error


@contextlib.contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Switch huggingface_hub to its local cache for the block, if the hub does not answer."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(endpoint: str) -> bool:
    """Say whether a server answers at all, through the proxy if one is set; any answer will do."""
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - the hub's address is the user's setting
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        # Certificates are the hub library's own affair: it may trust others than Python does.
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False


def _fetch_errors() -> tuple[type[Exception], ...]:
    """Return what the libraries raise when a download fails, or when what arrived has another hash or is damaged."""
    from safetensors import SafetensorError

    errors = (OSError, RuntimeError, pickle.UnpicklingError, SafetensorError)
    # The HTTP library's errors are none of these; it is loaded only if huggingface_hub uses it, under either name.
    clients = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return (*errors, *(client.HTTPError for client in clients if client is not None))
