"""Jobs that come while the engine runs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from greys import Recorded, model, videos

from vqa.extract.engine import run_feed, run_jobs
from vqa.extract.jobs import Demand, Job, JobFeed
from vqa.extract.options import EngineOptions
from vqa.records import VideoFeatures


def jobs_of(paths: list[Path]) -> list[Job]:
    return [Job(path.name, path, path.name, (0,)) for path in paths]


class Asking(Recorded):
    """Once some videos are done, does something, in the engine's own thread."""

    def __init__(self, after: int, then: object) -> None:
        super().__init__()
        self.after, self.then = after, then

    def store_features(self, job: Job, model: int, features: VideoFeatures, seconds: float) -> None:
        super().store_features(job, model, features, seconds)
        if len(self.features) == self.after:
            self.then()  # type: ignore[operator]


def test_jobs_that_come_when_all_is_done_are_done_too(tmp_path: Path) -> None:
    paths, feed = videos(tmp_path, 5), JobFeed()
    late = threading.Timer(0.2, lambda: (feed.add(jobs_of(paths[2:])), feed.close()))
    feed.add(jobs_of(paths[:2]))
    sink = Asking(2, late.start)
    run_feed(feed, [model()], sink, EngineOptions(workers=2))
    assert sorted(sink.decoded_videos) == [path.name for path in paths]


def test_a_stopped_run_ends_at_once_and_keeps_what_is_whole(tmp_path: Path) -> None:
    paths, feed = videos(tmp_path, 60), JobFeed()
    feed.add(jobs_of(paths))
    sink = Asking(1, feed.stop)
    run_feed(feed, [model()], sink, EngineOptions(workers=1, cores=1))
    kept = {pair[0] for pair in sink.features}
    assert kept
    assert kept <= set(sink.decoded_videos)
    assert len(sink.decoded_videos) < 20  # there are slots for more than that
    assert feed.ended


def test_nothing_can_be_added_to_a_closed_feed() -> None:
    feed = JobFeed()
    feed.close()
    with pytest.raises(ValueError, match="closed"):
        feed.add([])


def test_a_feed_gives_no_more_than_is_asked_for_in_the_order_it_came() -> None:
    feed, jobs = JobFeed(), jobs_of([Path(name) for name in "abc"])
    feed.add(jobs)
    assert feed.take(2) == jobs[:2]
    assert not feed.ended
    feed.close()
    assert feed.take(2) == jobs[2:]
    assert feed.ended


def test_a_feed_and_a_list_give_the_same_features(tmp_path: Path) -> None:
    paths, feed = videos(tmp_path, 3), JobFeed()
    feed.add(jobs_of(paths))
    feed.close()
    fed, listed = Recorded(), Recorded()
    run_feed(feed, [model()], fed, EngineOptions())
    run_jobs(jobs_of(paths), [model()], listed, EngineOptions())
    assert {pair: found.values.tobytes() for pair, found in fed.features.items()} == {
        pair: found.values.tobytes() for pair, found in listed.features.items()
    }


def test_demand_counts_files_and_the_most_parts(tmp_path: Path) -> None:
    (path,) = videos(tmp_path, 1)
    assert Demand.of(jobs_of([path, path])) == Demand(2, 2, 1)


def test_an_error_of_a_video_leaves_the_feed_going(tmp_path: Path) -> None:
    feed, good = JobFeed(), videos(tmp_path, 1)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    feed.add(jobs_of([tmp_path / "bad.mp4", *good]))
    feed.close()
    sink = Recorded()
    run_feed(feed, [model()], sink, EngineOptions(workers=1))
    assert [failure[0] for failure in sink.failures] == ["bad.mp4"]
    assert sink.decoded_videos == ["0.mp4"]
