"""Readers of strangers' files in processes of their own: one that crashes, hangs or asks for memory costs a message."""

from __future__ import annotations

import subprocess
import sys

from vqa.rlimits import limit_cpu, limit_files, limit_memory, limit_written

_OPEN_FILES = 64
_SHOWN_CHARACTERS = 200


class UnreadableError(ValueError):
    """A reader could not read its file; says why in a few words."""


class LateError(UnreadableError):
    """A reader took longer than it may."""


def read_apart(module: str, *arguments: str, seconds: int) -> str:
    """Run a module of ours as a reader, and return what it writes to stdout.

    Args:
        module: Its `__name__`; what it is to do when it is run, it does first of all by `hold_reader`.
        arguments: Of its command line.
        seconds: After which it is given up.

    Raises:
        LateError: it took too long.
        UnreadableError: it failed or crashed.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise LateError(f"its reader takes over {seconds} s") from error
    if done.returncode < 0:
        raise UnreadableError("it crashes its reader")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["its reader fails"])[-1]
        raise UnreadableError(reason[:_SHOWN_CHARACTERS])
    return done.stdout


def hold_reader(*, memory_bytes: int, seconds: int, file_bytes: int = 0) -> None:
    """Bound what the process of a reader may take.

    Args:
        memory_bytes: Beside what it holds already.
        seconds: Of computing, should nobody be left to give it up.
        file_bytes: Of a file that it writes; 0 for one that writes none.
    """
    limit_memory(memory_bytes)
    limit_cpu(seconds)
    limit_files(_OPEN_FILES)
    limit_written(file_bytes)
