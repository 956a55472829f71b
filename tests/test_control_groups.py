"""Cores and memory that control groups leave to a process: of version 1 and 2, its own group's and those above it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import vqa.rlimits
from vqa.extract.model import choose_devices
from vqa.extract.processor import torch_threads
from vqa.rlimits import core_quota, free_memory, usable_cores

GIB = 1 << 30
CPU_V1, MEMORY_V1 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/memory")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 free GiB without any control group; its files lie in this folder."""
    for name, file in (("_GROUPS", "cgroup"), ("_MOUNTS", "mountinfo"), ("_MEMORY", "meminfo")):
        monkeypatch.setattr(vqa.rlimits, name, tmp_path / file)
    (tmp_path / "meminfo").write_text(f"MemTotal: {32 << 20} kB\nMemAvailable: {16 << 20} kB\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    return tmp_path


def mount(folder: Path, own: str, *, version: int = 2, root: str = "/", name: str = "mounted here") -> Path:
    """Mount a hierarchy of which this process is in the group `own`; return where."""
    options = {1: "rw,cpu,memory", 2: "rw"}[version]
    controllers = {1: "4:cpu,memory", 2: "0:"}[version]
    mounted = folder / name
    mounted.mkdir(exist_ok=True)
    told = str(mounted).replace(" ", "\\040")
    with (folder / "cgroup").open("a") as file:
        file.write(f"{controllers}:{own}\n")
    with (folder / "mountinfo").open("a") as file:
        kind = "cgroup2" if version == 2 else "cgroup"
        file.write(f"31 23 0:28 {root} {told} rw,relatime shared:9 - {kind} some\\040thing {options}\n")
    return mounted


def tell(group: Path, **values: str) -> None:
    """Write what a group says of itself; `__` in a name stands for its dot."""
    group.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (group / name.replace("__", ".")).write_text(f"{value}\n")


def test_without_groups_all_cores_that_a_process_is_bound_to_count(groups: Path) -> None:
    assert (usable_cores(), core_quota()) == (16, None)


@pytest.mark.parametrize(
    ("told", "cores"),
    [("50000 100000", 1), ("150000 100000", 2), ("200000 100000", 2), ("max 100000", 16), ("9999999 100000", 16)],
)
def test_a_quota_of_version_2_counts_rounded_up(groups: Path, told: str, cores: int) -> None:
    tell(mount(groups, "/pod/box") / "pod" / "box", cpu__max=told)
    assert usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("250000", 3), ("-1", 16), ("", 16)])
def test_a_quota_of_version_1_counts_rounded_up(groups: Path, quota: str, cores: int) -> None:
    tell(mount(groups, "/box", version=1) / "box", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert usable_cores() == cores


def test_the_least_of_a_group_and_all_above_it_counts(groups: Path) -> None:
    mounted = mount(groups, "/pod/box")
    tell(mounted / "pod" / "box", cpu__max="800000 100000", memory__max=str(8 * GIB), memory__current="0")
    tell(mounted / "pod", cpu__max="300000 100000", memory__max=str(3 * GIB), memory__current=str(GIB))
    assert (usable_cores(), free_memory()) == (3, 2 * GIB)


@pytest.mark.parametrize(
    ("own", "root"),
    [("/docker/1f", "/docker/1f"), ("/", "/"), ("/docker/1f", "/elsewhere"), ("/../../other", "/")],
    ids=["old docker", "name space", "own group not to be seen", "outside of the name space"],
)
def test_in_a_container_the_mounted_groups_top_is_its_own(groups: Path, own: str, root: str) -> None:
    tell(mount(groups, own, root=root), cpu__max="200000 100000", memory__max=str(GIB), memory__current="0")
    assert (usable_cores(), free_memory()) == (2, GIB)


def test_files_that_lie_in_memory_count_as_free(groups: Path) -> None:
    stat = f"anon {GIB}\ninactive_file {2 * GIB}\nactive_file {GIB}"
    tell(mount(groups, "/box") / "box", memory__max=str(4 * GIB), memory__current=str(4 * GIB), memory__stat=stat)
    assert free_memory() == 3 * GIB


def test_a_soft_limit_of_version_2_counts_too(groups: Path) -> None:
    tell(mount(groups, "/box") / "box", memory__max="max", memory__high=str(2 * GIB), memory__current=str(GIB))
    assert free_memory() == GIB


def test_memory_of_version_1_counts_with_the_files_of_all_groups_below(groups: Path) -> None:
    tell(
        mount(groups, "/box", version=1) / "box",
        memory__limit_in_bytes=str(4 * GIB),
        memory__usage_in_bytes=str(4 * GIB),
        memory__stat=f"inactive_file 5\ntotal_inactive_file {GIB}\ntotal_active_file {GIB}",
    )
    assert free_memory() == 2 * GIB


def test_a_group_without_a_limit_leaves_what_the_machine_has(groups: Path) -> None:
    tell(mount(groups, "/a", name="two") / "a", memory__max="max", memory__current=str(GIB))
    tell(
        mount(groups, "/b", version=1) / "b",
        memory__limit_in_bytes=str((1 << 63) - 4096),
        memory__usage_in_bytes="0",
    )
    assert free_memory() == 16 * GIB


def test_a_group_that_has_taken_more_than_it_may_leaves_nothing(groups: Path) -> None:
    tell(mount(groups, "/box") / "box", memory__max=str(GIB), memory__current=str(2 * GIB))
    assert free_memory() == 0


def test_a_system_that_says_nothing_is_not_guessed_at(groups: Path) -> None:
    (groups / "meminfo").unlink()
    assert free_memory() is None


def test_torch_takes_no_more_threads_than_a_quota_allows(groups: Path) -> None:
    torch.set_num_threads(6)
    assert torch_threads() == 6
    tell(mount(groups, "/box") / "box", cpu__max="150000 100000")
    assert torch_threads() == 2
    choose_devices("cpu")
    assert torch.get_num_threads() == 2


@contextlib.contextmanager
def real_group(above: Path, limit: str, value: int) -> Iterator[str]:
    """Make a group of version 1 with a limit; gives the code by which a process joins it."""
    if not os.access(above / "cgroup.procs", os.W_OK):
        pytest.skip("nobody may make groups of version 1 here")
    group = above / f"vqa-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(value))
        yield f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
    finally:
        group.rmdir()


def answer(code: str) -> str:
    """Run a program; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_half_a_core_by_a_real_quota_is_one() -> None:
    with real_group(CPU_V1, "cpu.cfs_quota_us", 50_000) as join:
        assert answer(f"{join}from vqa.rlimits import usable_cores; print(usable_cores())") == "1"


def test_shared_memory_beyond_a_real_limit_is_refused_and_nobody_is_killed() -> None:
    code = "from vqa.extract.shared import share\ntry: share(400 << 20)\nexcept OSError as error: print(error.strerror)"
    with real_group(MEMORY_V1, "memory.limit_in_bytes", 300_000_000) as join:
        assert answer(join + code) == "Cannot allocate memory"
