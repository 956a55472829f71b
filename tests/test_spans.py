from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from greys import Recorded, model, run
from media import grey_frames, textured_frames, write_video

from vqa.errors import VideoError
from vqa.extract.decoding import Frames
from vqa.extract.engine import run_jobs
from vqa.extract.items import Span, find_items
from vqa.extract.jobs import Job
from vqa.extract.options import EngineOptions
from vqa.extract.spec import Candidate, ModelSpec, NativeInput

GREYS = list(range(0, 250, 2))  # frame i of 125, 25 a second, is grey 2 i


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("ramp") / "ramp.mkv", grey_frames(GREYS))


def greys(sink: Recorded, part: int, index: int = 0) -> list[float]:
    features = sink.features["ramp.mkv", index]
    return features.values[features.parts[part], 0].tolist()


def test_a_span_shows_what_a_file_cut_out_there_would(ramp: Path, tmp_path: Path) -> None:
    sink = run([ramp], [model(frames=4), model(clip_frames=6)], spans=[Span(0.0, 1.0), Span(2.0, 4.0)])
    for part, (first, last) in enumerate([(0, 25), (50, 100)]):
        cut = write_video(tmp_path / "cut.mkv", grey_frames(GREYS[first:last]))
        alone = run([cut], [model(frames=4), model(clip_frames=6)])
        for index in (0, 1):
            assert greys(sink, part, index) == alone.features["cut.mkv", index].values[:, 0].tolist()
    assert greys(sink, 0) == [6, 18, 30, 42]


def test_frames_that_spans_share_are_looked_at_once(ramp: Path) -> None:
    sink = run([ramp], [model(frames=4)], spans=[Span(0.0, 4.0), Span(1.0, 5.0)])
    assert sink.features["ramp.mkv", 0].values[:, 0].tolist() == [24, 74, 124, 174, 224]
    assert (greys(sink, 0), greys(sink, 1)) == ([24, 74, 124, 174], [74, 124, 174, 224])
    assert sink.frames == 5
    assert len(sink.decoded_videos) == 1


def test_times_of_a_span_are_those_of_the_video(ramp: Path) -> None:
    features = run([ramp], [model(frames=2), model(clip_frames=4)], spans=[Span(2.0, 4.0)]).features
    assert features["ramp.mkv", 0].pts_seconds.tolist() == pytest.approx([2.48, 3.48])
    assert features["ramp.mkv", 1].pts_seconds.tolist() == pytest.approx([3.0])


def test_a_span_that_begins_amid_a_frame_shows_the_frame_on_screen() -> None:
    candidate = model(frames=4).candidate
    items = find_items(np.array([0.0, 1.0, 2.0, 3.0]), 4.0, candidate, [Span(0.9, 1.3), Span(3.5, 9.0)])
    assert [items.frames[rows, 0].tolist() for rows in items.parts] == [[0, 1], [3]]


def test_native_candidates_measure_spans_too() -> None:
    candidate = Candidate(ModelSpec("classic", "x", frames=2), NativeInput(run=2), "none", "float32")
    items = find_items(np.arange(10.0), 10.0, candidate, [Span(0.0, 4.0), Span(4.0, 8.0)])
    assert [items.frames[rows].tolist() for rows in items.parts] == [[[1, 2], [2, 3]], [[5, 6], [6, 7]]]


def test_many_spans_of_many_videos_come_out_like_each_alone(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{seed}.mkv", textured_frames(30, seed=seed)) for seed in range(3)]
    spans = [Span(begin / 5, begin / 5 + 0.4) for begin in range(4)]
    together = run(paths, [model(frames=3), model(frames=2, crop=16)], spans=spans, workers=2)
    for path in paths:
        for part, span in enumerate(spans):
            alone = run([path], [model(frames=3), model(frames=2, crop=16)], spans=[span], workers=1)
            for index in (0, 1):
                joined, single = together.features[path.name, index], alone.features[path.name, index]
                assert np.array_equal(joined.values[joined.parts[part]], single.values[single.parts[0]])


def test_decoded_frames_give_the_bits_that_their_file_gives(tmp_path: Path) -> None:
    shown = textured_frames(30)
    path = write_video(tmp_path / "shown.mkv", shown)
    frames = Frames(np.stack(shown), np.arange(30) / 25 + 7.0)
    from_file = run([path], [model(frames=5), model(clip_frames=4, crop=16)])
    from_frames = run([frames], [model(frames=5), model(clip_frames=4, crop=16)])
    for index in (0, 1):
        expected, found = from_file.features["shown.mkv", index], from_frames.features["frames 0", index]
        assert np.array_equal(found.values, expected.values)
        assert found.pts_seconds.tolist() == pytest.approx(expected.pts_seconds.tolist())


def test_files_and_decoded_frames_go_through_one_run(ramp: Path) -> None:
    frames = Frames(np.stack(grey_frames(GREYS)), np.arange(125) / 25)
    sink = run([frames, ramp, frames], [model(frames=4)])
    found = [features.values[:, 0].tolist() for features in sink.features.values()]
    assert found == [found[0]] * 3
    assert len(sink.decoded_videos) == 3


def test_a_fault_in_a_measure_of_frames_stops_the_run() -> None:
    frames = Frames(np.zeros((4, 64, 64, 3), np.uint8), np.arange(4.0))
    lost = Candidate(ModelSpec("nobackend", "x", frames=2), NativeInput(), "none", "float32")
    broken = model()
    object.__setattr__(broken, "candidate", lost)
    with pytest.raises(Exception, match="nobackend"):
        run_jobs([Job("a", frames, "a", (0,))], [broken], Recorded(), EngineOptions())


@pytest.mark.parametrize(
    ("shape", "dtype", "times", "reason"),
    [
        ((4, 8, 8, 3), np.float32, 4, "frames are float32 of shape"),
        ((4, 3, 8, 8), np.uint8, 4, r"\(T, H, W, 3\)"),
        ((1, 8, 8, 3), np.uint8, 1, "at least 2"),
        ((4, 8, 8, 3), np.uint8, 3, "one time for each frame"),
        ((0, 8, 8, 3), np.uint8, 0, "shape"),
    ],
)
def test_frames_of_another_kind_are_refused(shape: tuple[int, ...], dtype: type, times: int, reason: str) -> None:
    with pytest.raises(VideoError, match=reason):
        Frames(np.zeros(shape, dtype), np.arange(float(times)))


def test_times_that_do_not_ascend_are_refused() -> None:
    for times in ([0.0, 2.0, 1.0], [0.0, 0.0, 1.0], [0.0, np.nan, 1.0]):
        with pytest.raises(VideoError, match="ascend"):
            Frames(np.zeros((3, 8, 8, 3), np.uint8), np.array(times))
