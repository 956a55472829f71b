"""Between a program and its disk: each change to what lies under a folder is seen before it is made.

What it sees is handed to a function, which makes the change, records it, refuses it, cuts it short, or ends the
process.
Changes that libraries of C make by themselves (HDF5, safetensors) are not seen.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class Operation:
    """One change, or one promise that changes are on the disk."""

    kind: str
    """`create`, `truncate`, `write`, `sync`, `rename`, `mkdir` or `remove`."""
    path: str
    """Inside the watched folder; `.` for that itself."""
    target: str = ""
    """Of a rename."""
    offset: int = 0
    """Of a write, in bytes."""
    content: bytes = b""
    """Of a write; of a truncation the new size, in digits."""


Perform = Callable[..., Any]
"""Makes the change; of a write, takes how many bytes at the most."""
Handler = Callable[[Operation, Perform], Any]


class Disk:
    """Watches a folder while it is entered.

    Args:
        root: The folder; it need not exist yet.
        handle: Gets each operation, and what makes it.
    """

    def __init__(self, root: Path, handle: Handler) -> None:
        self.root = root.resolve()
        self.handle = handle
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> None:
        for module, name, wrap in (
            (io, "open", self._open),
            (builtins, "open", self._open),
            (os, "open", self._os_open),
            (os, "write", self._write),
            (os, "fsync", self._sync),
            (os, "fdatasync", self._sync),
            (os, "ftruncate", self._truncate),
            (os, "mkdir", self._simple("mkdir")),
            (os, "rmdir", self._simple("remove")),
            (os, "unlink", self._simple("remove")),
            (os, "remove", self._simple("remove")),
            (os, "rename", self._rename),
            (os, "replace", self._rename),
        ):
            real = getattr(module, name)
            self._stack.enter_context(mock.patch.object(module, name, _bound(wrap, real)))

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def name(self, place: Any, *, folder: int | None = None) -> str | None:
        """Return a path or descriptor as a path inside the folder, or None if it lies elsewhere."""
        if isinstance(place, int):
            path = Path(f"/proc/self/fd/{place}").readlink()
        else:
            path = (Path(f"/proc/self/fd/{folder}").readlink() if folder is not None else Path()) / os.fsdecode(place)
            path = path.parent.resolve() / path.name
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else None

    def _open(self, real: Any, file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
        name = self.name(file)
        if name is None or not set(mode) & set("wax+"):
            return real(file, mode, buffering, *text, **options)
        plain = {key: options.pop(key) for key in ("closefd", "opener") if key in options}

        def perform() -> _WatchedFile:
            return _WatchedFile(self, file, mode.replace("b", "").replace("t", ""), **plain)

        raw = self._opening(name, perform, truncates="w" in mode) if not isinstance(file, int) else perform()
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **options)

    def _os_open(self, real: Any, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = self.name(path, folder=dir_fd)

        def perform() -> int:
            return int(real(path, flags, mode, dir_fd=dir_fd))

        if name is None or not flags & (os.O_CREAT | os.O_TRUNC):
            return perform()
        return int(self._opening(name, perform, truncates=bool(flags & os.O_TRUNC)))

    def _opening(self, name: str, perform: Perform, *, truncates: bool) -> Any:
        exists = os.path.lexists(self.root / name)
        if exists and not truncates:
            return perform()
        return self.handle(Operation("truncate", name, content=b"0") if exists else Operation("create", name), perform)

    def _write(self, real: Any, descriptor: int, content: Any) -> int:
        name = self.name(descriptor)
        if name is None:
            return int(real(descriptor, content))
        return self.writing(name, descriptor, content, lambda part: real(descriptor, part))

    def writing(self, name: str, descriptor: int, content: Any, write: Callable[[bytes], int]) -> int:
        """Pass on one write to a file."""
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        offset = os.fstat(descriptor).st_size if appends else os.lseek(descriptor, 0, os.SEEK_CUR)
        operation = Operation("write", name, offset=offset, content=bytes(content))
        return int(self.handle(operation, lambda most=None: write(operation.content[:most])))

    def _sync(self, real: Any, file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        name = self.name(descriptor)
        if name is None:
            real(descriptor)
        else:
            self.handle(Operation("sync", name), lambda: real(descriptor))

    def _truncate(self, real: Any, descriptor: int, size: int) -> None:
        name = self.name(descriptor)
        if name is None:
            real(descriptor, size)
        else:
            self.handle(Operation("truncate", name, content=b"%d" % size), lambda: real(descriptor, size))

    def _rename(self, real: Any, source: Any, target: Any, **options: Any) -> None:
        name, to = self.name(source), self.name(target)
        if name is None or to is None:
            real(source, target, **options)
        else:
            self.handle(Operation("rename", name, to), lambda: real(source, target, **options))

    def _simple(self, kind: str) -> Any:
        def change(real: Any, path: Any, *arguments: Any, dir_fd: int | None = None) -> None:
            name = self.name(path, folder=dir_fd)
            if name is None or os.path.lexists(self.root / name) != (kind == "remove"):
                real(path, *arguments, dir_fd=dir_fd)
            else:
                self.handle(Operation(kind, name), lambda: real(path, *arguments, dir_fd=dir_fd))

        return change


class _WatchedFile(io.FileIO):
    """A file whose writes are passed on one by one."""

    def __init__(self, disk: Disk, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._disk = disk

    def write(self, content: Any) -> int:
        name = self._disk.name(self.fileno())
        if name is None:
            return int(super().write(content))
        return self._disk.writing(name, self.fileno(), content, super().write)


def _bound(wrap: Any, real: Any) -> Any:
    return lambda *arguments, **options: wrap(real, *arguments, **options)


@contextlib.contextmanager
def recorded(root: Path) -> Iterator[list[Operation]]:
    """Give the list that operations under a folder are added to, each after it was made."""
    operations: list[Operation] = []

    def record(operation: Operation, perform: Perform) -> Any:
        result = perform()
        operations.append(operation)
        return result

    with Disk(root, record):
        yield operations
