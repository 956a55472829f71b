"""Reach a Ray cluster, or say in one line why it can't be reached."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from vqa.apart import LateError, UnreadableError, read_apart
from vqa.errors import VqaError
from vqa.pipeline.cluster.head import reach

_log = logging.getLogger(__name__)

_JOIN_SECONDS = 60
_OF_A_NEW_CLUSTER = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Nothing is reported, and models are as ready to run as in one process: Ray's 15 is hardly before a decoder's 19."""
_LEAST_GPU = 0.01
"""Ray counts in parts of 0.0001; no GPU runs more than a hundred actors."""


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and what each actor of it gets.

    Raises:
        VqaError: a number is not above 0.
    """

    address: str | None = None
    """Host and port of the head node, or `auto`; None for `$RAY_ADDRESS`, a cluster of this machine, or a new one."""
    num_cpus: int | None = None
    """Cores of each actor; None for all of its node."""
    num_gpus: float | None = None
    """GPUs of each actor, parts allowed; None for all of its node."""

    def __post_init__(self) -> None:
        if self.num_cpus is not None and self.num_cpus < 1:
            raise VqaError(f"an actor can't have {self.num_cpus} cores; give 1 or more")
        gpus = self.num_gpus
        if gpus is not None and not (gpus in (0, 1) or _LEAST_GPU <= gpus < 1 or (gpus > 1 and gpus % 1 == 0)):
            raise VqaError(f"an actor can't have {gpus} GPUs; give a whole number, or a part of one such as 0.5")


def require_ray() -> None:
    """Refuse to go on where Ray is not installed.

    Raises:
        VqaError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise VqaError("Ray is not installed here; `pip install 'vqa[ray]'`, on every node of the cluster")


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[str]:
    """Be part of a cluster for the block; a program that is part of one already stays with that.

    Args:
        address: As in `RayOptions`.

    Yields:
        Host and port of the head node.

    Raises:
        VqaError: there is no cluster, it does not answer, or its versions are others.
    """
    import ray

    if ray.is_initialized():  # the caller's own: it stays as it is
        yield str(ray.get_runtime_context().gcs_address)
        return
    given = address or os.environ.get("RAY_ADDRESS")
    if given:
        _try(given)
    for name, value in _OF_A_NEW_CLUSTER.items():
        os.environ.setdefault(name, value)
    if not os.path.isdir(os.environ.get("TMPDIR", os.curdir)):  # noqa: PTH112 - of any text
        os.environ["TMPDIR"] = tempfile.gettempdir()  # Python looks for another one; Ray does not
    with contextlib.redirect_stdout(_WithoutRay(sys.stdout, threading.get_ident())), _silent_logger():
        with _own_signals():
            _join(given)
        try:
            yield str(ray.get_runtime_context().gcs_address)
        finally:
            _leave()


def _leave() -> None:
    """Leave the cluster; what Ray has kept back of its nodes' words it prints now, in this thread."""
    import ray

    out, err = _WithoutRay(sys.stdout, owner=None), _WithoutRay(sys.stderr, owner=None)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ray.shutdown()


def _join(address: str | None) -> None:
    """Join a cluster, or start one of this machine.

    Raises:
        VqaError: one runs on this machine that can't be joined.
    """
    try:
        _init(address)
    except _refusals() as error:
        raise VqaError(f"the cluster of this machine can't be joined: {_in_short(str(error))}") from error


def _init(address: str | None) -> None:
    """Let Ray join a cluster, or start one; it raises one of `_refusals()` where it would not."""
    import ray

    where = {"address": address} if address else {"include_dashboard": False}
    ray.init(**where, log_to_driver=False, configure_logging=False)


@contextlib.contextmanager
def _silent_logger() -> Iterator[None]:
    """Keep what Ray's Python part warns of from getting between the lines of the run."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


class _WithoutRay(io.TextIOBase):
    """The standard output without what Ray's threads print there, whatever `log_to_driver` says: results stand there.

    Args:
        stream: Gets all else.
        owner: The thread whose words are not Ray's; None where all are.
    """

    def __init__(self, stream: TextIO, owner: int | None) -> None:
        self._stream, self._owner = stream, owner

    def write(self, text: str) -> int:
        """Write, or log what is Ray's."""
        if threading.get_ident() == self._owner:  # Ray's threads have names of many kinds
            return self._stream.write(text)
        if text.strip():
            _log.info("Ray: %s", text.strip())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Return whatever else the stream has."""
        return getattr(self._stream, name)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def _try(address: str) -> None:
    """Join a cluster in a process of its own: where none answers, Ray waits for minutes and then ends the process."""
    if "://" in address:
        raise VqaError(f"{address}: vqa runs on a node of the cluster itself; give the head node's host and port")
    if address != "auto":
        _knock(address)
    try:
        read_apart(__name__, address, seconds=_JOIN_SECONDS)
    except LateError as error:
        raise VqaError(
            f"{address}: something listens there, but has not answered as a Ray cluster does within {_JOIN_SECONDS} s; "
            "give the port that `ray start --head` named"
        ) from error
    except UnreadableError as error:
        raise VqaError(f"{address}: no cluster that can be joined ({error}); look at it with `ray status`") from error


def _knock(address: str) -> None:
    _, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise VqaError(f"{address!r} is no address; give the head node's host and port, such as 10.0.0.1:6379")
    try:
        reach(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VqaError(
            f"{address}: no cluster answers there ({reason}); start one with `ray start --head` on its head node"
        ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our own handling of signals, which Ray takes over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _main() -> None:
    """Join a cluster and leave it; say in one line why not."""
    try:
        _init(sys.argv[1])
    except _refusals() as error:
        sys.exit(_in_short(str(error)))


def _refusals() -> tuple[type[Exception], ...]:
    """Return what Ray raises where it would not have us; `AuthenticationError` is a `RayError`, and new."""
    from ray.exceptions import RayError

    return RuntimeError, ConnectionError, ValueError, RayError


def _in_short(said: str) -> str:
    """Return in a few words why Ray would not have us."""
    versions = re.findall(r"(Ray|Python): (\S+)", said)
    if "Version mismatch" in said and len(versions) >= 4:
        theirs, ours = (" and ".join(" ".join(pair) for pair in part) for part in (versions[:2], versions[2:4]))
        return f"it runs {theirs}, this machine {ours}: install the same on all nodes"
    if "Could not find any running Ray instance" in said:
        return "none runs on this machine: start one with `ray start --head`, or leave out --address"
    if "Failed to connect to Ray cluster" in said or "authentication" in said.lower():
        return (
            "it answers, but lets nobody in from here; if it asks for a token, set RAY_AUTH_MODE=token and put "
            "its token into ~/.ray/auth_token"
        )
    return " ".join(said.split())


if __name__ == "__main__":
    _main()
