"""Frames that are decoded already, looked at in a thread as the workers look at files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from torch import nn

from vqa.errors import VideoError
from vqa.extract.backends import find_backend
from vqa.extract.decoding import Frames, look_at_frames
from vqa.extract.items import Span
from vqa.extract.looking import DecodedVideo
from vqa.extract.slots import Slot
from vqa.extract.spec import Candidate, NativeInput
from vqa.extract.workers import Outcome


class FrameLooker:
    """Renders the views of decoded frames, one video at a time.

    Args:
        candidates: All that will be asked for.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = tuple(candidates)
        self._measures: dict[Candidate, nn.Module] = {}
        self._thread = ThreadPoolExecutor(1, "vqa-frames")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def submit(
        self,
        frames: Frames,
        models: tuple[int, ...],
        slot: Slot,
        done: Callable[[Outcome, int], None],
        *,
        spans: tuple[Span, ...] = (),
    ) -> None:
        """Put the views of some frames into a slot; arguments as of `DecodeWorkers.submit`."""
        future = self._thread.submit(self._look, frames, models, slot, spans)
        future.add_done_callback(lambda finished: done(_outcome(finished), 0))

    def _look(self, frames: Frames, models: tuple[int, ...], slot: Slot, spans: tuple[Span, ...]) -> DecodedVideo:
        candidates = [self._candidates[index] for index in models]
        for candidate in candidates:
            if isinstance(candidate.input, NativeInput) and candidate not in self._measures:
                self._measures[candidate] = find_backend(candidate.spec.backend).load(candidate.spec)
        return look_at_frames(frames, candidates, self._measures, slot.buffer, spans=spans)


def _outcome(future: Future[DecodedVideo]) -> Outcome:
    try:
        return future.result()
    except VideoError as error:
        return error
    except BaseException as error:  # noqa: BLE001 - handed on to the engine, which raises it
        return error
