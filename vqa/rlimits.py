"""Bounds that the system keeps for a process of ours that reads what strangers wrote: on Linux; elsewhere none."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")
_MOST_CPU_SECONDS = 10**9
"""Linux counts nanoseconds and would take a much larger limit for a small one."""


MOST_BYTES = 1 << 60
"""More than any machine has; the system's own numbers end at 64 bits."""


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
