"""How long steps tell the user where they are; the command line draws it, the library stays silent."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives steps and how far they are."""

    def update(self, step: str, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` parts of a step are finished; the step starts with its first update and ends at `total`.

        `detail` says it in the step's own words.
        """

    def note(self, message: str) -> None:
        """Say something a user should know, in one line."""


class Silent:
    """Shows nothing."""

    def update(self, step: str, done: int, total: int, detail: str = "") -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""


SILENT = Silent()
