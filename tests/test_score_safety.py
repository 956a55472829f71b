"""Nothing is lost to a run of `vqa score`: no file overwritten, no row doubled, no stranger's bundle in the way."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from workspaces import Trained

from vqa.errors import BundleError, VideoError
from vqa.pipeline import Scorer, score_into
from vqa.pipeline.scores import VideoScore
from vqa.train.bundle import load_bundle, save_bundle

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def scorer(trained: Trained) -> Scorer:
    return Scorer.load(trained.bundle)


@pytest.fixture
def clip(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copy(trained.clips[0], tmp_path / "clip.mp4"))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--why", "--output", "{clip}"], "end its name in .json"),
        (["--why", "--output", "{bundle}.json", "--model", "{bundle}.json"], "is a video or the bundle"),
        (["--timeline", "--plot", "{clip}"], "end its name in .html or .htm"),
        (["--timeline", "--output", "{clip}", "--format", "csv"], "is a video or the bundle, and would be lost"),
        (["--timeline", "--output", "x.html", "--plot", "x.html", "--format", "csv"], "is named twice"),
        (["--timeline", "--output", "none/there/x.csv"], ""),
        (["--timeline", "--output", "folder.csv"], "folder.csv"),
        (["--output", "{clip}", "--format", "csv"], "holds something else than scores"),
    ],
)
def test_a_file_that_would_be_lost_is_not_written(
    trained: Trained, clip: Path, run: Run, given: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("folder.csv").mkdir()
    bundle = clip.parent / "b.vqa"
    shutil.copy(trained.bundle, f"{bundle}.json")
    before = clip.read_bytes(), Path(f"{bundle}.json").read_bytes()
    words = [word.format(clip=clip, bundle=bundle) for word in given]
    status, _, err = run("score", clip, "--model", trained.bundle, *words)
    assert (status, reason in err) == (1 if reason else 0, True)
    assert (clip.read_bytes(), Path(f"{bundle}.json").read_bytes()) == before


def test_a_place_that_can_t_be_written_is_told_before_any_work(
    trained: Trained, clip: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("vqa.pipeline.backbones.load_network", refuse)
    for words in (["--timeline", "--output"], ["--why", "--output"], ["--output"]):
        target = "/proc/none/x.json"
        status, _, err = run("score", clip, "--model", trained.bundle, *words, target)
        assert (status, err.count("\n"), "/proc/none" in err) == (1, 1, True)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_a_stop_at_the_very_end_leaves_a_file_that_can_be_gone_on_with(
    scorer: Scorer, trained: Trained, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"s.{suffix}"
    score_into(scorer, trained.clips[:1], file)
    from vqa.pipeline.score_files import ScoreFile

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ScoreFile, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            score_into(scorer, trained.clips[:3], file)
    assert score_into(scorer, trained.clips[:3], file).resumed == 3


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_disk_that_fills_up_at_the_very_end_costs_no_row(
    scorer: Scorer, trained: Trained, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqa.pipeline import score_files

    file, write, calls = tmp_path / f"s.{suffix}", score_files.write_text, []

    def full(path: Path, text: str) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(score_files, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            score_into(scorer, trained.clips[:3], file)
    assert score_into(scorer, trained.clips[:3], file).resumed == 3


def test_a_row_holds_for_the_file_that_was_looked_at(scorer: Scorer, clip: Path, trained: Trained) -> None:
    file = clip.parent / "s.csv"

    def exchange(row: VideoScore) -> None:
        shutil.copy(trained.clips[7], clip)

    first = scorer.score_many([clip], on_score=exchange)[0]
    assert first.size == trained.clips[0].stat().st_size
    shutil.copy(trained.clips[0], clip)
    original = Scorer.score_many

    def late(self: Scorer, videos: list[str], **options: object) -> object:
        report = original(self, videos)
        shutil.copy(trained.clips[7], clip)  # after it was decoded, before its row is written
        for row in report:
            options["on_score"](row)  # type: ignore[operator]
        return report

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Scorer, "score_many", late)
        score_into(scorer, [clip], file)
    again = score_into(scorer, [clip], file)
    assert again.resumed == 0
    assert again[0].score == pytest.approx(scorer.score(trained.clips[7]).score)


def test_a_second_run_on_one_file_is_refused(scorer: Scorer, trained: Trained, tmp_path: Path) -> None:
    file, goes_on, seen = tmp_path / "s.csv", threading.Event(), threading.Event()

    def hold(row: VideoScore) -> None:
        seen.set()
        goes_on.wait(60)

    first = threading.Thread(target=score_into, args=(scorer, trained.clips[:1], file), kwargs={"on_score": hold})
    first.start()
    assert seen.wait(60)
    words = ["score", trained.clips[1], "--model", trained.bundle, "--output", file]
    command = [sys.executable, "-m", "vqa", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    goes_on.set()
    first.join()
    assert "s.csv: another run writes it; wait for that one, or name another file" in done.stderr
    assert score_into(scorer, trained.clips[:2], file).resumed == 1


def test_a_score_stays_where_the_video_is_away(scorer: Scorer, clip: Path) -> None:
    file = clip.parent / "s.jsonl"
    score = score_into(scorer, [clip], file)[0].score
    clip.rename(clip.with_name("away"))
    again = score_into(scorer, [clip], file)
    assert (again.resumed, again[0].score) == (1, score)
    clip.with_name("away").rename(clip)
    assert score_into(scorer, [clip], file)[0].score == score


def test_names_that_look_alike_in_csv_keep_a_row_each(scorer: Scorer, trained: Trained, tmp_path: Path) -> None:
    names = [tmp_path / "\x1b.mp4", tmp_path / "\\x1b.mp4"]
    for name, source in zip(names, trained.clips[:2], strict=True):
        shutil.copy(source, name)
    report = score_into(scorer, names, tmp_path / "s.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text())))
    assert [float(row["score"]) for row in rows] == [row.score for row in report]


def test_a_scorer_uses_what_it_added_to_its_cache(trained: Trained, clip: Path) -> None:
    scorer = Scorer.load(trained.bundle, cache=clip.parent / "cache")
    copy = Path(shutil.copy(clip, clip.with_name("copy.mp4")))
    first = scorer.score_many([clip, copy])
    assert [(Path(row.video).name, row.cached) for row in first] == [("clip.mp4", 0), ("copy.mp4", 0)]
    assert scorer.score(copy).cached == 2
    scorer.explain(clip)
    assert len(list((clip.parent / "cache").glob("*/*.h5"))) == 2


def test_what_is_no_pair_of_frames_and_times_costs_its_own_row(scorer: Scorer, clip: Path) -> None:
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    given = [None, frames, (frames,), ([frames[:2], frames], [0.0, 1.0]), (frames, ["a"] * 4), (frames, [1j] * 4), clip]
    report = scorer.score_many(given)  # type: ignore[arg-type]
    assert [bool(row.reason) for row in report] == [True] * 6 + [False]
    for lone in ("clip.mp4", clip, frames):
        with pytest.raises(VideoError, match="put this one into a list"):
            scorer.score_many(lone)  # type: ignore[arg-type]
    for strange in (b"clip.mp4", None, 3):
        with pytest.raises(VideoError, match="a video can't be a"):
            scorer.score(strange)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
def test_frames_that_may_not_be_written_to_are_read(scorer: Scorer) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), dtype=np.uint8)
    locked = np.frombuffer(frames.tobytes(), np.uint8).reshape(frames.shape)
    times = np.arange(8) / 25
    assert scorer.score(locked, times).score == scorer.score(frames, times).score


@pytest.mark.parametrize("change", ["method", "weight"])
@pytest.mark.parametrize("value", [None, "x", 5j, [], float("nan")])
def test_a_header_of_another_form_is_one_line(trained: Trained, tmp_path: Path, change: str, value: object) -> None:
    bundle = load_bundle(trained.bundle)
    header = json.loads(json.dumps(bundle.header))
    if isinstance(value, complex):
        value = {"x": 5} if change == "weight" else 5
    (header if change == "method" else header["models"][0])[change] = value
    save_bundle(tmp_path / "b.vqa", bundle.fitted, header, bundle.extras)
    with pytest.raises(BundleError, match=f"its {change} is of another form"):
        Scorer.load(tmp_path / "b.vqa")


def test_a_list_may_have_any_bytes_and_be_closed(trained: Trained, clip: Path) -> None:
    command = [sys.executable, "-m", "vqa", "score", "-", "--model", str(trained.bundle), "--format", "jsonl"]
    names = b"\xff.mp4\n" + str(clip).encode() + b"\n"
    done = subprocess.run(command, input=names, capture_output=True, check=False)
    assert done.returncode == 3
    assert [bool(json.loads(line)["score"]) for line in done.stdout.splitlines()].count(True) == 1
    closed = subprocess.run(["sh", "-c", f"{' '.join(command)} <&-"], capture_output=True, text=True, check=False)
    assert (closed.returncode, closed.stderr.count("\n")) == (1, 1)
    assert "the list is empty" in closed.stderr


def test_a_video_without_a_timeline_is_told_in_every_format(trained: Trained, clip: Path, run: Run) -> None:
    base = ["score", "none.mp4", clip, "--model", trained.bundle, "--timeline", "--format"]
    for kind in ("csv", "jsonl", "json"):
        status, out, _ = run(*base, kind)
        assert (status, "No such file" in out) == (3, True)
