"""Train a scorer on your own videos and ratings, and measure honestly how good it is.

    python examples/train_on_own_ratings.py videos ratings.csv --scale 1 5
    python examples/train_on_own_ratings.py videos ratings.csv --scale 1 5 --models bundled timm:convnext_base.fb_in22k

The ratings are a CSV file with a row for each video: its name in a column `id`, its mean opinion score in a column
`mos`, and, where several videos show one content, the content's name in a column `group`. With groups the figures say
how well a *new content* is scored; without, videos of one content may stand on both sides of a split, and look easy.

All that is computed lies in the workspace: the same command again computes nothing twice. `vqa report` and
`vqa evaluate` tell more of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import vqa


def main() -> None:
    """Do the whole job as the command line says."""
    arguments = read_arguments()
    workspace = arguments.workspace
    if not (workspace / "vqa.toml").is_file():
        settings = vqa.ExtractSettings(models=tuple(arguments.models))
        scale = (arguments.scale[0], arguments.scale[1])
        vqa.init_workspace(workspace, arguments.videos, settings, labels=arguments.ratings, scale=scale)

    extraction = vqa.extract_features(workspace)
    print(f"{extraction.videos} videos, {extraction.decoded} of them decoded now")
    for failure in extraction.failures:
        print(f"failed: {failure.video}: {failure.reason}")

    selection = vqa.rank_models(workspace, top_k=arguments.top_k)
    print(f"chosen by {selection.criterion}: {', '.join(selection.chosen)}")

    training = vqa.train_regressor(workspace, cached=True)
    print(f"trained on {training.videos} videos: {training.bundle}")

    evaluation = vqa.evaluate_workspace(workspace, top_k=arguments.top_k)
    median, spread = evaluation.summary.median, evaluation.summary.std
    unseen = "contents" if evaluation.by_content else "videos"
    print(f"on {unseen} that were not trained on, {evaluation.summary.splits} splits, median (standard deviation):")
    print(f"SROCC {median.srocc:.3f} ({spread.srocc:.3f}), PLCC {median.plcc:.3f} ({spread.plcc:.3f})")


def read_arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Train a scorer on your own ratings, and evaluate it.")
    parser.add_argument("videos", type=Path, help="the folder of videos")
    parser.add_argument("ratings", type=Path, help="the CSV file of ratings")
    parser.add_argument("--scale", type=float, nargs=2, required=True, metavar=("WORST", "BEST"), help="such as 1 5")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), help="where all goes; made if missing")
    parser.add_argument("--models", nargs="+", default=["bundled"], help="pools and models; `vqa models` lists them")
    parser.add_argument("--top-k", type=int, default=4, help="how many of them to choose")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except vqa.VqaError as error:
        sys.exit(f"Error: {error}")
