"""How each file was read goes with its score, in every format, and with its failure into the ledger."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from ffmpegs import ffmpeg
from media import grey_frames, remux, textured_frames, write_parts, write_video
from numbered import write_numbered
from workspaces import tiny_models

from vqa.cache.folder import append_line
from vqa.cache.ledger import Ledger
from vqa.extract.reading import describe_reading
from vqa.extract.rules import rules_versions
from vqa.extract.timeline import PACKETS
from vqa.extract.video import Passage, decode_frames, read_timeline
from vqa.pipeline import Scorer, VideoScore, score_into
from vqa.pipeline.score_files import COLUMNS
from vqa.records import EVERY_CANDIDATE, Failure, Reading

if TYPE_CHECKING:
    from workspaces import Trained

Run = Callable[..., tuple[int, str, str]]

BY_DURATIONS = "times from durations of the frames"
PLAIN = {"codec": "libx264", "pix_fmt": "yuv420p"}


@pytest.fixture(scope="module")
def scorer(trained: Trained) -> Scorer:
    return Scorer.load(trained.bundle)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A stream without any times."""
    return write_video(tmp_path / "raw.h264", textured_frames(12), **PLAIN)


def two_streams(path: Path) -> Path:
    """Write a file with sound first, then two streams of ten and of six pictures."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000)
        videos = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in videos:
            stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 48000
        container.mux([*sound.encode(silence), *sound.encode()])
        for stream, frames in zip(videos, (grey_frames()[:10], grey_frames()[:6]), strict=True):
            for rgb in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
            container.mux(stream.encode())
    return path


def reading_of(path: Path) -> Reading:
    timeline, passage = read_timeline(path), Passage()
    next(iter(decode_frames(path, timeline, np.array([0]), passage=passage)))
    return describe_reading(timeline, passage.colour)


def test_a_plain_file_is_read_by_its_packets_and_has_no_note(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", grey_frames()[:10], **PLAIN)
    reading = Reading(0, 1, PACKETS, "untagged: BT.601, limited", 10, 0, 0, "")
    assert reading_of(clip) == reading
    told = "stream 0; times: packets; colour: untagged: BT.601, limited; 10 frames, 0 not shown, 0 unreadable"
    assert str(reading) == told


@pytest.mark.parametrize(
    ("tags", "lines", "colour"),
    [
        ({"colorspace": 1, "color_range": 1}, 64, "stream: BT.709, limited"),
        ({"colorspace": 9, "color_range": 2}, 64, "stream: BT.2020, full"),
        ({"color_range": 2}, 64, "untagged: BT.601, stream: full"),
        ({}, 720, "untagged: BT.709, limited"),
    ],
)
def test_colour_says_what_holds_and_who_says_so(tmp_path: Path, tags: dict[str, int], lines: int, colour: str) -> None:
    clip = write_video(
        tmp_path / "a.mkv", grey_frames()[:2] if lines == 64 else grey_frames((9, 90), height=720), color=tags, **PLAIN
    )
    reading = reading_of(clip)
    assert reading is not None
    assert reading.colour == colour


def test_several_streams_times_from_decoding_and_frames_that_are_not_shown_are_noted(tmp_path: Path, raw: Path) -> None:
    several = reading_of(two_streams(tmp_path / "two.mkv"))
    assert several is not None
    assert (several.stream, several.streams, several.frames) == (1, 2, 10)
    assert several.note == "stream 1 of the file, one of 2 video streams"
    decoded = reading_of(raw)
    assert decoded is not None
    assert (decoded.times, decoded.frames, decoded.note) == ("durations of the frames", 12, BY_DURATIONS)
    open_groups = {"qp": "4", "g": "10", "bf": "3", "x264-params": "scenecut=0:b-adapt=0:open-gop=1"}
    clip = write_video(tmp_path / "open.mkv", textured_frames(30), options=open_groups, **PLAIN)
    cut = reading_of(remux(clip, tmp_path / "cut.mkv", skip_to_key=1))
    assert cut is not None
    assert (cut.frames, cut.dropped, cut.note) == (20, 1, "times from decoded frames; 1 frame(s) not shown")


def test_a_score_says_how_its_file_was_read_and_pixels_and_caches_say_nothing(
    trained: Trained, scorer: Scorer, raw: Path
) -> None:
    row = scorer.score(raw)
    assert row.reading == reading_of(raw)
    assert (row.note, row.status) == (BY_DURATIONS, f"ok; {BY_DURATIONS}")
    assert f"ok; {BY_DURATIONS}" in row._repr_html_()
    plain = scorer.score(trained.clips[0])
    assert plain.reading == reading_of(trained.clips[0])
    assert (plain.note, plain.status) == ("", "ok")
    pixels = np.stack(textured_frames(12))
    assert scorer.score(pixels, np.arange(12) / 25).reading is None
    cached = Scorer.load(trained.bundle, cache=trained.folder / "cache", adding=False).score(trained.clips[0])
    assert (cached.cached, cached.reading, cached.note) == (2, None, "")
    timeline, explanation = scorer.timeline(raw), scorer.explain(raw)
    assert timeline.reading == explanation.reading == row.reading


def test_the_table_notes_what_matters_and_json_says_it_all(
    run: Run, trained: Trained, scorer: Scorer, raw: Path
) -> None:
    expected = scorer.score(raw).reading
    assert expected is not None
    arguments = ("score", raw, trained.clips[0], "--model", trained.bundle)
    assert f"ok; {BY_DURATIONS}" in " ".join(run(*arguments)[1].split())
    rows = json.loads(run(*arguments, "--format", "json")[1])["scores"]
    assert rows[0]["reading"] == asdict(expected)
    assert [row["note"] for row in rows] == [BY_DURATIONS, ""]
    csv_rows = list(csv.DictReader(run(*arguments, "--format", "csv")[1].splitlines()))
    assert {row["video"]: row["note"] for row in csv_rows} == {row["video"]: row["note"] for row in rows}
    assert f"how it was read: {BY_DURATIONS}" in run(*arguments, "--why")[1]
    out = run(*arguments, "--timeline", "--format", "json")[1]
    assert [each["reading"]["times"] for each in json.loads(out)["timelines"]] == ["durations of the frames", PACKETS]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_file_of_scores_gives_back_how_each_was_read(scorer: Scorer, raw: Path, tmp_path: Path, suffix: str) -> None:
    first = score_into(scorer, [raw], tmp_path / f"s.{suffix}")
    again = score_into(scorer, [raw], tmp_path / f"s.{suffix}")
    assert (again.resumed, again[0]) == (1, first[0])
    assert first[0].reading is not None


@pytest.mark.parametrize("reading", ["[]", '{"stream": 0}', '{"stream": "0"}', "5"])
def test_a_file_that_tells_it_in_another_form_is_refused(
    run: Run, trained: Trained, raw: Path, tmp_path: Path, reading: str
) -> None:
    file = tmp_path / "s.jsonl"
    arguments = ("score", raw, "--model", trained.bundle, "--output", file)
    assert run(*arguments)[0] == 0
    whole = json.loads(file.read_text())
    if reading.startswith("{"):
        whole["reading"] |= json.loads(reading)
        whole["reading"].pop("note")
    else:
        whole["reading"] = json.loads(reading)
    file.write_text(json.dumps(whole) + "\n")
    status, _, err = run(*arguments)
    assert (status, "holds something else than scores" in err, err.count("\n")) == (1, True, 1)


def test_rows_of_before_there_were_notes_are_scored_again(scorer: Scorer, raw: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    score_into(scorer, [raw], file)
    lines = list(csv.reader(file.read_text().splitlines()))
    assert tuple(lines[0]) == COLUMNS
    place = COLUMNS.index("note")
    assert lines[1][place] == BY_DURATIONS
    file.write_text("".join(",".join(cells[: place - 1]) + "\n" for cells in lines))
    again = score_into(scorer, [raw], file)
    assert (again.resumed, again[0].note) == (0, BY_DURATIONS)
    assert tuple(next(csv.reader(file.read_text().splitlines()))) == COLUMNS


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A good clip, one with an index and no picture that can be decoded, and one that is no video."""
    (tmp_path / "clips").mkdir()
    content = bytearray(write_video(tmp_path / "clips" / "good.mp4", textured_frames(10), **PLAIN).read_bytes())
    pictures = slice(content.index(b"mdat") + 4, content.index(b"moov") - 4)
    content[pictures] = b"\xa5" * (pictures.stop - pictures.start)
    (tmp_path / "clips" / "broken.mp4").write_bytes(content)
    (tmp_path / "clips" / "none.mp4").write_bytes(b"no video")
    (tmp_path / "vqa.toml").write_text(
        '[dataset]\nvideos = "clips"\n[extract]\nframes = 4\nprecision = "float32"\n'
        f'models = ["{tiny_models(tmp_path)[2]}"]\n'
    )
    return tmp_path


def test_the_ledger_says_how_a_file_was_read_as_far_as_it_was(run: Run, workspace: Path) -> None:
    assert run("extract", "-C", workspace)[0] == 3
    broken, none = sorted(Ledger(workspace / "cache").open_failures(), key=lambda failure: failure.video)
    assert broken.reading.startswith("stream 0; times: decoded frames; colour: not known; 0 frames, 0 not shown, 10 ")
    assert none.reading == ""
    assert broken.rules == none.rules == rules_versions() == "resize 2, crop 2, fragments 2, native 2"


def test_a_measure_that_fails_on_frames_that_were_decoded_says_how_they_were_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    sizes = [grey_frames(range(10, 250, 40), height=height) for height in (64, 48)]
    write_parts(tmp_path / "clips" / "sizes.ts", sizes * 4)
    (tmp_path / "vqa.toml").write_text(
        '[dataset]\nvideos = "clips"\n[extract]\nframes = 48\nmodels = ["classic:siti"]\n'
    )
    status = run("extract", "-C", tmp_path)[0]
    assert status == 3
    (only,) = Ledger(tmp_path / "cache").open_failures()
    assert (only.stage, "the resolution changes" in only.reason) == ("features", True)
    assert only.reading.startswith("stream 0; times: packets; ")


def test_a_video_that_older_rules_could_not_decode_is_tried_again(run: Run, workspace: Path) -> None:
    for name in ("broken.mp4", "none.mp4"):
        (workspace / "clips" / name).unlink()
    good = hashlib.sha256((workspace / "clips" / "good.mp4").read_bytes()).hexdigest()
    Ledger(workspace / "cache").add(failure(video="good.mp4", key=good, rules=rules_versions()))
    status, out, _ = run("extract", "-C", workspace)
    assert (status, "Nothing to do: no video was decoded" in out) == (3, True)
    Ledger(workspace / "cache").add(failure(video="good.mp4", key=good, rules="resize 1"))
    status, out, _ = run("extract", "-C", workspace)
    assert (status, "1 videos decoded" in out) == (0, True)
    assert Ledger(workspace / "cache").open_failures() == ()


def failure(**values: str) -> Failure:
    own = {"video": "v", "key": "k", "candidate": "*", "fingerprint": EVERY_CANDIDATE, "stage": "decode"}
    return Failure(**{**own, "reason": "broken", "time": "2026-01-02T03:04:05+00:00", **values})


def test_lines_of_before_there_were_readings_are_read_and_others_left_aside(tmp_path: Path) -> None:
    line = {"written_ns": 5, "failure": asdict(failure())}
    older = {**line, "failure": {name: line["failure"][name] for name in list(line["failure"])[:7]}}
    assert "reading" not in older["failure"]
    lacking = {**line, "failure": {"video": "w", "key": "l"}}
    newer = {**line, "failure": {**asdict(failure(key="m")), "more": "x"}}
    (tmp_path / "failures").mkdir()
    for each in (older, lacking, newer):
        append_line(tmp_path / "failures" / "a.jsonl", each, sync=False)
    assert Ledger(tmp_path).open_failures() == (failure(),)


def test_a_row_of_a_failed_video_says_how_far_it_was_read(scorer: Scorer, workspace: Path) -> None:
    row: VideoScore = scorer.score_many([workspace / "clips" / "broken.mp4"])[0]
    assert (row.score, row.status) == (None, row.reason)
    assert row.reading is not None
    assert (row.reading.frames, row.reading.unreadable) == (0, 10)


def test_one_bitstream_has_one_score_whatever_container_holds_it(scorer: Scorer, tmp_path: Path) -> None:
    true = write_numbered(tmp_path / "true.mkv", "-c:v libx264 -crf 30 -bf 3 -pix_fmt yuv420p")
    guessed = tmp_path / "guessed.avi"
    ffmpeg("-i", true, "-c", "copy", "-bsf:v", "h264_mp4toannexb", guessed)
    scores = [scorer.score(path) for path in (true, guessed)]
    assert scores[0].score == scores[1].score
    assert [score.note for score in scores] == ["", "times from nominal rate"]
