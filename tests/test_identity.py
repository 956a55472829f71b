"""A video is its bytes: whatever is swapped, touched, copied or taken away, features are those of what was decoded."""

from __future__ import annotations

import builtins
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from greys import model
from media import grey_frames, write_video
from workspaces import Trained, make_trained

import vqa.extract.decode_worker as worker_module
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.store import FeatureStore
from vqa.errors import TransientError, VideoError
from vqa.extract.decode_worker import WorkerLimits, decode_into
from vqa.extract.decoding import Stamp, TouchedError, checked_stamp, decode_video, read_stamp
from vqa.extract.items import bytes_needed
from vqa.extract.slots import Slot
from vqa.extract.video import decode_frames
from vqa.files import sha256_of
from vqa.pipeline import (
    Scorer,
    build_report,
    evaluate_workspace,
    extract_features,
    init_workspace,
    look_around,
    rank_models,
    score_into,
    train_regressor,
)
from vqa.pipeline.kept import read_kept_predictions
from vqa.workspace import DatasetSettings, ExtractSettings

Run = Callable[..., tuple[int, str, str]]
BUFFER_BYTES = 1 << 20


def alike(one: Path, other: Path) -> None:
    """Give two MP4 files one size, by an empty box at the end of the smaller, and one time of modification."""
    small, large = sorted([one, other], key=lambda path: path.stat().st_size)
    for path in (large, small):
        pad = large.stat().st_size - path.stat().st_size + (16 if path == large else 0)
        path.write_bytes(path.read_bytes() + pad.to_bytes(4, "big") + b"free" + bytes(pad - 8))
    for path in (one, other):
        os.utime(path, ns=(10**18, 10**18))
    assert one.stat().st_size == other.stat().st_size


def swap(path: Path, other: Path, how: str) -> None:
    """Let a path have another file's bytes, and show nothing of it in size and time."""
    if how == "in place":
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(10**18, 10**18))
    else:
        shutil.copy2(other, path.with_name("new"))
        path.with_name("new").replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (other.stat().st_size, 10**18)


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Path, Path]:
    """A dark clip in a dataset's folder and a bright one elsewhere, of one size and time."""
    (tmp_path / "clips").mkdir()
    dark = write_video(tmp_path / "clips" / "a.mp4", grey_frames([40] * 6))
    bright = write_video(tmp_path / "bright.mp4", grey_frames([200] * 6))
    alike(dark, bright)
    return dark, bright


@pytest.fixture
def folder(tmp_path: Path, clips: tuple[Path, Path]) -> Path:
    """A workspace of that dataset."""
    settings = ExtractSettings(models=("classic:siti",), frames=2, workers=1)
    init_workspace(tmp_path / "w", DatasetSettings(videos=str(tmp_path / "clips")), settings)
    return tmp_path / "w"


def held(folder: Path) -> set[str]:
    """Return the keys of the videos that a workspace's cache has features of."""
    store = FeatureStore(folder / "cache")
    return {key for candidate in store.candidates() for key in store.keys(candidate.record.fingerprint)}


@pytest.mark.parametrize("how", ["in place", "by rename"])
def test_a_swapped_video_is_extracted_as_what_it_is(folder: Path, clips: tuple[Path, Path], how: str) -> None:
    dark, bright = clips
    first = sha256_of(dark)
    assert extract_features(folder).candidates[0].stored == 1
    swap(dark, bright, how)
    report = extract_features(folder)
    assert (report.decoded, report.candidates[0].stored) == (1, 1)
    assert held(folder) == {first, sha256_of(bright)}
    assert KeyMemo(folder / "cache").known(dark) == sha256_of(bright)


def test_copies_and_restored_backups_have_the_features_of_their_bytes(folder: Path, clips: tuple[Path, Path]) -> None:
    dark, _ = clips
    extract_features(folder)
    backup = dark.with_name("backup")
    shutil.copytree(dark.parent, backup)
    dark.unlink()
    shutil.copy2(backup / "a.mp4", dark)
    shutil.rmtree(backup)
    os.link(dark, dark.with_name("hard.mp4"))
    dark.with_name("soft.mp4").symlink_to("a.mp4")
    report = extract_features(folder)
    assert (report.decoded, report.candidates[0].stored, report.candidates[0].cached) == (0, 0, 1)


@pytest.mark.parametrize("how", ["in place", "by rename"])
def test_a_video_swapped_between_hashing_and_decoding_is_stored_under_no_key_but_its_own(
    folder: Path, clips: tuple[Path, Path], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vqa.pipeline.extraction as extraction

    dark, bright = clips
    run = extraction.run_jobs

    def late(*arguments: Any) -> None:
        swap(dark, bright, how)
        run(*arguments)

    monkeypatch.setattr(extraction, "run_jobs", late)
    report = extract_features(folder)
    assert [(row.stage, row.reason) for row in report.failures] == [
        ("transient", "the file changed while it was read; run again when it is written to its end")
    ]
    assert held(folder) == set()
    monkeypatch.undo()
    assert extract_features(folder).complete
    assert held(folder) == {sha256_of(bright)}


def test_a_video_that_was_touched_between_hashing_and_decoding_is_hashed_again_and_used(
    folder: Path, clips: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import vqa.pipeline.extraction as extraction

    dark, _ = clips
    run = extraction.run_jobs

    def late(*arguments: Any) -> None:
        dark.chmod(0o600)
        os.link(dark, dark.with_name("link"))
        run(*arguments)

    monkeypatch.setattr(extraction, "run_jobs", late)
    assert extract_features(folder).complete
    assert held(folder) == {sha256_of(dark)}


def test_a_failure_that_is_not_the_file_s_is_tried_by_the_next_run(folder: Path, clips: tuple[Path, Path]) -> None:
    from vqa.records import EVERY_CANDIDATE, TRANSIENT, Failure

    key = sha256_of(clips[0])
    ledger = Ledger(folder / "cache")
    ledger.add(Failure("a.mp4", key, EVERY_CANDIDATE, EVERY_CANDIDATE, TRANSIENT, "a reason", "2026"))
    report = extract_features(folder)
    assert (report.complete, report.candidates[0].stored) == (True, 1)
    assert Ledger(folder / "cache").open_failures() == ()


def disturb(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], *, times: int = 1) -> list[int]:
    """Do something in the middle of the first decodes; gives a list that grows with each decode."""
    begun: list[int] = []

    def disturbed(*arguments: Any, **options: Any) -> Iterator[Any]:
        begun.append(1)
        for number, frame in enumerate(decode_frames(*arguments, **options)):
            if number == 0 and len(begun) <= times:
                act()
            yield frame

    monkeypatch.setattr("vqa.extract.decoding.decode_frames", disturbed)
    return begun


@pytest.mark.parametrize("how", ["in place", "by rename"])
def test_a_video_swapped_while_it_is_decoded_and_swapped_back_is_not_taken(
    clips: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    dark, bright = clips
    original = Path(shutil.copy2(dark, tmp_path / "original.mp4"))
    key, stamp = sha256_of(dark), read_stamp(dark)

    def act() -> None:
        swap(dark, bright, how)
        swap(dark, original, how)

    disturb(monkeypatch, act)
    buffer = memoryview(bytearray(bytes_needed([model().candidate])))
    with pytest.raises(TouchedError, match="the file changed while it was read; run again"):
        decode_video(dark, [model().candidate], {}, buffer, stamp=stamp, key=key)
    decode_video(dark, [model().candidate], {}, buffer, stamp=stamp, key=key)  # it is hashed again, and is the same


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be a decode worker, without the limits."""
    own = worker_module._Worker((model().candidate,), {}, WorkerLimits(max_pixels=10**6, video_seconds=60), {})
    monkeypatch.setattr(worker_module, "_worker", [own])
    monkeypatch.setattr(worker_module, "limit_video", lambda limits: None)


@pytest.mark.usefixtures("worker")
def test_a_video_that_gets_a_link_while_it_is_decoded_is_decoded_again(
    clips: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dark, _ = clips
    begun = disturb(monkeypatch, lambda: os.link(dark, dark.with_name("link")))
    slot = Slot(BUFFER_BYTES)
    decode_into(dark, read_stamp(dark), (0,), slot.name, (), sha256_of(dark))
    assert len(begun) == 2
    assert abs(int(np.frombuffer(slot.buffer, np.uint8, 1)[0]) - 40) <= 1
    slot.close()


@pytest.mark.usefixtures("worker")
def test_a_video_that_is_touched_without_end_is_given_up(
    clips: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dark, _ = clips
    begun = disturb(monkeypatch, lambda: dark.chmod(0o600), times=9)
    slot = Slot(BUFFER_BYTES)
    with pytest.raises(TransientError, match="the file changed while it was read"):
        decode_into(dark, read_stamp(dark), (0,), slot.name, (), sha256_of(dark))
    assert len(begun) == 3
    slot.close()


def test_without_a_key_a_touched_file_is_taken_and_another_is_not(clips: tuple[Path, Path]) -> None:
    dark, bright = clips
    stamp = read_stamp(dark)
    dark.chmod(0o600)
    assert checked_stamp(dark, stamp) == read_stamp(dark) != stamp
    assert checked_stamp(dark, Stamp(stamp.size, stamp.mtime_ns), sha256_of(dark)) == read_stamp(dark)
    with pytest.raises(TransientError, match="changed while it was read"):
        checked_stamp(dark, stamp, sha256_of(bright))
    with pytest.raises(TransientError, match="changed while it was read"):
        checked_stamp(dark, Stamp(stamp.size, stamp.mtime_ns + 1))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A trained workspace whose clips may be taken away."""
    return make_trained(tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize("how", ["in place", "by rename"])
@pytest.mark.parametrize("adding", [True, False])
def test_a_swapped_video_is_scored_as_what_it_is(own: Trained, tmp_path: Path, adding: bool, how: str) -> None:
    clip, other = (Path(shutil.copy(own.folder / "clips" / name, tmp_path)) for name in ("c0v0.mp4", "c3v3.mp4"))
    alike(clip, other)
    cache = tmp_path / "cache"
    with_cache = Scorer.load(own.bundle, cache=cache, adding=True)
    first, second = with_cache.score(clip).score, Scorer.load(own.bundle).score(other).score
    assert abs((first or 0) - (second or 0)) > 1
    swap(clip, other, how)
    found = Scorer.load(own.bundle, cache=cache, adding=adding).score(clip)
    assert (found.score, found.cached) == (second, 0)


def test_a_file_of_scores_does_not_go_on_with_the_score_of_a_swapped_video(own: Trained, tmp_path: Path) -> None:
    clip, other = (Path(shutil.copy(own.folder / "clips" / name, tmp_path)) for name in ("c0v0.mp4", "c3v3.mp4"))
    alike(clip, other)
    scorer, file = Scorer.load(own.bundle), tmp_path / "scores.csv"
    first = score_into(scorer, [clip], file).scores[0]
    assert score_into(scorer, [clip], file).resumed == 1
    swap(clip, other, "in place")
    again = score_into(scorer, [clip], file)
    assert again.resumed == 0
    assert again.scores[0].score == scorer.score(other).score != first.score


def test_a_file_of_scores_from_before_change_times_is_read_and_its_rows_are_in_doubt(
    own: Trained, tmp_path: Path
) -> None:
    clip = Path(shutil.copy(own.clips[0], tmp_path))
    scorer, file = Scorer.load(own.bundle), tmp_path / "scores.csv"
    score_into(scorer, [clip], file)
    header, row = file.read_text().splitlines()
    assert header.endswith(",modified_ns,changed_ns,note,stage")
    file.write_text("".join(line.rsplit(",", 3)[0] + "\n" for line in (header, row)))
    assert score_into(scorer, [clip], file).resumed == 0
    assert file.read_text().splitlines()[0] == header


def refuse_to_look(monkeypatch: pytest.MonkeyPatch, clips: Path) -> None:
    """Fail where a file in a folder is looked at; that folder's names may be listed."""

    def guard(module: Any, name: str) -> None:
        whole = getattr(module, name)

        def guarded(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | bytes | os.PathLike):
                assert Path(os.fsdecode(path)).parent != clips, f"{name}({os.fsdecode(path)})"
            return whole(path, *arguments, **options)

        monkeypatch.setattr(module, name, guarded)

    for name in ("stat", "lstat", "open", "access", "readlink"):
        guard(os, name)
    guard(builtins, "open")


def test_selection_training_and_evaluation_look_at_no_video(own: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, away = own.folder / "clips", own.folder / "away"
    clips.rename(away)
    clips.mkdir()
    for clip in away.iterdir():
        os.mkfifo(clips / clip.name)  # who opened it would wait for ever
    try:
        with monkeypatch.context() as patch:
            refuse_to_look(patch, clips)
            with pytest.raises(AssertionError, match="c0v0"):
                (clips / "c0v0.mp4").stat()
            assert rank_models(own.folder, top_k=2) is not None
            train_regressor(own.folder, cached=True)
            evaluate_workspace(own.folder, splits=2)
            build_report(own.folder, thumbnails=False)
            assert look_around(own.folder).failed == 0
    finally:
        shutil.rmtree(clips)
        away.rename(clips)
    _check_gallery(own.folder)


def _check_gallery(folder: Path) -> None:
    """Take away a video of an evaluated workspace, let another lie in place of a second, and touch a third."""
    clips, page = folder / "clips", folder / "page.html"
    tested = sorted({row.id for row in read_kept_predictions(folder / "results") or ()})
    gone, changed, touched = (clips / f"{name}.mp4" for name in tested[:3])
    shutil.copy2(gone, folder / "gone")
    shutil.copy2(changed, folder / "changed")
    alike(changed, Path(shutil.copy2(clips / f"{tested[3]}.mp4", folder / "other.mp4")))
    gone.unlink()
    touched.touch()
    keys = (folder / "cache" / "keys.jsonl").read_text()
    try:
        text = build_report(folder, page).file.read_text()
    finally:
        shutil.copy2(folder / "gone", gone)
        shutil.copy2(folder / "changed", changed)
    assert text.count("no picture: its file is not there any more") == 1
    assert text.count("no picture: another video lies at its path by now") == 1
    assert text.count("data:image/jpeg") == len(tested) - 2
    assert (folder / "cache" / "keys.jsonl").read_text().startswith(keys)
    assert KeyMemo(folder / "cache").known(changed) == sha256_of(changed)


def test_a_video_that_can_not_be_opened_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="can't be opened"):
        KeyMemo(tmp_path / "cache").is_unchanged(tmp_path / "gone.mp4")
