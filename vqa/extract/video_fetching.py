"""Remote videos brought here for the decode workers, which read local files alone: FFmpeg opens no URL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from vqa.copies import fetch_copy
from vqa.errors import VideoError
from vqa.extract.decoding import Stamp, checked_stamp

if TYPE_CHECKING:
    from vqa.remote import RemotePath


class VideoFetcher:
    """Fetches videos in threads.

    Args:
        threads: How many at once.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "vqa-fetch")
        self._stopped = threading.Event()

    def close(self) -> None:
        """Give up what is not fetched yet."""
        self._stopped.set()
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
            done: Told of the copy, from another thread; the copy is the caller's.
            failed: Told of a VideoError that is the video's, or of another error.
        """
        self._threads.submit(self._fetch, source, key, stamp, done, failed)

    def _fetch(
        self,
        source: RemotePath,
        key: str,
        stamp: Stamp | None,
        done: Callable[[Path], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        try:
            done(self._copy(source, key, stamp))
        except BaseException as error:  # noqa: BLE001 - handed on to the engine, which raises it
            failed(error)

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
