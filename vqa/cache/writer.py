"""Takes one candidate's features video by video and writes them as segments."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import numpy as np

from vqa.cache.folder import make_folder
from vqa.cache.key import MAX_KEY_BYTES
from vqa.cache.segment import Provenance, SegmentRow
from vqa.cache.segmentwriting import present_time, write_segment
from vqa.errors import CacheError
from vqa.records import VideoFeatures
from vqa.urls import Place


class SegmentWriter:
    """A context manager, made by `FeatureStore.writer`.

    What was put is written when a segment is full, when it is old, and at the end, be that an error or Ctrl-C: only a
    killed process loses the videos of its unfinished segment.

    Args:
        root: The cache folder.
        folder: The candidate's folder in it; made here if it does not exist.
        provenance: Where the features come from.
        width: D of the candidate's older segments, or None where there are none.
        max_videos: A segment is closed when it has that many videos.
        max_seconds: A segment is closed by the first video that comes that long after its first one.

    Raises:
        CacheError: the folder can't be made or written to.
    """

    def __init__(
        self,
        root: Place,
        folder: Place,
        provenance: Provenance,
        *,
        width: int | None,
        max_videos: int,
        max_seconds: float,
    ) -> None:
        make_folder(root, folder)
        self.folder = folder
        self.provenance = provenance
        self.max_videos = max_videos
        self.max_seconds = max_seconds
        self._width = width
        self._rows: list[SegmentRow] = []
        self._seconds = 0.0
        self._began = 0.0

    def put(self, key: str, features: VideoFeatures, *, seconds: float) -> None:
        """Take one video's features; they are on the disk at the latest when the writer is closed.

        Args:
            key: The video's key; text of 1 to `MAX_KEY_BYTES` bytes in UTF-8, without NUL, which HDF5 would cut off.
            features: Rows of float16 features.
            seconds: Time the model spent on this video.

        Raises:
            CacheError: the width is not that of the candidate's other videos, or the cache can't be written to.
            ValueError: the key can't be stored.
            TypeError: the features are not float16.
        """
        if not 0 < len(key.encode("utf-8")) <= MAX_KEY_BYTES or "\0" in key:
            raise ValueError(f"{key!r} can't be the key of a video")
        if features.values.dtype != np.float16:
            raise TypeError(f"features of video {key} are {features.values.dtype}; the cache stores float16")
        width = features.values.shape[1]
        if self._width is None:
            self._width = width
        if width != self._width:
            raise CacheError(
                f"{self.provenance.record.name}: {width} features a row for video {key[:12]}, {self._width} for those "
                f"before; report this, and move {self.folder} away to extract again"
            )
        if not self._rows:
            self._began = time.monotonic()
        self._rows.append(SegmentRow(key, features, present_time()))
        self._seconds += seconds
        if len(self._rows) >= self.max_videos or time.monotonic() - self._began >= self.max_seconds:
            self.close()

    def close(self) -> None:
        """Write what was put and not yet written, as one segment.

        Raises:
            CacheError: the cache can't be written to.
        """
        if not self._rows:
            return
        write_segment(self.folder, self.provenance, self._rows, seconds=self._seconds)
        self._rows = []
        self._seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
