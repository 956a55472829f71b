"""One node's part of a cluster run, without Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workspaces import make_clips, tiny_models

from vqa.cache.store import FeatureStore
from vqa.errors import CacheError, ProbeError, VqaError
from vqa.extract.spec import parse_spec
from vqa.files import Downloads
from vqa.pipeline.cluster.extractor import Extractor
from vqa.pipeline.cluster.work import Order, Row, Todo
from vqa.settings import ExtractSettings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("extractor")
    make_clips(folder)
    return folder, tiny_models(folder)


@pytest.fixture
def extractor(made: tuple[Path, tuple[str, ...]], tmp_path: Path) -> Iterator[Extractor]:
    """One that has settled on two candidates."""
    one = begun(tmp_path)
    one.settle([parse_spec(text, frames=4) for text in made[1][:2]], False)
    yield one
    one.stop()


def begun(folder: Path) -> Extractor:
    settings = ExtractSettings(precision="float32", frames=4)
    one = Extractor(Order(folder / "cache", settings, False, 2, Downloads()))
    one.begin()
    return one


def rows(folder: Path) -> list[Row]:
    return [Row(path.stem, path) for path in sorted((folder / "clips").glob("*.mp4"))]


def pairs(folder: Path) -> dict[str, list[str]]:
    """Return the keys that lie in segments, with repetitions, by candidate."""
    store = FeatureStore(folder / "cache")
    return {
        stored.record.name: [key for segment in store._held(stored.record.fingerprint).segments for key in segment.keys]
        for stored in store.candidates()
    }


def found(extractor: Extractor, folder: Path) -> list[Todo]:
    return list(extractor.look_at(rows(folder)).todo)


def test_a_look_tells_what_is_missing_and_how_long_it_lasts(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    looked = extractor.look_at(
        [*rows(made[0]), Row("gone", tmp_path / "gone.mp4"), Row("empty", tmp_path / "empty.mp4")]
    )
    assert [todo.video for todo in looked.todo] == [*(row.video for row in rows(made[0])), "empty"]
    assert {todo.models for todo in looked.todo} == {(0, 1)}
    assert [todo.seconds for todo in looked.todo][:16] == pytest.approx([0.4] * 16)
    assert [(failure.video, failure.stage) for failure in looked.failures] == [("gone", "open")]
    assert len(looked.keys) == 17


def test_a_block_is_on_the_disk_when_it_is_done(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    done = extractor.work_on(todos[:5])
    assert {name: len(keys) for name, keys in pairs(tmp_path).items()} == dict.fromkeys(made[1][:2], 5)
    assert (dict(done.stored), done.decoded, done.failures) == ({0: 5, 1: 5}, 5, ())
    assert min(done.seconds.values()) > 0


def test_of_a_block_that_was_begun_before_only_the_rest_is_done(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    extractor.work_on(todos[:3])
    done = extractor.work_on([replace(todo, again=True) for todo in todos[:6]])
    assert (dict(done.stored), done.decoded) == ({0: 3, 1: 3}, 3)
    keys = pairs(tmp_path)
    assert all(sorted(each) == sorted(todo.key for todo in todos[:6]) for each in keys.values())
    assert dict(extractor.work_on([replace(todo, again=True) for todo in todos[:6]]).stored) == {}


def test_blocks_at_once_and_of_other_candidates_are_all_done(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    blocks = [
        [replace(todo, models=(0,)) for todo in todos[:4]],
        [replace(todo, models=(1,)) for todo in todos[:4]],
        todos[4:8],
        todos[8:],
    ]
    threads = [threading.Thread(target=extractor.work_on, args=(block,)) for block in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = sorted(todo.key for todo in todos)
    assert [sorted(keys) for keys in pairs(tmp_path).values()] == [every, every]


def test_what_a_dead_extractor_had_stored_counts_as_this_runs_work(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]]
) -> None:
    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    extractor.work_on([replace(todo, models=(0,)) for todo in todos[:2]] + todos[2:4])
    done = extractor.work_on([replace(todo, begun=True) for todo in todos[:6]])
    assert (dict(done.stored), done.decoded) == ({0: 6, 1: 6}, 6)


def test_a_look_tells_what_is_there(extractor: Extractor, made: tuple[Path, tuple[str, ...]]) -> None:
    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    extractor.work_on([replace(todos[0], models=(1,)), todos[1]])
    extractor._finder.refresh()
    assert extractor.look_at(rows(made[0])[:3]).held == ((1,), (0, 1), ())


def test_a_block_whose_features_cannot_be_written_says_so_and_holds_nobody(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqa.cache import writer

    def full(*arguments: object, **more: object) -> None:
        raise CacheError("the cache is full")

    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    monkeypatch.setattr(writer, "write_segment", full)
    errors: list[str] = []

    def work() -> None:
        try:
            extractor.work_on(todos[:3])
        except CacheError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert errors == ["the cache is full"]


def test_a_video_that_failed_under_another_name_is_not_tried_again(extractor: Extractor, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (todo,) = extractor.look_at([Row("bad", tmp_path / "bad.mp4")]).todo
    extractor.prepare((0, 1))
    assert len(extractor.work_on([todo]).failures) == 1
    again = extractor.work_on([replace(todo, again=True)])
    assert (again.failures, again.decoded, dict(again.stored)) == ((), 0, {})


def test_what_a_block_fails_with_comes_back_and_stands_in_the_ledger(extractor: Extractor, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (todo,) = extractor.look_at([Row("bad", tmp_path / "bad.mp4")]).todo
    extractor.prepare((0, 1))
    (failure,) = extractor.work_on([todo]).failures
    assert (failure.video, failure.stage, failure.fingerprint) == ("bad", "decode", "*")
    again = begun(tmp_path)
    again.join([entry.candidate for entry in extractor._entries])
    looked = again.look_at([Row("bad", tmp_path / "bad.mp4")])
    assert looked.todo == ()
    assert [each.reason for each in looked.failures] == [failure.reason]
    again.stop()


def test_a_stopped_extractor_says_so_of_blocks_it_has_not_done(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]]
) -> None:
    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    extractor.work_on(todos[:1])
    extractor.stop()
    with pytest.raises(VqaError, match="run the command again"):
        extractor.work_on(todos[1:])


def test_weights_that_cannot_be_had_are_told_by_place(tmp_path: Path, made: tuple[Path, tuple[str, ...]]) -> None:
    import shutil

    folder = tmp_path / "weights"
    folder.mkdir()
    for text in made[1]:
        shutil.copy(text.partition("/")[2], folder)
    specs = [parse_spec(f"timm:{name}/{folder}/{name}.safetensors", frames=4) for name in ("test_vit", "test_resnet")]
    one = begun(tmp_path)
    one.settle(specs, False)
    (folder / "test_resnet.safetensors").write_bytes(b"")
    prepared = one.prepare((0, 1))
    assert list(prepared.weights_sha256) == [0]
    assert list(prepared.unavailable) == [1]
    one.stop()


def test_a_model_whose_numbers_changed_is_refused_before_any_block(
    extractor: Extractor, made: tuple[Path, tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqa.pipeline import candidates

    todos = found(extractor, made[0])
    extractor.prepare((0, 1))
    extractor.work_on(todos[:1])
    probe = candidates.probe_features
    monkeypatch.setattr(candidates, "probe_features", lambda *arguments: np.float32(1.1) * probe(*arguments))
    other = begun(tmp_path)
    other.join([entry.candidate for entry in extractor._entries])
    with pytest.raises(ProbeError, match="its numbers changed"):
        other.prepare((0, 1))
    other.stop()
