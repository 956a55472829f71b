"""The reports of `vqa score`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vqa.tables.shared import say_note
from vqa.terminal import print_table, say

if TYPE_CHECKING:
    from pathlib import Path

    from vqa.pipeline import BundleInfo, Explanation, ExplanationReport, ScoreReport, ScoreTimeline, TimelineReport

_MOMENTS_SHOWN = 8


def print_scores(report: ScoreReport, output: Path | None) -> None:
    """Print scores and what they mean."""
    rows = [
        (
            row.video,
            _told(row.score),
            "-" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}",
            _told(row.percentile, 0),
            _told(row.seconds),
            row.status,
        )
        for row in report.scores
    ]
    info = report.bundle
    print_table(
        f"Scores on the scale {info.scale[0]:g} (worst) to {info.scale[1]:g} (best)",
        ("video", "score", "9 of 10 lie in", "percentile", "seconds", "status"),
        rows,
        right="score percentile seconds",
        spare=("seconds",),
    )
    say("percentile: share of the training videos that are rated lower; seconds: decoding and networks")
    seen = f"labels from {info.mos_range[0]:.4g} to {info.mos_range[1]:.4g}"
    say(f"Trained on {info.videos} videos with {seen}, features of {', '.join(model.name for model in info.models)}")
    if len(rows) > 1 or not report.complete:
        failed = sum(row.score is None for row in report.scores)
        before = f", {report.resumed} of them stood in the file before" if report.resumed else ""
        say(f"{len(rows) - failed} scored, {failed} failed{before}")
    if output is not None:
        say(f"Written: {output}")
    say_note(info.labels)


def print_timelines(report: TimelineReport, info: BundleInfo) -> None:
    """Print the worst moments of each video."""
    for each in report.timelines:
        low, high = each.scale
        print_table(
            f"{each.video}: worst of {len(each.scores)} windows of {each.window_seconds:g} s, "
            f"on the scale {low:g} (worst) to {high:g} (best)",
            ("from", "to", "score"),
            [
                (_clock(moment.begin_seconds), _clock(moment.end_seconds), f"{moment.score:.2f}")
                for moment in each.worst()
            ],
            right="from to score",
        )
        say(f"Mean of all windows {each.mean:.2f}; the video lasts {_clock(each.seconds)}")
        _say_how(each)
        for reason, count in Counter(reason for reason in each.reasons if reason).items():
            say(f"{count} window(s) have no score: {reason}")
    _say_rest(report, info)


def print_explanations(report: ExplanationReport, info: BundleInfo) -> None:
    """Print what each backbone and each moment moved."""
    for each in report.explanations:
        low, high = each.scale
        rows = [("a video of which nothing is known", f"{each.baseline:.2f}")]
        rows += [(one.name, f"{one.moved:+.2f}") for one in each.backbones]
        rows += [("this video", f"{each.score:.2f}")]
        print_table(
            f"{each.video}: what moved the score, on the scale {low:g} (worst) to {high:g} (best)",
            ("model", "score"),
            rows,
            right="score",
        )
        say("models: Shapley values; with the first line they add up to the last")
        _say_how(each)
        if each.moments:
            shown = sorted(each.moments, key=lambda one: -abs(one.moved))[:_MOMENTS_SHOWN]
            moments = [(f"{one.seconds:.2f} s", f"{one.moved:+.2f}") for one in sorted(shown, key=lambda m: m.seconds)]
            print_table("Moments: the score minus that without the moment", ("at", "moved"), moments, right="at moved")
        else:
            say("moments: none, its models look at the whole video at once")
    _say_rest(report, info)


def _say_how(each: ScoreTimeline | Explanation) -> None:
    """Say what should be known of how a file was read."""
    if each.reading is not None and each.reading.note:
        say(f"how it was read: {each.reading.note}")


def _say_rest(report: TimelineReport | ExplanationReport, info: BundleInfo) -> None:
    for video, reason in report.failures.items():
        say(f"failed: {video}: {reason}")
    for file in report.files:
        say(f"Written: {file}")
    say_note(info.labels)


def _told(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:d}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes:d}:{rest:04.1f}"
