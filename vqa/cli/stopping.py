"""Signals that ask the program to stop: it keeps what is whole, cleans up, and ends."""

from __future__ import annotations

import atexit
import signal
import time
from collections.abc import Callable
from types import FrameType

_ASKING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, `kill`, and a terminal or a connection that is gone."""
_PATIENCE_SECONDS = 10.0


class Stop:
    """Turns the first signal into an ordinary exit, which keeps features that are whole.

    Those that follow at once say the same thing again, and would break off just that; one that comes later is obeyed.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked = float("-inf")

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: it was Ctrl-C.
            SystemExit: it was another; the status is 128 and the signal's number, as shells have it.
        """
        if self._clock() - self._asked < _PATIENCE_SECONDS:
            return
        self._asked = self._clock()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


def catch_signals() -> None:
    """Stop in good order when asked to; what `nohup` or a shell script had ignored stays ignored."""
    stop = Stop()
    for number in _asking():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    atexit.unregister(_ignore_signals)
    atexit.register(_ignore_signals)


def _asking() -> list[signal.Signals]:
    """Return the signals that this system has."""
    return [getattr(signal, name) for name in _ASKING if hasattr(signal, name)]


def _ignore_signals() -> None:
    """Let nothing break into the interpreter's own end, which would give the exit another status."""
    for number in _asking():
        signal.signal(number, signal.SIG_IGN)
