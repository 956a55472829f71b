from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from media import remux, textured_frames, write_video
from workspaces import Trained

import vqa.extract.video
from vqa.errors import VideoError
from vqa.extract.decode_worker import WorkerLimits, _Worker, decode_into
from vqa.extract.duration import read_extent
from vqa.extract.items import bytes_needed
from vqa.extract.packets import decode_packets
from vqa.extract.slots import Slot
from vqa.extract.video import Passage, decode_frames, read_timeline
from vqa.pipeline import Scorer
from vqa.pipeline.gathering import LoadedBundle, Wanted

MPEG4 = {"codec": "mpeg4", "pix_fmt": "yuv420p", "options": {"qmin": "2", "qmax": "2"}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds, 200 frames, of a codec whose decoder can't jump."""
    frames = [frame for seed in range(8) for frame in textured_frames(25, seed=seed)]
    return write_video(tmp_path_factory.mktemp("passes") / "clip.avi", frames, **MPEG4)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The packet of every frame that is decoded in this process on a way from the start."""
    numbers: list[int] = []

    def note(packets: Iterable[object], stream: object) -> Iterator[tuple[int, object]]:
        for number, frame in decode_packets(packets, stream):  # type: ignore[arg-type]
            numbers.append(number)
            yield number, frame

    monkeypatch.setattr(vqa.extract.video, "decode_packets", note)
    return numbers


def parts_of(
    clip: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, *, window: float
) -> tuple[LoadedBundle, list[Wanted]]:
    """Return the parts in which a timeline is computed, three windows each."""
    taken: list[tuple[LoadedBundle, list[Wanted]]] = []
    with monkeypatch.context() as patch:
        patch.setattr("vqa.pipeline.timelines._MOST_AT_ONCE", 3)
        patch.setattr("vqa.pipeline.timelines.gather", lambda loaded, wanted, *_: taken.append((loaded, wanted)))
        Scorer.load(bundle).timeline(clip, window_seconds=window, step_seconds=window / 2)
    return taken[0]


def test_a_decoder_that_can_not_jump_goes_through_the_video_twice_at_most(
    trained: Trained, clip: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int]
) -> None:
    loaded, parts = parts_of(clip, trained.bundle, monkeypatch, window=0.4)
    assert len(parts) == 13
    assert loaded.options.workers == 1
    candidates = loaded.backbones.candidates
    worker = _Worker(tuple(candidates), {}, WorkerLimits(max_pixels=1 << 20, video_seconds=60), {})
    monkeypatch.setattr("vqa.extract.decode_worker._worker", [worker])
    monkeypatch.setattr("vqa.extract.decode_worker.limit_video", lambda limits: None)  # it is this process's, too
    with contextlib.closing(Slot(3 * bytes_needed(candidates))) as slot:
        looked = [decode_into(clip, None, part.places, slot.name, part.spans).frames for part in parts]
        worker.slots[slot.name].close()
    assert looked == [8] * 13
    assert 350 <= len(decoded) <= 400  # 1417 when each part begins at the start


def test_a_decoder_that_can_jump_serves_all_workers(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_video(tmp_path / "clip.mp4", textured_frames(200), options={"g": "25", "qp": "0", "bf": "0"})
    loaded, parts = parts_of(clip, trained.bundle, monkeypatch, window=0.4)
    assert loaded.options.workers == 0
    assert [int(part.name) for part in parts] == list(range(0, 39, 3))


def test_scores_do_not_depend_on_the_passes(trained: Trained, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer.load(trained.bundle)
    whole = scorer.timeline(clip, window_seconds=1, step_seconds=0.5)
    monkeypatch.setattr("vqa.pipeline.timelines._MOST_AT_ONCE", 3)
    parted = scorer.timeline(clip, window_seconds=1, step_seconds=0.5)
    assert np.array_equal(parted.scores, whole.scores)
    assert len(set(whole.scores.tolist())) == 15


def test_frames_of_a_passage_are_those_of_a_fresh_start(clip: Path, decoded: list[int]) -> None:
    timeline, passage = read_timeline(clip), Passage()
    for wanted, seen in (([5, 9], 10), ([10, 40], 31), ([40, 41], 42), ([199], 158), ([0], 1)):
        fresh = dict(decode_frames(clip, timeline, np.array(wanted)))
        decoded.clear()
        found = dict(decode_frames(clip, timeline, np.array(wanted), passage=passage))
        assert list(found) == wanted
        assert all(np.array_equal(found[index], fresh[index]) for index in wanted)
        assert len(decoded) == seen


def test_a_passage_that_failed_begins_anew(clip: Path, tmp_path: Path) -> None:
    timeline, passage = read_timeline(clip), Passage()
    assert len(list(decode_frames(clip, timeline, np.array([3]), passage=passage))) == 1
    next(iter(decode_frames(clip, timeline, np.array([20, 30]), passage=passage)))  # left in the middle
    longer = read_timeline(write_video(tmp_path / "longer.avi", textured_frames(210), **MPEG4))
    with pytest.raises(VideoError, match="1 of 1 frames can't be decoded"):
        list(decode_frames(clip, longer, np.array([205]), passage=passage))
    assert len(list(decode_frames(clip, timeline, np.array([50]), passage=passage))) == 1


def test_an_extent_tells_length_and_jumps(clip: Path, tmp_path: Path) -> None:
    limits = {"max_pixels": 1 << 20, "max_seconds": 60.0, "memory_bytes": 1 << 30, "patience": 30.0}
    keys = write_video(tmp_path / "keys.mp4", textured_frames(50), options={"g": "25", "qp": "0", "bf": "0"})
    found = [read_extent(path, **limits) for path in (clip, keys, remux(keys, tmp_path / "one.mp4", skip_to_key=1))]
    assert [(round(one.seconds, 3), one.jumps) for one in found] == [(8.0, False), (2.0, True), (1.0, False)]
