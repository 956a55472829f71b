"""Decoding by others: helpers as other nodes would be, reached through threads in place of a network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from greys import Recorded, model, videos

from vqa.extract.engine import run_feed
from vqa.extract.jobs import Job, JobFeed
from vqa.extract.model import Model
from vqa.extract.options import EngineOptions
from vqa.files import Downloads
from vqa.pipeline.cluster.helping import Hand, Helper, SharedDecoders
from vqa.pipeline.cluster.work import Order
from vqa.settings import ExtractSettings

MODELS = [model(frames=5), model(frames=3, crop=16)]


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    """One that has begun."""
    made = Helper(Order(tmp_path / "cache", ExtractSettings(), False, 1, Downloads()))
    made.begin()
    yield made
    made.stop()


class Line:
    """What leads to a helper; may be cut after some videos."""

    def __init__(self, helper: Helper, *, cut_after: int = 1000) -> None:
        self.helper, self.cut_after = helper, cut_after
        self.asked: list[Path] = []
        self._threads = ThreadPoolExecutor(2)
        self._lock = threading.Lock()

    def decode(self, *arguments: Any) -> Future[Any]:
        with self._lock:
            self.asked.append(arguments[1])
            number = len(self.asked)
        if number > self.cut_after:
            future: Future[Any] = Future()
            future.set_exception(ConnectionError("the node is gone"))
            return future
        return self._threads.submit(self.helper.decode, *arguments)


def extract(paths: list[Path], hands: list[Hand], models: list[Model]) -> Recorded:
    feed, sink = JobFeed(), Recorded()
    feed.add([Job(path.name, path, path.name, tuple(range(len(models)))) for path in paths])
    feed.close()
    run_feed(
        feed,
        models,
        sink,
        EngineOptions(cores=1, elsewhere=4),
        hire=lambda candidates, processes, limits: SharedDecoders(candidates, processes, limits, hands),
    )
    return sink


def bits(sink: Recorded) -> dict[tuple[str, int], tuple[bytes, bytes]]:
    return {pair: (found.values.tobytes(), found.pts_seconds.tobytes()) for pair, found in sink.features.items()}


def test_what_a_helper_decodes_has_the_bits_of_what_is_decoded_here(tmp_path: Path, helper: Helper) -> None:
    paths, line = videos(tmp_path, 8), Line(helper)
    alone = extract(paths, [], MODELS)
    helped = extract(paths, [Hand(line.decode, 1.0)], MODELS)
    assert bits(helped) == bits(alone)
    assert len(bits(alone)) == 16
    assert 0 < len(line.asked) < 8
    assert sorted(helped.decoded_videos) == sorted(path.name for path in paths)


def test_a_helper_that_is_lost_costs_no_video(tmp_path: Path, helper: Helper) -> None:
    paths, line = videos(tmp_path, 8), Line(helper, cut_after=1)
    hands = [Hand(line.decode, 1.0)]
    helped = extract(paths, hands, MODELS)
    assert sorted(helped.decoded_videos) == sorted(path.name for path in paths)
    assert bits(helped) == bits(extract(paths, [], MODELS))
    assert hands == []
    assert not helped.failures


def test_a_helper_says_of_a_bad_video_what_is_said_here(tmp_path: Path, helper: Helper) -> None:
    bad = [tmp_path / f"bad{number}.mp4" for number in range(4)]
    for path in bad:
        path.write_bytes(b"no video")
    line = Line(helper)
    helped, alone = extract(bad, [Hand(line.decode, 1.0)], MODELS), extract(bad, [], MODELS)
    assert sorted(helped.failures) == sorted(alone.failures)
    assert len(helped.failures) == 4
    assert line.asked


def test_a_helper_is_ready_for_one_set_of_candidates_after_the_other(tmp_path: Path, helper: Helper) -> None:
    (path,) = videos(tmp_path, 1)
    sets = [tuple(model(crop=crop).candidate for _ in range(1)) for crop in (16, 24, 32, 16)]
    sizes = []
    for candidates in sets:
        answer = helper.decode(candidates, path, (0,), None, "")
        assert isinstance(answer, tuple)
        sizes.append(len(answer[1]))
    assert sizes == [4 * 3 * 16 * 16, 4 * 3 * 24 * 24, 4 * 3 * 32 * 32, 4 * 3 * 16 * 16]


def test_a_helper_whose_idle_workers_were_killed_starts_others(tmp_path: Path, helper: Helper) -> None:
    (path,) = videos(tmp_path, 1)
    candidates = (model().candidate,)
    before = set(psutil.Process().children(recursive=True))
    assert isinstance(helper.decode(candidates, path, (0,), None, ""), tuple)
    family = [one for one in psutil.Process().children(recursive=True) if one not in before]
    workers = [one for one in family if not one.children() and "tracker" not in " ".join(one.cmdline())]
    for worker in workers:
        worker.kill()
    assert workers
    assert isinstance(helper.decode(candidates, path, (0,), None, ""), tuple)
