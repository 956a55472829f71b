"""Tables in a narrow terminal: columns are left out by name, never crushed or lost."""

from __future__ import annotations

import math

import pytest
from rich.console import Console

from vqa import terminal
from vqa.tables.shared import figure

COLUMNS = ("method", "SROCC", "KROCC", "PLCC fit")
ROWS = [("best-single", "0.686 (0.155)", "0.543 (0.143)", "0.743 (0.109)"), ("ridge", "0.730 (0.110)", "-", "-")]


def narrow(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        terminal, "_console", lambda *, stderr: Console(force_terminal=True, width=width, color_system=None)
    )


def printed(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spare: tuple[str, ...] = ()
) -> list[str]:
    narrow(width, monkeypatch)
    terminal.print_table("title", COLUMNS, ROWS, right=COLUMNS[1:], spare=spare)
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_numbers_with_their_deviation_count_whole_when_room_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(48, monkeypatch, capsys, spare=("KROCC",))
    assert lines[1].split() == ["method", "SROCC", "PLCC", "fit"]
    assert lines[3].split() == ["best-single", "0.686", "(0.155)", "0.743", "(0.109)"]
    assert lines[-1] == "Left out in a narrow terminal: KROCC; `--json` has all"


def test_a_table_that_can_do_without_no_column_is_wider_than_its_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(30, monkeypatch, capsys)
    assert lines[1].split() == ["method", "SROCC", "KROCC", "PLCC", "fit"]
    assert lines[3].split() == ["best-single", "0.686", "(0.155)", "0.543", "(0.143)", "0.743", "(0.109)"]


def test_a_long_word_is_folded_and_takes_no_column_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow(40, monkeypatch)
    terminal.print_table("title", ("video", "score", "status"), [("a" * 70, "98.67", "b" * 70)], right="score")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert max(len(line) for line in lines) == 40
    assert "".join(lines).count("a") == 70 + 1  # and one in the word status
    assert "".join(lines).count("b") == 70
    assert lines[1].split() == ["video", "score", "status"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.8, "0.800"), (-99999.9, "-99999.900"), (4.362e24, "4.36e+24"), (-1e300, "-1e+300"), (math.nan, "nan")],
)
def test_a_figure_of_any_size_keeps_its_column_narrow(value, shown):
    assert figure(value) == shown
    assert len(shown) <= 10
