"""How decode workers die: by what their file does to the decoder, or by what others do to them."""

from __future__ import annotations

import contextlib
import signal

from vqa.errors import TransientError, VideoError, VqaError

OUT_OF_CPU_TIME = "signal SIGXCPU"
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP", "SIGXCPU", "SIGXFSZ")
"""Signals that a process brings upon itself, or a limit of ours does; any other one comes from somebody else."""


class KilledError(Exception):
    """A worker was ended from outside; says how."""


def describe_death(exitcode: int | None) -> str:
    """Return how a process ended: by which signal, or with which status.

    Pebble's workers exit with the number of SIGTERM when they get it.
    """
    number = -exitcode if exitcode is not None and exitcode < 0 else exitcode
    if number and (number != exitcode or number == signal.SIGTERM):
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(number).name}"
    return f"exit status {exitcode}"


def is_from_outside(death: str) -> bool:
    """Return whether a process died of a signal that somebody else sent it."""
    kind, _, name = death.partition(" ")
    return kind == "signal" and name not in _CRASHES


def killed_twice(first: str, second: str) -> TransientError:
    """Return what to say of a video whose worker was killed, and killed again when it was tried alone."""
    deaths = f"{first}, twice" if first == second else f"{first}, then {second}"
    return TransientError(
        f"the decoder was killed from outside ({deaths}), likely by the out-of-memory killer or an operator; look at "
        "the system's log, give it more memory or fewer --workers, and run again"
    )


def too_late(seconds: float) -> VideoError:
    """Return what to say of a video that took longer than it may."""
    return VideoError(f"decoding took longer than {seconds:g} s and was given up; raise video_seconds")


def too_large(bytes_allowed: int) -> VideoError:
    """Return what to say of a video that took more memory than it may."""
    return VideoError(
        f"decoding it needs more memory than there is, or than the {bytes_allowed / (1 << 30):g} GB of one video; "
        "check the file with ffprobe, or raise worker_memory"
    )


def cannot_start(error: Exception) -> VqaError:
    """Return what to say where the system starts no workers: their server can't be reached, or made."""
    reason = getattr(error.__cause__, "strerror", None) or error.__cause__ or error
    return VqaError(
        f"decode workers can't be started ({reason}); check that the folder for temporary files (TMPDIR) is there "
        "and has room, and run again"
    )
