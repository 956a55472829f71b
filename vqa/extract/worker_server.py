"""The process that decode workers are forked from: it has the libraries loaded, and no threads."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import util
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any

from vqa.copies import TemporaryFolder
from vqa.errors import VqaError

_PRELOADED = "vqa.extract.decode_worker"
"""What workers do; named, not imported: this module is to be there before the libraries are."""

# Elsewhere a fork of a process with torch in it is not safe, or there is none.
_FORK_SERVER = sys.platform.startswith("linux")


def start_worker_server() -> None:
    """Let the process that workers are forked from load its libraries meanwhile; returns at once.

    Ctrl-C, and the end of a terminal, reach all its processes. This one ends the others, in silence, so they are born
    deaf to both; shared memory would outlive the process that looks after it, too.
    """
    if _FORK_SERVER:
        _use_own_folder()
        worker_context()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        try:
            resource_tracker.ensure_running()  # sees to Ctrl-C itself, and then unblocks it
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_context() -> BaseContext:
    """Return how workers start: from a server that has the libraries loaded, where the system has such a thing.

    A fork of this process would copy its threads' locks in whatever state they are; a spawned one takes seconds.
    """
    context = _ServerContext() if _FORK_SERVER else multiprocessing.get_context("spawn")
    if _FORK_SERVER:
        context.set_forkserver_preload([_PRELOADED])
    return context


if _FORK_SERVER:
    from multiprocessing import forkserver, resource_tracker
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    class _ServerProcess(ForkServerProcess):
        """A worker that does not import the user's script: it needs no guard, and nothing in it runs twice."""

        @staticmethod
        def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's own name
            with _hidden_main():
                return ForkServerProcess._Popen(process_obj)

    class _ServerContext(ForkServerContext):
        """The forkserver context with such workers."""

        Process = _ServerProcess


_MOST_CHARACTERS = 70
"""Of the path of a folder with one of ours in it, and a socket in that: the system takes no more than 107 for all."""
_folder: list[TemporaryFolder] = []


def _use_own_folder() -> None:
    """Let multiprocessing keep its sockets in a folder that is swept should this process be killed; its own is not.

    Raises:
        VqaError: there is no place for it.
    """
    config = getattr(multiprocessing.current_process(), "_config")  # noqa: B009 - it has no public name
    is_lost = bool(_folder) and config.get("tempdir") == str(_folder[0].path) and not _folder[0].is_here
    if config.get("tempdir") is None or is_lost:
        _folder[:] = [_make_folder()]
        config["tempdir"] = str(_folder[0].path)
        util.Finalize(None, _folder[0].remove, exitpriority=-100)  # as it does with its own


def _make_folder() -> TemporaryFolder:
    with contextlib.suppress(OSError):
        for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108
            if len(os.fsencode(parent)) <= _MOST_CHARACTERS:
                with contextlib.suppress(OSError):
                    return TemporaryFolder("mp", parent)
    raise VqaError(
        "no folder takes temporary files, neither TMPDIR nor /tmp nor /var/tmp; set TMPDIR to one that does, "
        f"with a path of {_MOST_CHARACTERS} characters at most"
    )


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
