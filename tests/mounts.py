"""Processes that see other file systems than all others: a small disk, one that may only be read, or none."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest


def require_mounts() -> None:
    """Skip a test where nobody may mount."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this machine lets nobody mount in a namespace of their own")


def own_mounts(script: str, variables: dict[str, str]) -> list[str]:
    """Run a shell script that may mount what it likes, seen by nobody else; return its lines.

    Each of its commands says a line `status: N`; output of commands stands between.
    """
    require_mounts()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-ec", script],
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def on_a_full_disk(folder: Path, extraction: Sequence[str], variables: dict[str, str]) -> list[str]:
    """Extract into a cache whose disk becomes full, and again when there is room; return the lines of both.

    What the cache held after each is left in the workspace's folders `before` and `after`.
    """
    cache, again = folder / "cache", f"set +e; {shlex.join(extraction)} > /dev/null; echo status: $?; set -e"
    cache.mkdir()
    return own_mounts(
        f"""
        mount -t tmpfs -o size=1000k none {cache}
        head -c 800k /dev/zero > {cache}/ballast
        {again}
        {vqa(folder, "cache", "verify")}
        rm {cache}/ballast
        cp -r {cache} {folder}/before
        {again}
        {vqa(folder, "cache", "verify")}
        cp -r {cache} {folder}/after
        """,
        variables,
    )


def vqa(folder: Path, *arguments: str) -> str:
    """Return a shell command that runs vqa, shows what goes wrong, and says its status."""
    words = shlex.join([sys.executable, "-m", "vqa", *arguments, "-C", str(folder)])
    return f"set +e; {words} > /dev/null; echo status: $?; set -e"
