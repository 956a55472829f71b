"""Bounds that the system keeps for a process: those it is born with (cores, memory), and those that it sets itself.

A process of ours that reads what strangers wrote sets its own: on Linux; elsewhere none.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_STATUS = Path("/proc/self/status")
_GROUPS, _MOUNTS = Path("/proc/self/cgroup"), Path("/proc/self/mountinfo")
_MEMORY = Path("/proc/meminfo")
_MOST_CPU_SECONDS = 10**9
"""Linux counts nanoseconds and would take a much larger limit for a small one."""


MOST_BYTES = 1 << 60
"""More than any machine has; the system's own numbers end at 64 bits."""


def usable_cores() -> int:
    """Return how many cores this process may use: those it is bound to, or fewer where a quota is set for its group.

    Python's own count, and torch's, know nothing of quotas.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = core_quota()
    return bound if quota is None else min(bound, quota)


def core_quota() -> int | None:
    """Return how many cores' time the control groups of this process leave it, rounded up; None where none says."""
    return min((math.ceil(quota) for quota in _quotas()), default=None)


def free_memory() -> int | None:
    """Return how many bytes this process may still take: of the machine's memory, and of what its groups may take.

    What files take in memory counts as free, since the system gives it up when memory is short.

    Returns:
        None where the system does not say.
    """
    machine = _numbers(_MEMORY).get("MemAvailable:")
    left = [] if machine is None else [machine * 1024]
    for folder in _control_groups("memory"):
        left += _left_v2(folder) or _left_v1(folder)
    return max(0, min(left)) if left else None


def _quotas() -> Iterator[float]:
    """Yield the cores that each control group with a quota gives to all its processes together."""
    for folder in _control_groups("cpu"):
        told = _read(folder / "cpu.max").split() or [
            *_read(folder / "cpu.cfs_quota_us").split(),
            *_read(folder / "cpu.cfs_period_us").split(),
        ]
        with contextlib.suppress(ValueError):  # `max`, or no such file
            quota, period = map(int, told)
            if quota > 0 and period > 0:
                yield quota / period


def _left_v2(folder: Path) -> list[int]:
    limits = [int(text) for name in ("max", "high") if (text := _read(folder / f"memory.{name}").strip()).isdigit()]
    taken, parts = _read(folder / "memory.current").strip(), _numbers(folder / "memory.stat")
    if not limits or not taken.isdigit():
        return []
    return [min(limits) - int(taken) + parts.get("inactive_file", 0) + parts.get("active_file", 0)]


def _left_v1(folder: Path) -> list[int]:
    limit, taken = (_read(folder / f"memory.{name}_in_bytes").strip() for name in ("limit", "usage"))
    parts = _numbers(folder / "memory.stat")
    if not limit.isdigit() or not taken.isdigit():
        return []
    return [int(limit) - int(taken) + parts.get("total_inactive_file", 0) + parts.get("total_active_file", 0)]


def _control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that bound this process, its own first, of version 1 and 2.

    In a container the own one is often not to be seen; its folder is then where the hierarchy is mounted.
    """
    own: dict[str, str] = {}
    for line in _read(_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)  # version 2 names none
    for line in _read(_MOUNTS).splitlines():
        place, _, kind = line.partition(" - ")
        version, _, options = kind.split(" ", 2)
        name = {"cgroup": controller, "cgroup2": ""}.get(version)
        if name not in own or name not in ("", *options.split(",")):
            continue
        root, mounted = (_unescaped(text) for text in place.split(" ")[3:5])
        group = PurePosixPath(own[name])
        inside = group.is_relative_to(root) and ".." not in group.parts
        below = group.relative_to(root) if inside else PurePosixPath()
        for part in (below, *below.parents):
            yield Path(mounted, part)


def _unescaped(text: str) -> str:
    """Return a path of the list of mounts, which has codes of three octal digits for what would part it."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _read(file: Path) -> str:
    """Return what a file of the system says; nothing where there is none, or it may not be read."""
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _numbers(file: Path) -> dict[str, int]:
    """Return the numbers of a file that names one a line."""
    lines = (line.split() for line in _read(file).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def limit_memory(extra_bytes: int) -> None:
    """Let this process ask for so many bytes beside those it has; what asks for more fails by itself."""
    lines = _STATUS.read_text().splitlines() if _STATUS.is_file() else []
    held = [line.split()[1] for line in lines if line.startswith("VmData:")]
    if held:
        import resource

        _set_soft(resource.RLIMIT_DATA, int(held[0]) * 1024 + min(extra_bytes, MOST_BYTES))


def limit_cpu(seconds: float) -> None:
    """Let this process compute for so many seconds more, in all its threads together; then SIGXCPU ends it."""
    if sys.platform.startswith("linux"):
        import resource

        _set_soft(resource.RLIMIT_CPU, math.ceil(min(time.process_time() + seconds, _MOST_CPU_SECONDS)))


def limit_files(open_at_once: int) -> None:
    """Bound how many files are open at once, and leave no memory image should this process crash."""
    if sys.platform.startswith("linux"):
        import resource

        _set_soft(resource.RLIMIT_NOFILE, open_at_once)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_written(file_bytes: int) -> None:
    """Let this process write no file larger than that; pipes have no size."""
    if sys.platform.startswith("linux"):
        import resource

        _set_soft(resource.RLIMIT_FSIZE, min(file_bytes, MOST_BYTES))


def _set_soft(kind: int, limit: int) -> None:
    """Set a soft limit, unless the system's own hard one is as low."""
    import resource

    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(kind, (limit, hard))


def open_closed_streams() -> None:
    """Lead those of the descriptors of stdin, stdout and stderr to nowhere that are closed, as a daemon's may be.

    Else the next files that are opened take their places, a cache's or a result's, and get what anything prints.
    """
    for place in range(3):
        try:
            os.fstat(place)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # takes the lowest place that is free
            os.set_inheritable(nowhere, True)
