"""What a disk may hold after the power failed: nothing is sure but what was synced.

    operations so far:  create a, write a, sync a, rename a -> b, sync .     b is there, whole
                        create a, write a, rename a -> b, sync .             b is there, of any length and content
                        create a, write a, sync a, rename a -> b             a, or b, or neither

A file's bytes are sure when the file was synced; a name when its folder was. Whatever is not sure may have reached the
disk nevertheless, in any order.
"""

from __future__ import annotations

import posixpath
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from disk import Operation


@dataclass(eq=False)
class _File:
    now: bytes = b""
    sure: bytes = b""
    """As of the last sync."""


@dataclass(eq=False)
class _Folder:
    now: dict[str, _File | _Folder] = field(default_factory=dict)


@dataclass(eq=False)
class _Change:
    """Names that change together: those of a create or a mkdir, both of a rename, or one that goes."""

    names: list[tuple[_Folder, str, _File | _Folder | None]]
    sure: bool = False


class Disk:
    """A disk after some operations.

    Args:
        operations: In order, from an empty folder on.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._root = _Folder()
        self._changes: list[_Change] = []
        for operation in operations:
            getattr(self, f"_{operation.kind}")(operation)

    def fail(self, target: Path, *, keeps: Callable[[], bool], leaves: Callable[[bytes, bytes], bytes]) -> None:
        """Write into an empty folder what is left when the power fails now.

        Args:
            target: The folder.
            keeps: Asked of each name that changed and was not synced: did the change reach the disk?
            leaves: Gives the bytes of a file out of its synced ones and those it should have.
        """
        entries: dict[_Folder, dict[str, _File | _Folder]] = {}
        for change in self._changes:
            if change.sure or keeps():
                for folder, name, node in change.names:
                    entries.setdefault(folder, {}).pop(name, None)
                    if node is not None:
                        entries[folder][name] = node
        self._lay_out(self._root, target, entries, leaves)

    def _lay_out(
        self,
        folder: _Folder,
        target: Path,
        entries: dict[_Folder, dict[str, _File | _Folder]],
        leaves: Callable[[bytes, bytes], bytes],
    ) -> None:
        target.mkdir()
        for name, node in entries.get(folder, {}).items():
            if isinstance(node, _Folder):
                self._lay_out(node, target / name, entries, leaves)
            else:
                (target / name).write_bytes(node.sure if node.sure == node.now else leaves(node.sure, node.now))

    def _find(self, path: str) -> tuple[_Folder, str]:
        folder = self._root
        for part in posixpath.dirname(path).split("/") if posixpath.dirname(path) else []:
            found = folder.now[part]
            assert isinstance(found, _Folder)
            folder = found
        return folder, posixpath.basename(path)

    def _file(self, path: str) -> _File:
        folder, name = self._find(path)
        found = folder.now[name]
        assert isinstance(found, _File)
        return found

    def _change(self, *names: tuple[_Folder, str, _File | _Folder | None]) -> None:
        self._changes.append(_Change(list(names)))
        for folder, name, node in names:
            folder.now.pop(name, None)
            if node is not None:
                folder.now[name] = node

    def _create(self, operation: Operation) -> None:
        self._change((*self._find(operation.path), _File()))

    def _mkdir(self, operation: Operation) -> None:
        self._change((*self._find(operation.path), _Folder()))

    def _remove(self, operation: Operation) -> None:
        self._change((*self._find(operation.path), None))

    def _rename(self, operation: Operation) -> None:
        folder, name = self._find(operation.path)
        self._change((folder, name, None), (*self._find(operation.target), folder.now[name]))

    def _truncate(self, operation: Operation) -> None:
        file = self._file(operation.path)
        file.now = file.now[: int(operation.content)]

    def _write(self, operation: Operation) -> None:
        file, end = self._file(operation.path), operation.offset + len(operation.content)
        before = file.now[: operation.offset].ljust(operation.offset, b"\0")
        file.now = before + operation.content + file.now[end:]

    def _sync(self, operation: Operation) -> None:
        folder, name = self._find(operation.path) if operation.path != "." else (self._root, "")
        node = folder.now[name] if name else self._root
        if isinstance(node, _File):
            node.sure = node.now
            return
        for change in self._changes:
            change.sure = change.sure or any(place is node for place, _, _ in change.names)


def dropped(sure: bytes, now: bytes) -> bytes:
    """Leave nothing of what was not synced."""
    return sure


def zeroed(sure: bytes, now: bytes) -> bytes:
    """Leave a file of the right length, with zeros for what was not synced."""
    return sure[: len(now)].ljust(len(now), b"\0")


def at_random(rng: random.Random) -> Callable[[bytes, bytes], bytes]:
    """Leave a file that is dropped, zeroed, cut somewhere behind its synced bytes, or whole, as chance has it."""

    def cut(sure: bytes, now: bytes) -> bytes:
        return now[: rng.randint(min(len(sure), len(now)), len(now))]

    return lambda sure, now: rng.choice([dropped, zeroed, cut, _whole])(sure, now)


def _whole(sure: bytes, now: bytes) -> bytes:
    return now
