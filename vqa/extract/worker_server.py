"""The process that decode workers are forked from: it has the libraries loaded, and no threads.

    this process ──► worker server ──► decode worker      A worker is killed by the system the moment this process is
         │                                  │             gone, whoever ended it: it holds a pipe that says so. The
         └───────────── pipe ───────────────┘             server ends with the last of them.

It works from wherever Python runs: from a daemonic process as multiprocessing.Pool has them, from one that was forked
from another that had a server of its own, and with stdin, stdout or stderr closed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any, Self

from vqa.copies import TemporaryFolder
from vqa.errors import VqaError
from vqa.rlimits import open_closed_streams

_PRELOADED = "vqa.extract.decode_worker"
"""What workers do; named, not imported: this module is to be there before the libraries are."""

# Elsewhere a fork of a process with torch in it is not safe, or there is none.
_FORK_SERVER = sys.platform.startswith("linux")
_starting = threading.Lock()


def start_worker_server() -> None:
    """Let the process that workers are forked from load its libraries meanwhile; returns at once.

    Ctrl-C, and the end of a terminal, reach all its processes. This one ends the others, in silence, so they are born
    deaf to both.

    Raises:
        VqaError: this is a daemonic process, on a system where those can't have workers.
    """
    open_closed_streams()  # else pipes to workers take their places, and are written to by whoever prints
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
    elif multiprocessing.current_process().daemon:
        raise VqaError(
            "videos can't be decoded in a daemonic process, as multiprocessing.Pool has them, on this system; use "
            "concurrent.futures.ProcessPoolExecutor, or one Scorer outside of the pool and its score_many"
        )


def worker_context() -> BaseContext:
    """Return how workers start: from a server that has the libraries loaded, where the system has such a thing.

    A fork of this process would copy its threads' locks in whatever state they are; a spawned one takes seconds.
    """
    context = _ServerContext() if _FORK_SERVER else multiprocessing.get_context("spawn")
    if _FORK_SERVER:
        context.set_forkserver_preload([_PRELOADED])
    return context


class PipeLock:
    """A reentrant lock that processes share: a byte in a pipe, which its holder has taken out.

    multiprocessing's own are named semaphores, which the system keeps in /dev/shm: not where there is none, or where
    nobody may write to it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = multiprocessing.Pipe(duplex=False)
        os.set_blocking(self._reader.fileno(), False)
        os.write(self._writer.fileno(), b"-")
        self._holder: tuple[int, int] | None = None
        self._held = 0

    def __getstate__(self) -> tuple[Connection, Connection]:
        return self._reader, self._writer

    def __setstate__(self, state: tuple[Connection, Connection]) -> None:
        self._reader, self._writer = state
        self._holder, self._held = None, 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:  # noqa: FBT001 - as theirs
        """Take the lock; return whether it was had within so many seconds."""
        me = (os.getpid(), threading.get_ident())
        if self._holder != me:
            if not self._take(timeout if block else 0.0):
                return False
            self._holder = me
        self._held += 1
        return True

    def _take(self, seconds: float | None) -> bool:
        """Take the byte out, if need be when it is back."""
        poll = select.poll()
        poll.register(self._reader.fileno(), select.POLLIN)
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            with contextlib.suppress(BlockingIOError):  # another was faster
                return bool(os.read(self._reader.fileno(), 1))
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            poll.poll(None if left is None else left * 1000)

    def release(self) -> None:
        """Give the lock back, when it was released as often as it was taken."""
        self._held -= 1
        if not self._held:
            self._holder = None
            os.write(self._writer.fileno(), b"-")

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


if _FORK_SERVER:
    import fcntl
    from multiprocessing import forkserver, process, resource_tracker
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    class _ServerProcess(ForkServerProcess):
        """A worker that does not import the user's script: it needs no guard, and nothing in it runs twice."""

        @staticmethod
        def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's own name
            with _hidden_main():
                return ForkServerProcess._Popen(process_obj)

        def start(self) -> None:
            """Start it, even from a daemonic process.

            Those may have no children since they are terminated without a chance to end them; ours end by themselves.
            Celery's processes have a key of a kind that multiprocessing does not send.
            """
            config = process.current_process()._config  # type: ignore[attr-defined]
            self.authkey = self.authkey
            with _starting:
                before = dict(config)
                config.pop("daemon", None)
                config["authkey"] = process.AuthenticationString(before["authkey"])  # type: ignore[attr-defined]
                try:
                    super().start()
                finally:
                    config.update(before)

        def run(self) -> None:
            """Do what there is to do, until that is done or the process that started this one is gone."""
            _end_with_parent()
            super().run()

    class _ServerContext(ForkServerContext):
        """The forkserver context with such workers, and with locks that need no /dev/shm."""

        Process = _ServerProcess

        def RLock(self) -> PipeLock:  # type: ignore[override]  # noqa: N802 - multiprocessing's own name
            return PipeLock()

    def _end_with_parent() -> None:
        """Let the system kill this process when the one that started it is gone, whatever it is doing then.

        The other end of the pipe is the parent's alone; when the last holder closes it, or dies, SIGKILL is sent.
        """
        parent = multiprocessing.parent_process()
        assert parent is not None, "workers have one"
        ours = parent.sentinel
        with contextlib.suppress(OSError):  # a sandbox may not have it; pebble's own check then ends idle workers
            fcntl.fcntl(ours, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(ours, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(ours, fcntl.F_SETFL, fcntl.fcntl(ours, fcntl.F_GETFL) | os.O_ASYNC)
        if not parent.is_alive():  # before that was settled
            os._exit(1)

    def _start_anew() -> None:
        """Let a forked process forget its parent's server and workers, which it can't wait for and must not stop."""
        global _starting
        _starting = threading.Lock()
        mine = {one for one in process._children if isinstance(one, _ServerProcess)}  # type: ignore[attr-defined]
        process._children.difference_update(mine)  # type: ignore[attr-defined]
        server: Any = forkserver._forkserver
        if server._forkserver_pid is not None:
            os.close(server._forkserver_alive_fd)
            modules = server._preload_modules
            server.__init__()
            server._preload_modules = modules

    os.register_at_fork(after_in_child=_start_anew)


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
