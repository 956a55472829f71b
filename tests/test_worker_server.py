"""How decode workers start, and the lock that they share."""

from __future__ import annotations

import multiprocessing
import sys
import threading

import pytest

import vqa.extract.worker_server
from vqa.errors import VqaError
from vqa.extract.worker_server import PipeLock, start_worker_server, worker_context

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it is multiprocessing's own")


def elsewhere(lock: PipeLock, *, seconds: float | None) -> bool:
    """Return whether another thread can have the lock, and give it back there."""
    found = []

    def take() -> None:
        found.append(lock.acquire(timeout=seconds))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(timeout=60)
    return found[0]


def test_one_at_a_time_has_the_lock_as_often_as_it_likes() -> None:
    lock = worker_context().RLock()
    assert isinstance(lock, PipeLock)
    with lock, lock:
        assert not elsewhere(lock, seconds=0.01)
    assert elsewhere(lock, seconds=None)
    assert lock.acquire(block=False)
    assert not elsewhere(lock, seconds=0)
    lock.release()
    assert elsewhere(lock, seconds=0)


def test_who_waits_gets_the_lock_when_it_is_released() -> None:
    lock, got = PipeLock(), threading.Event()
    lock.acquire()
    thread = threading.Thread(target=lambda: (lock.acquire(), got.set()))
    thread.start()
    assert not got.wait(0.05)
    lock.release()
    assert got.wait(60)
    thread.join(timeout=60)


def test_a_copy_for_another_process_is_the_same_lock() -> None:
    lock = PipeLock()
    copy = PipeLock.__new__(PipeLock)
    copy.__setstate__(lock.__getstate__())
    with lock:
        assert not copy.acquire(block=False)
    assert copy.acquire(block=False)
    assert not lock.acquire(block=False)
    copy.release()


def test_a_daemonic_process_is_told_what_to_do_where_it_can_have_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vqa.extract.worker_server, "_FORK_SERVER", False)
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.raises(VqaError, match=r"daemonic process, .*; use concurrent\.futures\.ProcessPoolExecutor, or one"):
        start_worker_server()
