"""The head node of a cluster: when it has been gone for a minute, Ray ends the process of the driver."""

from __future__ import annotations

import socket
import time

from vqa.errors import VqaError

_ANSWER_SECONDS = 5.0
_EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0
"""Less than Ray's minute: what is to be said is said before."""


def reach(address: str) -> None:
    """Open a connection to a host and port, and close it.

    Raises:
        OSError, OverflowError: nothing answers there.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()


class Head:
    """Watches whether the head node is there.

    Args:
        address: Its host and port.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._asked = 0.0
        self.is_lost = False

    def require(self, *, now: bool = False) -> None:
        """Return when it answers, or at once if it did a moment ago.

        Args:
            now: Ask in any case: what comes next would wait for it for ever.

        Raises:
            VqaError: it has not answered for some time.
        """
        if not now and time.monotonic() - self._asked < _EVERY_SECONDS:
            return
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                self.is_lost = True
                raise VqaError(
                    f"{self._address}: the cluster's head node is gone; start the cluster anew. "
                    "What was stored stays, the same command goes on"
                )
            time.sleep(1)
        self._asked = time.monotonic()

    def _answers(self) -> bool:
        try:
            reach(self._address)
        except OSError:
            return False
        return True
