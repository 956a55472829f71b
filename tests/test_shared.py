"""Shared memory: found by other processes, and gone with them even if all are killed at once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import vqa.extract.shared
from vqa.extract.shared import attach, share

BOTH = pytest.mark.parametrize("where", ["in memory", "in /dev/shm", "no /dev/shm", "no O_TMPFILE"])
OWNER = """
import os, sys, time
from vqa.extract.shared import share
made = share(1 << 20)
made.buffer[:4] = b"seen"
print(made.name, flush=True)
time.sleep(600)
"""
OTHER = """
import sys, time
from vqa.extract.shared import attach
found = attach(sys.argv[1])
found.buffer[4:8] = bytes(found.buffer[:4])
print(len(found.buffer), flush=True)
time.sleep(600)
"""


def set_where(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be a system that has files without names, in memory or in a folder, or has none."""
    if where != "in memory":
        monkeypatch.setattr(vqa.extract.shared, "_has_files_in_memory", lambda: False)
    if where == "no /dev/shm":
        monkeypatch.setattr(vqa.extract.shared, "SHARED_MEMORY", tmp_path / "none")
    elif where == "no O_TMPFILE":

        def no(*_: object) -> int:
            raise OSError(errno.EOPNOTSUPP, "not supported")

        monkeypatch.setattr(os, "open", no)


@BOTH
def test_what_one_writes_the_other_reads(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_where(where, tmp_path, monkeypatch)
    made = share(5000)
    monkeypatch.undo()
    found = attach(made.name)
    assert not any(made.buffer[:5000])
    made.buffer[4999] = 7
    found.buffer[0] = 3
    assert (found.buffer[4999], made.buffer[0]) == (7, 3)
    found.close()
    made.close()


@BOTH
def test_memory_that_was_given_back_is_found_no_more(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_where(where, tmp_path, monkeypatch)
    made = share(100)
    name = made.name
    made.close()
    monkeypatch.undo()
    with pytest.raises(OSError, match="No such file"):
        attach(name)


def test_no_name_is_used_twice() -> None:
    names = set()
    for _ in range(10):
        made = share(100)
        names.add(made.name)
        made.close()  # its descriptor is free for the next
    assert len(names) == 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has files without names")
def test_memory_that_took_the_place_of_another_is_not_taken_for_it() -> None:
    made = share(100)
    name = made.name
    made.close()
    other = share(100)
    assert other.name.partition("@")[2] == name.partition("@")[2]  # the same descriptor
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="No such file"):
        attach(name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    other.close()


def test_memory_stays_while_a_view_of_it_does() -> None:
    made = share(100)
    made.buffer[0] = 9
    part = made.buffer[:1]
    made.close()
    assert part[0] == 9


def started(code: str, *arguments: str, group: int = 0) -> tuple[subprocess.Popen[str], str]:
    """Start a process in a group, its own if none is given; return it, and the line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, process_group=group
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has files without names")
def test_nothing_is_left_of_processes_that_are_killed_as_one_group() -> None:
    owner, name = started(OWNER)
    other, size = started(OTHER, name, group=owner.pid)
    seen = attach(name)
    assert (int(size), bytes(seen.buffer[:8])) == (1 << 20, b"seenseen")
    inode = Path(name.partition("@")[2]).stat()
    assert inode.st_nlink == 0  # in no folder: the system frees it with the last that has it open
    assert inode.st_blocks * 512 >= 1 << 20  # and its pages were taken when it was made
    os.killpg(owner.pid, signal.SIGKILL)
    for process in (owner, other):
        process.wait(timeout=60)
        process.stdout and process.stdout.close()
    assert bytes(seen.buffer[:8]) == b"seenseen"
    seen.close()
    with pytest.raises(OSError, match="No such file"):
        attach(name)
