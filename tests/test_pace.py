"""How an extraction is going, and the one line that shows it; the clock is the test's own."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vqa import terminal
from vqa.pipeline.pace import Pace
from vqa.terminal import Bars


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int, str]] = []

    def update(self, step: str, done: int, total: int, detail: str = "") -> None:
        self.told.append((step, done, total, detail))

    def note(self, message: str) -> None:
        raise AssertionError(message)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_starts_at_nothing_done() -> None:
    listener = Listener()
    Pace({"a": 2, "b": 1}, listener)
    assert listener.told == [("extracting features", 0, 3, "0/2 videos, 0 frames/s")]


def test_a_video_is_done_when_all_its_models_are(clock: Clock) -> None:
    listener = Listener()
    pace = Pace({"a": 2, "b": 1}, listener, clock)
    pace.finish("a", 1)
    pace.finish("b", 1)
    pace.finish("a", 1)
    assert [(done, total, detail.split(",")[0]) for _, done, total, detail in listener.told] == [
        (0, 3, "0/2 videos"),
        (1, 3, "0/2 videos"),
        (2, 3, "1/2 videos"),
        (3, 3, "2/2 videos"),
    ]


def test_frames_per_second_are_those_decoded_since_the_start(clock: Clock) -> None:
    listener = Listener()
    pace = Pace({"a": 1, "b": 1}, listener, clock)
    clock.seconds += 2
    pace.decoded(8)
    assert listener.told[-1][3] == "0/2 videos, 4 frames/s"
    clock.seconds += 6
    pace.decoded(32)
    assert listener.told[-1][3] == "0/2 videos, 5 frames/s"


def test_failures_are_counted_and_count_as_done(clock: Clock) -> None:
    listener = Listener()
    pace = Pace({"a": 3, "b": 3}, listener, clock)
    pace.finish("a", 3, failed=True)  # not decoded: none of its models sees it
    pace.finish("b", 1, failed=True)
    pace.finish("b", 2)
    assert listener.told[1:] == [
        ("extracting features", 3, 6, "1/2 videos, 0 frames/s, 1 failed"),
        ("extracting features", 4, 6, "1/2 videos, 0 frames/s, 2 failed"),
        ("extracting features", 6, 6, "2/2 videos, 0 frames/s, 2 failed"),
    ]


def test_a_run_with_nothing_to_do_draws_nothing() -> None:
    listener = Listener()
    Pace({}, listener).decoded(8)
    assert listener.told == []


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of 80 columns whose text can be read."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(terminal, "_console", lambda *, stderr: console)
    return console


def lines(bars: Bars, screen: Console) -> list[str]:
    """What stands there now."""
    drawn = io.StringIO()
    Console(file=drawn, width=screen.width).print(bars._progress.get_renderable())
    return [line.strip() for line in drawn.getvalue().splitlines() if line.strip()]


def test_the_time_left_is_told_at_the_mean_pace_since_the_step_began(clock: Clock, screen: Console) -> None:
    with Bars(clock) as bars:
        bars.update("extracting features", 0, 100)
        assert "left" not in lines(bars, screen)[0]
        clock.seconds += 10
        bars.update("extracting features", 20, 100)
        assert lines(bars, screen)[0].endswith("20/100 0:00:40 left")
        clock.seconds += 30  # a burst of other models: nothing was finished
        assert lines(bars, screen)[0].endswith("20/100 0:02:40 left")
        bars.update("extracting features", 100, 100)
        assert lines(bars, screen)[0].endswith("100/100")


def test_what_was_done_before_the_first_word_does_not_count_for_the_pace(clock: Clock, screen: Console) -> None:
    with Bars(clock) as bars:
        bars.update("loading models", 1, 3)
        clock.seconds += 5
        assert "left" not in lines(bars, screen)[0]
        bars.update("loading models", 2, 3)
        assert lines(bars, screen)[0].endswith("2/3 0:00:05 left")


def test_there_is_one_line_whatever_the_number_of_steps(clock: Clock, screen: Console) -> None:
    with Bars(clock) as bars:
        bars.update("reading files", 2, 2)
        bars.update("loading models", 7, 7)
        bars.update("extracting features", 0, 14, "0/2 videos, 0 frames/s")
        (line,) = lines(bars, screen)
    assert line.startswith("extracting features")
    assert line.endswith("0/2 videos, 0 frames/s")


@pytest.mark.parametrize(("width", "has_bar"), [(80, False), (120, True)])
def test_a_long_line_fits_and_the_bar_goes_first(clock: Clock, screen: Console, width: int, has_bar: bool) -> None:
    screen.width = width
    detail = "1234/12345 videos, 1234 frames/s, 12 failed"
    with Bars(clock) as bars:
        bars.update("extracting features", 0, 100, detail)
        clock.seconds += 36000
        bars.update("extracting features", 50, 100, detail)
        (line,) = lines(bars, screen)
    assert line.startswith("extracting features")
    assert f"{detail} 10:00:00 left" in line
    assert any(part in line for part in "━╸╺") == has_bar


def test_in_a_pipe_a_long_step_says_now_and_then_how_far_it_is(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Bars(clock) as bars:
        for done in range(10):
            bars.update("extracting features", done, 10, f"{done}/10 videos")
            clock.seconds += 9
        bars.note("a.mp4: the file\nis empty")
    assert capsys.readouterr().err.splitlines() == [
        "extracting features: 4/10 videos",
        "extracting features: 8/10 videos",
        "a.mp4: the file is empty",
    ]
