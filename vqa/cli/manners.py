"""How much a command tells: the options --quiet and --verbose, which every command has, and what they switch."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click

from vqa.escaping import for_terminal
from vqa.loudness import Loudness, loudness, settle_loudness
from vqa.rlimits import open_closed_streams

_LIBRARIES = ("vqa", "torch", "torchvision", "timm", "open_clip_torch", "av", "h5py", "numpy", "scipy", "scikit-learn")
_log = logging.getLogger(__name__)


class _Told(logging.Handler):
    """Writes what modules tell to stderr, a line each, after the seconds since the command began."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; above the bar, where there is one: that has taken sys.stderr, which click would go round."""
        text = for_terminal(" ".join(record.getMessage().split()))
        try:
            sys.stderr.write(f"[{time.monotonic() - self._began:7.2f} s] {text}\n")
            sys.stderr.flush()
        except OSError:  # stderr is gone: the run goes on without
            self.setLevel(logging.CRITICAL + 1)


def start_as_usual() -> None:
    """Forget what an earlier command line of this process has settled."""
    settle_loudness(Loudness.USUAL)
    root = logging.getLogger("vqa")
    for handler in [each for each in root.handlers if isinstance(each, _Told)]:
        root.removeHandler(handler)
        root.setLevel(logging.NOTSET)


def settle_streams() -> None:
    """Let what is said to a stream that is closed be lost, as a daemon or pythonw has them: the command goes on."""
    open_closed_streams()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - stays open


def share_manners(group: click.Group) -> None:
    """Give the options to a group and to every command below it; groups inside it need none of their own."""
    group.params += [_QUIET, _VERBOSE]
    for command in _leaves(group):
        command.params += [_QUIET, _VERBOSE]


def _leaves(group: click.Group) -> Iterator[click.Command]:
    """Find the commands below a group that are no groups."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _leaves(command)
        else:
            yield command


def _settle(context: click.Context, option: click.Parameter, given: bool) -> None:  # noqa: FBT001  # click's own form
    if not given or context.resilient_parsing:
        return
    wanted = Loudness.QUIET if option is _QUIET else Loudness.VERBOSE
    if loudness() not in (Loudness.USUAL, wanted):
        raise click.UsageError("--quiet and --verbose exclude each other; give one of them")
    if wanted is Loudness.VERBOSE and loudness() is not wanted:
        tell_all()
    settle_loudness(wanted)


_QUIET = click.Option(
    ["-q", "--quiet"],
    is_flag=True,
    expose_value=False,
    callback=_settle,
    help="No progress and no notes: results and errors alone.",
)
_VERBOSE = click.Option(
    ["-v", "--verbose"],
    is_flag=True,
    expose_value=False,
    callback=_settle,
    help="Tell what is done and why, with times; of an error, where it came from.",
)


def tell_all() -> None:
    """Begin to tell what modules do, with the versions that do it."""
    root = logging.getLogger("vqa")
    root.addHandler(_Told())
    root.setLevel(logging.INFO)
    _log.info("%s", f"vqa {' '.join(sys.argv[1:])}")
    _log.info("Python %s, %s", platform.python_version(), platform.platform())
    _log.info("%s", ", ".join(filter(None, map(_version, _LIBRARIES))))


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""


def tell_origin() -> None:
    """Print where the error in hand came from, if asked to tell all."""
    if loudness() is Loudness.VERBOSE:
        for line in traceback.format_exc().splitlines():
            click.echo(for_terminal(line), err=True)


def tell_end(status: object) -> None:
    """Tell that the command ends, and with which status; the line's beginning says after how long."""
    _log.info("ends with status %s", status or 0)
