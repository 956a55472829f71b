"""Score every video of a folder, and show the five that look worst.

    python examples/score_folder.py holiday-videos --model scorer.vqa
    python examples/score_folder.py holiday-videos --model scorer.vqa --output scores.csv --why

With `--output` the scores are written as they come, and the same command again goes on where it was stopped. With
`--why` the worst videos are looked at once more, to say which backbone and which moment lowered their scores most.
A scorer is what `vqa train` or `vqa.train_regressor` writes. A broken video costs its own row and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import vqa

SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm"}
WORST = 5


def main() -> None:
    """Score a folder as the command line says."""
    arguments = read_arguments()
    videos = sorted(file for file in arguments.folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    report = vqa.score_videos(videos, arguments.model, output=arguments.output)

    scored = [row for row in report if row.score is not None]
    low, high = report.bundle.scale
    print(f"{len(scored)} of {len(videos)} videos scored, on a scale from {low:g} (worst) to {high:g} (best)")
    if report.bundle.labels:
        print(f"The scorer's labels: {report.bundle.labels}")

    worst = sorted(scored, key=lambda row: (row.score, row.video))[:WORST]
    for row in worst:
        print(f"{row.score:8.2f}  better than {row.percentile:3.0f} % of the training videos  {row.video}")
    for row in report:
        if row.score is None:
            print(f"  failed  {row.video}: {row.reason}")
    if arguments.why:
        explain(arguments.model, [row.video for row in worst])


def explain(model: Path, videos: list[str]) -> None:
    """Print what lowered the score of each video most."""
    scorer = vqa.Scorer.load(model)
    for video in videos:
        explanation = scorer.explain(video)
        shares = [(share.moved, share.name) for share in explanation.backbones]
        shares += [(share.moved, f"its moment at {share.seconds:.1f} s") for share in explanation.moments]
        told = ", ".join(f"{name} ({moved:+.2f})" for moved, name in sorted(shares)[:3])
        print(f"{video}: lowered most by {told}")


def read_arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Score every video of a folder.")
    parser.add_argument("folder", type=Path, help="searched with all folders below it")
    parser.add_argument("--model", type=Path, required=True, help="the scorer, such as scorer.vqa")
    parser.add_argument("--output", type=Path, help="a .csv, .json or .jsonl file for all scores")
    parser.add_argument("--why", action="store_true", help="say what lowered the worst scores")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except vqa.VqaError as error:
        sys.exit(f"Error: {error}")
