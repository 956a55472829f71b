"""What strangers call their videos is shown, never obeyed: on the terminal and in CSV files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import grey_frames, write_video
from workspaces import make_clips, tiny_models

from vqa.cache.store import filling_command
from vqa.cache.tablefiles import RatedIds, TableNames, read_feature_file
from vqa.cache.tablewriting import write_feature_file
from vqa.escaping import csv_text, for_csv, for_terminal, from_csv
from vqa.label_tables import read_csv_table
from vqa.terminal import Bars, print_json, print_table, say

Run = Callable[..., tuple[int, str, str]]

HOSTILE = {
    "colour": ("a\x1b[31mb", r"a\x1b[31mb"),
    "title of the window": ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
    "eight-bit escape": ("a\x9b31mb", r"a\x9b31mb"),
    "back to the start": ("good\rbad", r"good\rbad"),
    "new line": ("a\nError: b", r"a\nError: b"),
    "line separator": ("a\u2028b", r"a\u2028b"),
    "backspace": ("bad\x08\x08\x08good", r"bad\x08\x08\x08good"),
    "turned round": ("a\u202egpm.4", r"a\u202egpm.4"),
    "isolated": ("a\u2066b", r"a\u2066b"),
    "nothing to see": ("a\u200bb\x00", r"a\u200bb\x00"),
    "no text at all": ("a\udcffb", r"a\udcffb"),
    "markup": ("[bold]a[/bold] :smile:", "[bold]a[/bold] :smile:"),
    "HTML": ("<script>a</script>", "<script>a</script>"),
}

PLAIN = ["ñ 日本 العربية.mp4", "a\u00a0b", "a\u3000b", "C:\\x\\y.mp4", "'quoted'", "e\u0301"]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_can_not_be_seen_is_shown_by_its_code(name: str) -> None:
    text, shown = HOSTILE[name]
    assert for_terminal(text) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert for_terminal(text) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_each_way_to_the_terminal_shows_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, shown = HOSTILE[name]
    clock = iter(range(0, 10_000, 100))
    say(text)
    print_table(text, ("video", text), [(text, text)], spare=(text,))
    with Bars(clock=lambda: float(next(clock))) as bars:
        bars.update(text, 1, 2, text)
    out, err = capsys.readouterr()
    assert out.count(shown) == 5
    assert err.count(shown) == 2
    assert not any(character in out + err for character in text if not character.isprintable() and character != "\n")


def test_a_note_and_an_error_are_one_line_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as bars:
        bars.note("a\x1b[2J\nb\u202e")
    assert capsys.readouterr().err == "a\\x1b[2J b\\u202e\n"


def test_json_keeps_the_exact_text_and_is_plain_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [text for text, _ in HOSTILE.values()]
    print_json(texts)
    out = capsys.readouterr().out
    assert json.loads(out) == texts
    assert out.replace("\n", "").isascii()
    assert out.replace("\n", "").isprintable()


def test_json_has_no_number_that_json_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([float("inf"), float("nan"), -float("inf"), 1.5])
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == [None, None, None, 1.5]


FORMULAS = {
    "=cmd|'/c calc'!A1": "'=cmd|'/c calc'!A1",
    "+1": "'+1",
    "-0VtKZ": "'-0VtKZ",
    "@SUM(A1)": "'@SUM(A1)",
    "'=1": "''=1",
    "\t=1": "\\t=1",
    "\r=1": "\\r=1",
    "＝1": "'＝1",
    "a=1": "a=1",
    "'a'": "'a'",
    "": "",
}


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe(text: str) -> None:
    assert for_csv(text) == FORMULAS[text]


def test_numbers_stay_numbers() -> None:
    assert csv_text([("a", -1.5, 3)]) == "a,-1.5,3\n"


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])) | st.text("'=+-@ab"))
def test_every_printable_text_comes_back_from_its_cell(text: str) -> None:
    assert from_csv(str(for_csv(text))) == text


IDS = ("=1+1", "+b", "-c", "@d", "'=e", "''-f", "g'", "＝h")


def test_what_is_exported_as_csv_is_guarded_and_comes_back_the_same(tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.float32)[:, None] - 4
    rated = RatedIds(IDS, np.arange(8.0), tuple(reversed(IDS)), None)
    write_feature_file(tmp_path / "a.csv", rated, {"=set": np.hstack([values, values])})
    lines = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [line[0] for line in lines] == ["ids", "'=1+1", "'+b", "'-c", "'@d", "''=e", "'''-f", "g'", "'＝h"]
    assert lines[0][3] == "'=set/0"
    assert lines[1][3] == "-4.0"
    read = read_feature_file(tmp_path / "a.csv", TableNames())
    assert (read.rated.ids, read.rated.groups) == (IDS, tuple(reversed(IDS)))
    assert next(iter(read.sets.values())).tolist() == np.hstack([values, values]).tolist()


def test_labels_give_the_same_ids_back(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(csv_text([("id", "mos"), *((name, 3) for name in IDS)]))
    assert [cells[0] for _, cells in read_csv_table(tmp_path / "labels.csv").lines] == list(IDS)


def hostile_workspace(folder: Path) -> Path:
    """Make a workspace whose ids and contents are formulas and control characters, and one broken video."""
    make_clips(folder)
    names = {}
    for number, clip in enumerate(sorted((folder / "clips").iterdir())):
        names[clip.stem] = f"{list(FORMULAS)[number % 4][:1]}{number}\x1b[31m\u202e[b]<i>"
        clip.rename(clip.with_name(f"{names[clip.stem]}.mp4"))
    (folder / "clips" / "=bad\x1b[2J\nError: all is lost.mp4").write_bytes(b"no video")
    write_video(folder / "clips" / "not \udcff text.mp4", grey_frames())
    lines = (folder / "labels.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    text = io.StringIO()
    csv.writer(text).writerows([["id", "mos", "group"], *([names[n], mos, f"@{group}\x07"] for n, mos, group in rows)])
    (folder / "labels.csv").write_text(text.getvalue())
    models = json.dumps(list(tiny_models(folder)))
    (folder / "vqa.toml").write_text(
        f'[dataset]\nvideos = "clips"\nlabels = "labels.csv"\n[extract]\nmodels = {models}\n'
        "[train]\nsplits = 2\nrestarts = 1\nepochs = 2\n"
    )
    return folder


def assert_harmless(text: str) -> None:
    assert "\x1b" not in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert not any(line.startswith("Error: all") for line in text.split("\n"))


def assert_no_formulas(file: Path) -> None:
    for line in csv.reader(io.StringIO(file.read_text())):
        for cell in line:
            assert cell.isprintable()
            assert cell[:1] not in ("=", "+", "@")
            assert not cell.startswith("-") or float(cell) <= 0


def test_the_whole_job_on_hostile_names_prints_and_writes_nothing_that_acts(tmp_path: Path, run: Run) -> None:
    folder = hostile_workspace(tmp_path)
    commands = {
        ("extract",): 3,
        ("select", "--top-k", "2"): 0,
        ("train", "--cached"): 0,
        ("evaluate", "--method", "ptm-vqa", "--no-baselines"): 0,
        ("cache", "info"): 0,
        ("cache", "export", tmp_path / "out.csv"): 3,
        ("cache", "export", tmp_path / "out.npz"): 3,
        ("cache", "export", tmp_path / "out.mat"): 1,  # one name is no Unicode, and MATLAB's texts are
        ("score", *sorted((folder / "clips").glob("*b*"))): 3,
    }
    for command, expected in commands.items():
        status, out, err = run(*command, "-C", folder)
        assert status == expected, (command, out, err)
        assert_harmless(out + err)
    for file in (*(folder / "results").glob("*.csv"), tmp_path / "out.csv"):
        assert_no_formulas(file)


def test_an_error_and_a_wrong_option_are_shown_not_obeyed(tmp_path: Path, run: Run) -> None:
    for command in (("score", "x.mp4", "--model", "\x1b[2J"), ("score", "--\x1b[2J"), ("\x1b[2J",)):
        status, out, err = run(*command)
        assert status in (1, 2)
        assert_harmless(out + err)


def test_a_command_to_paste_runs_nothing_but_itself() -> None:
    assert filling_command(["timm:a.b_c", "timm:x; touch y"]) == (
        "`vqa extract --models timm:a.b_c --models 'timm:x; touch y'`"
    )
