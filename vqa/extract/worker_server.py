"""The process that decode workers are forked from: it has the libraries loaded, and no threads."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any

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


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
