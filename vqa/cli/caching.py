"""`vqa cache`: the cache's own chores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vqa.cli.completing import complete_cached
from vqa.cli.options import DONE, INCOMPLETE, as_json, cached_models_option, in_workspace


@click.group()
def cache() -> None:
    """Look after the feature cache.

    \b
    Examples:
      vqa cache info
      vqa cache verify --repair
      vqa cache export features.npz
    """


@cache.command()
@click.argument("videos", nargs=-1, metavar="[VIDEO_OR_KEY]...")
@cached_models_option
@in_workspace
@as_json
def info(videos: tuple[str, ...], *, models: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """Show what the cache holds: videos, segments, size, precision, weights and failures of each candidate.

    Of a video, named by its id, its path or the first 8 digits of its SHA-256, show where its features come from: which
    bytes, weights, preprocessing and versions, when, and where they lie.

    \b
    Examples:
      vqa cache info
      vqa cache info clips/cat.mp4 --models bundled:vgg16
      vqa cache info 3f786850 --json
    """
    from vqa import pipeline, tables, terminal

    if videos:
        origins = pipeline.describe_features(videos, models, folder=folder)
        (terminal.print_json if as_json else tables.print_provenance)(origins)
    else:
        report = pipeline.describe_cache(folder, models)
        (terminal.print_json if as_json else tables.print_cache)(report)


@cache.command()
@click.option(
    "--repair", is_flag=True, help="Move damaged segments to the cache's folder `quarantine`, drop damaged lines."
)
@in_workspace
@as_json
def verify(*, repair: bool, folder: Path, as_json: bool) -> None:
    """Read the whole cache and say which segments are damaged: file, kind of damage, row and video.

    Damaged lines of the ledger and of the memory of keys are counted, too.

    Ends with status 3 while something damaged is left. After `--repair` the next `vqa extract` computes what is gone.

    \b
    Examples:
      vqa cache verify
      vqa cache verify --repair
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.verify_features(folder, repair=repair, progress=bars)
    (terminal.print_json if as_json else tables.print_verification)(report)
    sys.exit(DONE if report.good else INCOMPLETE)


@cache.command()
@in_workspace
@as_json
def compact(*, folder: Path, as_json: bool) -> None:
    """Merge small segments into large ones, for many files slow a network folder down. What they hold stays the same.

    Others may read and write the cache meanwhile; a run that is killed loses nothing.

    \b
    Example:
      vqa cache compact
    """
    from vqa import pipeline, tables, terminal

    with terminal.Bars() as bars:
        report = pipeline.compact_features(folder, progress=bars)
    (terminal.print_json if as_json else tables.print_compaction)(report)
    sys.exit(INCOMPLETE if report.damages else DONE)


@cache.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=complete_cached)
@click.option("--old-rules", is_flag=True, help="Only those of older decoding rules; of all models if none is named.")
@in_workspace
@as_json
def drop(models: tuple[str, ...], *, old_rules: bool, folder: Path, as_json: bool) -> None:
    """Remove candidates' features from the cache for good. MODEL is a name, a glob or a fingerprint.

    \b
    Examples:
      vqa cache drop timm:resnet50.a1_in1k
      vqa cache drop 'timm:*' 0123456789ab
      vqa cache drop --old-rules
    """
    from vqa import pipeline, tables, terminal

    if not (models or old_rules):
        raise click.UsageError("name what to remove: MODEL..., --old-rules or both")
    report = pipeline.drop_features(models, folder=folder, old_rules=old_rules)
    (terminal.print_json if as_json else tables.print_drop)(report)


@cache.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--as", "name", required=True, metavar="NAME", help="What to call the features: imported:NAME/SET.")
@click.option("--ids", "ids_file", type=click.Path(path_type=Path), help="The ids of the rows: a line each, or CSV.")
@click.option("--matrix", "matrices", multiple=True, metavar="NAME", help="Feature set to take, or a glob; repeatable.")
@click.option("--id-column", "id", help="Array or column with the videos' ids; guessed if not given.")
@click.option("--mos-column", "mos", help="With their mean opinion scores; '' to read none.")
@click.option("--group-column", "group", help="With their source contents; '' to read none.")
@click.option("--split-column", "split", help="That says train, val or test; '' to read none.")
@in_workspace
@as_json
def import_(
    file: Path,
    *,
    name: str,
    ids_file: Path | None,
    folder: Path,
    as_json: bool,
    **names: Any,
) -> None:
    """Import features that were computed elsewhere: npz, npy, csv, tsv, mat or HDF5. Rows are joined by id.

    A folder that is no workspace yet becomes one, of the ids and MOS in FILE.

    \b
    Examples:
      vqa cache import konvid1k.npz --as pool -C konvid
      vqa cache import features.npy --ids names.txt --as mine
      vqa cache import features.mat --id-column video_names --matrix feats --as mine
    """
    from vqa import pipeline, tables, terminal

    report = pipeline.import_table(file, name, folder=folder, names=pipeline.TableNames(**names), ids_file=ids_file)
    (terminal.print_json if as_json else tables.print_import)(report)


@cache.command()
@click.argument("file", type=click.Path(path_type=Path))
@cached_models_option
@in_workspace
@as_json
def export(file: Path, *, models: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """Write ids, MOS, groups, splits and time-averaged features to FILE: npz, csv or mat. FILE is replaced.

    Ends with status 3 where videos of the dataset are left out, because they lack features of some model.

    \b
    Examples:
      vqa cache export features.npz
      vqa cache export features.csv --models 'bundled:*' --models timm:resnet50.a1_in1k
    """
    from vqa import pipeline, tables, terminal

    report = pipeline.export_table(file, models, folder=folder)
    (terminal.print_json if as_json else tables.print_export)(report)
    sys.exit(DONE if report.complete else INCOMPLETE)
