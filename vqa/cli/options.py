"""Options that several commands share, and the exit statuses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vqa.cli.completing import complete_cached, complete_models

DONE, FAILED, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130

Command = Callable[..., Any]

_EFFORT = (
    *("device", "batch", "memory", "workers", "video_seconds"),
    *("max_pixels", "max_duration_seconds", "worker_memory"),
)
"""Settings of `[extract]` that one run may differ in."""

models_option = click.option(
    "--models",
    multiple=True,
    default=("all",),
    shell_complete=complete_models,
    help="`all`, a pool, a model or a glob; repeatable.",
)
"""What to extract."""
cached_models_option = click.option(
    "--models",
    multiple=True,
    metavar="MODEL",
    shell_complete=complete_cached,
    help="Only this one, a glob or a fingerprint; repeatable.",
)
"""Which of the cache's models."""
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


def in_workspace(command: Command) -> Command:
    """Add the option that names the workspace."""
    return click.option(
        "-C",
        "--workspace",
        "folder",
        type=click.Path(path_type=Path),
        default=Path(),
        help="The workspace's folder.  [default: this folder]",
    )(command)


def weights_dir_option(meaning: str) -> Callable[[Command], Command]:
    """Return the option that names a folder of weights."""
    return click.option(
        "--weights-dir",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="VQA_WEIGHTS_DIR",
        show_envvar=True,
        help=meaning,
    )


def weights_options(command: Command) -> Command:
    """Add the options that say where weights may come from."""
    offline = click.option(
        "--offline",
        is_flag=True,
        envvar="VQA_OFFLINE",
        show_envvar=True,
        help="Ask no network: weights come from this machine alone.",
    )
    return offline(weights_dir_option("Folder of weights that `vqa models fetch` filled.")(command))


def with_weights(command: Command) -> Command:
    """Add the options that say where weights may come from, and apply them while the command runs.

    What is not given is as `[extract]` in the workspace's vqa.toml says; the command has a parameter `folder`.
    """

    @weights_options
    @functools.wraps(command)
    def run(*arguments: Any, offline: bool, weights_dir: Path | None, **options: Any) -> Any:
        from vqa import pipeline

        with pipeline.weights_as_set(options["folder"], offline=offline, weights_dir=weights_dir):
            return command(*arguments, **options)

    return run


def with_effort(command: Command) -> Command:
    """Add the options that differ for one run from `[extract]` in vqa.toml; they come as the mapping `overrides`."""

    @click.option("--device", help="auto, cpu, cuda for all CUDA devices, or cuda:1 for one.")
    @click.option("--batch", type=click.IntRange(0), help="Frames that a model takes at once; 0 for what suits it.")
    @click.option("--memory", type=click.IntRange(1), metavar="MB", help="Decoded frames that may wait, in MB.")
    @click.option("--workers", type=click.IntRange(0), help="Processes that decode; 0 for one on each core.")
    @click.option(
        "--video-seconds",
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help="A video that takes longer to decode is given up.",
    )
    @click.option("--max-pixels", type=click.IntRange(1), metavar="N", help="Larger frames are refused.")
    @click.option(
        "--max-duration-seconds",
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help="A video that lasts longer is refused.",
    )
    @click.option(
        "--worker-memory",
        type=click.FloatRange(0, min_open=True),
        metavar="GB",
        help="What a decoding process may take beside its libraries (Linux).",
    )
    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in _EFFORT}
        overrides = {name: value for name, value in given.items() if value is not None}
        return command(*arguments, overrides=overrides, **options)

    return run
