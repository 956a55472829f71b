"""Damaged lines of the ledger and of the memory of keys: counted, told, and what they said found out anew."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faketoys import IDS, put_features, toy_workspace
from workspaces import Trained

from vqa.cache.folder import append_line
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.verifying import verify_cache
from vqa.records import Failure

Run = Callable[..., tuple[int, str, str]]
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flip": lambda line: line.replace(b'"key":"', b'"key":"f', 1)[:-2] + b"\n",
    "cut": lambda line: line[: len(line) // 2],
    "digit": lambda line: line[:-4] + bytes([line[-4] ^ 1]) + line[-3:],
}


def damage_line(file: Path, number: int, kind: str) -> None:
    """Damage one line of a file."""
    lines = file.read_bytes().splitlines(keepends=True)
    lines[number] = DAMAGES[kind](lines[number])
    file.write_bytes(b"".join(lines))


def failure(video: str = "clip", key: str = "k1", reason: str = "no frames") -> Failure:
    return Failure(video, key, "timm:a", "f1", "decode", reason, "2026-01-01T00:00:00+00:00")


@pytest.fixture
def workspace(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of 30 videos with features of one model, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    toy_workspace(run)
    put_features("timm:toy")
    return tmp_path


@pytest.mark.parametrize("kind", ["flip", "digit"])
def test_an_export_names_the_video_whose_key_is_lost_and_says_that_it_is_incomplete(
    workspace: Path, run: Run, kind: str
) -> None:
    assert run("cache", "export", "whole.csv")[0] == 0
    damage_line(Path("cache/keys.jsonl"), 3, kind)
    status, out, _ = run("cache", "export", "part.csv")
    assert status == 3
    assert "1 videos lack features of some model and are left out: v03\n" in out
    assert "cache/keys.jsonl has 1 damaged line: what stood there is lost; `vqa extract` finds it out anew" in out
    status, out, _ = run("cache", "export", "part.npz", "--json")
    assert (status, json.loads(out)["left_out"], json.loads(out)["damaged"]) == (
        3,
        ["v03"],
        [{"file": "cache/keys.jsonl", "count": 1}],
    )


def test_a_cut_at_the_end_of_a_line_leaves_no_video_out_in_silence(workspace: Path, run: Run) -> None:
    memo = Path("cache/keys.jsonl")
    memo.write_bytes(b"".join(memo.read_bytes().splitlines(keepends=True)[:-2]))
    status, out, _ = run("export", "part.csv")
    assert status == 3
    assert "2 videos lack features of some model and are left out: v28, v29\n" in out


def test_commands_that_look_at_no_video_name_the_one_whose_key_is_lost(workspace: Path, run: Run) -> None:
    assert run("select", "--top-k", 1)[0] == 0
    damage_line(Path("cache/keys.jsonl"), 7, "digit")
    for command in (("select", "--top-k", 1), ("train", "--cached"), ("evaluate", "--splits", 1, "--no-baselines")):
        status, _, err = run(*command)
        assert (status, err) == (
            1,
            "Error: 1 video(s) have no features of 1 of 1 models in the cache (v07), and cache/keys.jsonl has 1 "
            "damaged line; run `vqa extract --models timm:toy`, then `vqa cache verify --repair`\n",
        )
    assert "cache/keys.jsonl has 1 damaged line" in run("cache", "info")[1]
    assert "Damaged: cache/keys.jsonl has 1 damaged line; run `vqa extract`, then" in run()[1]


def test_a_model_is_not_left_out_of_a_selection_for_a_line_that_is_damaged(workspace: Path, run: Run) -> None:
    Path("t.csv").write_text("id,a\n" + "".join(f"{video},{row % 7}\n" for row, video in enumerate(IDS)))
    assert run("cache", "import", "t.csv", "--as", "p")[0] == 0
    assert run("select", "--top-k", 1)[0] == 0
    damage_line(Path("cache/keys.jsonl"), 7, "digit")
    status, _, err = run("select", "--top-k", 1)
    assert (status, "(v07), and cache/keys.jsonl has 1 damaged line; run" in err) == (1, True)


def test_hashing_anew_mends_what_was_lost_and_a_repair_drops_the_damaged_line(workspace: Path, run: Run) -> None:
    memo = Path("cache/keys.jsonl")
    damage_line(memo, 3, "digit")
    memo.write_bytes(memo.read_bytes()[:-30])  # and half of the last line
    for video in IDS:
        KeyMemo(Path("cache")).key(Path(f"clips/{video}.mp4"))
    assert [(lines.file, lines.count) for lines in KeyMemo(Path("cache")).damaged()] == [(Path("cache/keys.jsonl"), 2)]
    assert all(KeyMemo(Path("cache")).known(Path(f"clips/{video}.mp4")) for video in IDS)
    assert run("cache", "export", "whole.csv")[0] == 0
    status, out, _ = run("cache", "verify")
    assert (status, "cache/keys.jsonl has 2 damaged lines\n" in out) == (3, True)
    status, out, _ = run("cache", "verify", "--repair")
    assert (status, "Dropped 2 damaged line(s)" in out) == (0, True)
    status, out, _ = run("cache", "verify")
    assert (status, "damaged" in out) == (0, False)
    assert all(KeyMemo(Path("cache")).known(Path(f"clips/{video}.mp4")) for video in IDS)


def test_a_line_appended_below_half_a_line_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "failures" / "a.jsonl"
    Ledger(tmp_path).add(failure())
    (own,) = file.parent.iterdir()
    own.rename(file)
    file.write_bytes(file.read_bytes()[:-40])
    append_line(file, {"written_ns": 5, "forgotten": "f2"}, sync=False)
    assert file.read_bytes().splitlines()[1].startswith(b'{"written_ns":5,"forgotten":"f2","crc32":')
    assert [lines.count for lines in Ledger(tmp_path).damaged()] == [1]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_line_of_the_ledger_is_told_and_its_pair_is_due_again(tmp_path: Path, kind: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(failure())
    ledger.add(failure("other", "k2"))
    (file,) = (tmp_path / "failures").iterdir()
    damage_line(file, 0, kind) if kind != "cut" else damage_line(file, 1, kind)
    lost = "k2" if kind == "cut" else "k1"
    again = Ledger(tmp_path)
    assert again.failed(lost, "f1") is None
    assert [(lines.file, lines.count) for lines in again.damaged()] == [(file, 1)]
    report = verify_cache(tmp_path)
    assert (report.good, report.damaged_lines) == (False, again.damaged())
    report = verify_cache(tmp_path, repair=True)
    assert (report.good, report.dropped_lines) == (True, 1)
    assert verify_cache(tmp_path).good
    assert [each.key for each in Ledger(tmp_path).open_failures()] == [{"k1": "k2", "k2": "k1"}[lost]]


def test_what_is_appended_while_damaged_lines_are_dropped_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vqa.cache.folder as folder

    Ledger(tmp_path).add(failure())
    (file,) = (tmp_path / "failures").iterdir()
    damage_line(file, 0, "digit")
    before = folder.refuse_link

    def append_meanwhile(path: Path) -> None:
        monkeypatch.setattr(folder, "refuse_link", before)
        append_line(file, {"written_ns": 7, "failure": vars(failure("late", "k9"))}, sync=False)

    ledger = Ledger(tmp_path)
    ledger.damaged()
    monkeypatch.setattr(folder, "refuse_link", append_meanwhile)
    ledger.drop_damaged()
    assert [each.key for each in Ledger(tmp_path).open_failures()] == ["k9"]
    assert Ledger(tmp_path).damaged() == ()


def test_a_damaged_line_is_not_dropped_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "canary").write_text("as it was\n")
    (tmp_path / "cache" / "keys.jsonl").symlink_to(tmp_path / "canary")
    with pytest.raises(Exception, match="symbolic links"):
        verify_cache(tmp_path / "cache", repair=True)
    assert (tmp_path / "canary").read_text() == "as it was\n"


NEWER = {"crc32", "inode", "changed_ns"}
"""Fields that lines of before checksums did not have."""


def without_checksums(file: Path) -> None:
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    texts = [
        json.dumps({name: line[name] for name in line if name not in NEWER}, separators=(",", ":")) for line in lines
    ]
    file.write_text("".join(f"{text}\n" for text in texts))


def test_lines_of_before_checksums_are_read_as_they_are(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"abc")
    key = KeyMemo(tmp_path).key(video)
    ledger = Ledger(tmp_path)
    for number in range(3):
        ledger.add(failure(key=f"k{number}"))
    ledger.resolve("k1", "f1", video="clip")
    ledger.forget("f7")
    (file,) = (tmp_path / "failures").iterdir()
    for each in (file, tmp_path / "keys.jsonl"):
        without_checksums(each)
    memo, ledger = KeyMemo(tmp_path), Ledger(tmp_path)
    assert (memo.known(video), memo.damaged(), ledger.damaged()) == (key, (), ())
    assert [each.key for each in ledger.open_failures()] == ["k0", "k2"]
    assert verify_cache(tmp_path).good


@pytest.mark.parametrize("name", ["crc33", "crc3", "Crc32"])
def test_a_line_whose_checksum_has_another_name_is_not_one_of_before(tmp_path: Path, name: str) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"abc")
    KeyMemo(tmp_path).key(video)
    Ledger(tmp_path).add(failure())
    (file,) = (tmp_path / "failures").iterdir()
    for each in (file, tmp_path / "keys.jsonl"):
        each.write_bytes(each.read_bytes().replace(b'"crc32"', f'"{name}"'.encode()))
    assert KeyMemo(tmp_path).known(video) is None
    assert len(KeyMemo(tmp_path).damaged()) == len(Ledger(tmp_path).damaged()) == 1


def test_each_flipped_bit_of_lines_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"abc")
    key = KeyMemo(tmp_path).key(video)
    Ledger(tmp_path).add(failure())
    (file,) = (tmp_path / "failures").iterdir()
    readers: dict[Path, Callable[[], tuple[Any, Any, int]]] = {
        file: lambda: ((failure(),), (found := Ledger(tmp_path)).open_failures(), len(found.damaged())),
        tmp_path / "keys.jsonl": lambda: (key, (found := KeyMemo(tmp_path)).known(video), len(found.damaged())),
    }
    for each, look in readers.items():
        whole = each.read_bytes()
        for place in range(len(whole)):
            each.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            wanted, found, damaged = look()
            assert damaged == 1 or found == wanted, place
        each.write_bytes(whole)


def test_extract_tries_a_failed_video_again_whose_line_is_damaged(trained: Trained, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "w"
    shutil.copytree(trained.folder, folder, ignore=shutil.ignore_patterns("results"))
    settings = (folder / "vqa.toml").read_text().replace(str(trained.folder / "clips"), str(folder / "clips"))
    (folder / "vqa.toml").write_text(settings)
    (folder / "clips" / "broken.mp4").write_bytes(b"no video")
    assert run("extract", "-C", folder)[0] == 3
    (file,) = (folder / "cache" / "failures").iterdir()
    damage_line(file, 0, "digit")
    status, out, err = run("extract", "-C", folder)
    assert (status, "1 failed" in out) == (3, True)
    assert f"{file} has 1 damaged line: what stood there is found out anew" in err
    assert err.count("broken.mp4: the file is no video") == 1
    assert run("cache", "verify", "-C", folder)[0] == 0
    status, out, err = run("extract", "-C", folder)
    assert (status, "1 failed" in out, "damaged line" in err, "broken.mp4: " in err) == (3, True, False, False)


def test_a_failure_whose_cancelling_is_lost_does_not_stand_against_features(
    trained: Trained, tmp_path: Path, run: Run
) -> None:
    folder = tmp_path / "w"
    shutil.copytree(trained.folder, folder, ignore=shutil.ignore_patterns("results"))
    key = KeyMemo(folder / "cache").key(trained.clips[0])
    ledger = Ledger(folder / "cache")
    ledger.add(Failure("c0v0", key, "*", "*", "decode", "broken", "2026-01-01T00:00:00+00:00"))
    ledger.resolve(key, "*", video="c0v0")
    (file,) = (folder / "cache" / "failures").iterdir()
    damage_line(file, 1, "digit")
    assert len(Ledger(folder / "cache").open_failures()) == 1
    status, out, err = run("extract", "-C", folder)
    assert (status, "1 failed" in out) == (0, False)
    assert "has 1 damaged line" in err


def test_an_export_says_that_failed_videos_are_not_in_it(workspace: Path, run: Run) -> None:
    Path("clips/v30.mp4").write_text("video v30")
    key = KeyMemo(Path("cache")).key(Path("clips/v30.mp4"))
    Ledger(Path("cache")).add(Failure("v30", key, "*", "*", "decode", "broken", "2026-01-01T00:00:00+00:00"))
    status, out, _ = run("export", "part.csv")
    assert (status, "left out: v30.mp4\n" in out) == (3, True)
    with Path("part.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 30
