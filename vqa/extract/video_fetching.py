"""Remote videos brought here for the decode workers, which read local files alone: FFmpeg opens no URL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.copies import fetch_copy
from vqa.errors import VideoError
from vqa.extract.decoding import Stamp, checked_stamp

if TYPE_CHECKING:
    from vqa.remote import RemotePath


class VideoFetcher:
    """Fetches videos in threads, one more than there are decoders.

    At most 2 * decoders + 1 copies lie on the disk at once: each decoder works on one, and as many and one are being
    fetched or wait.

    Args:
        decoders: How many videos are decoded at once.
    """

    def __init__(self, decoders: int) -> None:
        self._fetching = decoders + 1
        self._threads = ThreadPoolExecutor(self._fetching, "vqa-fetch")
        self._room = threading.Semaphore(decoders + self._fetching)
        self._stopped = threading.Event()

    def close(self) -> None:
        """Give up what is not fetched yet."""
        self._stopped.set()
        self._room.release(self._fetching)  # to those that wait for some
        self._threads.shutdown(cancel_futures=True)

    def submit(
        self,
        source: RemotePath,
        key: str,
        stamp: Stamp | None,
        done: Callable[[Path], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Fetch a video.

        Args:
            source: The video.
            key: SHA-256 of the bytes that it has to have; empty where they were not read.
            stamp: What it was when it was looked at, which it has to be still where there is no key.
            done: Told of the copy, from another thread; the caller gives it to `remove`.
            failed: Told of a VideoError that is the video's, or of another error.
        """
        self._threads.submit(self._fetch, partial(self._copy, source, key, stamp), done, failed)

    def _fetch(
        self, make_copy: Callable[[], Path], done: Callable[[Path], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._room.acquire()
        try:
            copy = make_copy()
        except BaseException as error:  # noqa: BLE001 - handed on to the engine, which raises it
            self._room.release()
            failed(error)
            return
        try:
            done(copy)
        except BaseException as error:  # noqa: BLE001 - as above
            self.remove(copy)
            failed(error)

    def remove(self, copy: Path) -> None:
        """Remove a copy, so that there is room for another."""
        copy.unlink(missing_ok=True)
        self._room.release()

    def _copy(self, source: RemotePath, key: str, stamp: Stamp | None) -> Path:
        try:
            copy = fetch_copy(source, key, stopped=self._stopped.is_set)
        except OSError as error:
            raise VideoError(
                f"it can't be fetched ({error.strerror or error}); check that it is still there"
            ) from error
        try:
            if not key:
                checked_stamp(source.fresh(), stamp)
        except BaseException:
            copy.unlink()
            raise
        return copy
