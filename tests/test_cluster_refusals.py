"""Clusters that can't do the work: each is found before any of it starts, and said in one line."""

from __future__ import annotations

import contextlib
import importlib.machinery
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from clusters import Nodes, cluster
from faults import TESTS, finish, start, workspace

from vqa.cli import main

pytest.importorskip("ray")

PATIENCE = "vqa.pipeline.cluster.connecting._JOIN_SECONDS"


@dataclass(frozen=True)
class Asked:
    """A workspace, and how a run in it on a cluster ends, in this process."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def refusal(self, *arguments: str) -> str:
        """Run, and return the one line that is said; nothing has been begun then."""
        self.capture.readouterr()
        words = ["vqa", "extract", "--models", "classic:siti", "-C", str(self.folder), "--engine", "ray", *arguments]
        self.monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        out, err = self.capture.readouterr()
        assert (end.value.code, out) == (1, ""), err
        return one_line(self.folder, err)


def one_line(folder: Path, err: str) -> str:
    """Return the one line of an error after which nothing is in the cache: no feature, no failure, no mark."""
    (line,) = err.splitlines()
    kept = {"CACHEDIR.TAG", ".gitignore"}
    assert not [path for path in (folder / "cache").rglob("*") if path.name not in kept]
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Asked:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return Asked(workspace(tmp_path / "w", (10, 20)), monkeypatch, capfd)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster(1, {"PYTHONPATH": str(TESTS.parent)}) as running:
        yield running


def test_without_ray_it_says_how_to_get_it(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.machinery.PathFinder.find_spec

    def find_others(name: str, *where: Any) -> Any:
        return None if name == "ray" else find(name, *where)

    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", find_others)
    line = "Ray is not installed here; `pip install 'vqa[ray]'`, on every node of the cluster"
    assert asked.refusal("--address", "127.0.0.1:1") == line


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (
            "127.0.0.1:1",
            "127.0.0.1:1: no cluster answers there (Connection refused); start one with `ray start ",
        ),
        ("no.such.host.invalid:6379", "no.such.host.invalid:6379: no cluster answers there ("),
        ("127.0.0.1:99999", "127.0.0.1:99999: no cluster answers there ("),
        ("cluster", "'cluster' is no address; give the head node's host and port, such as 10.0.0.1:6379"),
        ("cluster:six", "'cluster:six' is no address; give the head node's host and port, such as 10.0.0.1:6379"),
        (
            "ray://10.0.0.1:10001",
            "ray://10.0.0.1:10001: vqa runs on a node of the cluster itself; give the head ",
        ),
    ],
)
def test_an_address_where_no_cluster_can_be_is_refused_at_once(asked: Asked, address: str, line: str) -> None:
    assert asked.refusal("--address", address).startswith(line)


def test_the_address_of_the_environment_counts(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert asked.refusal().startswith("127.0.0.1:1: no cluster answers there (Connection refused)")


@pytest.mark.parametrize(
    ("option", "line"),
    [
        (("--num-gpus", "inf"), "an actor can't have inf GPUs; give a whole number, or a part of one such as 0.5"),
        (("--num-gpus", "nan"), "an actor can't have nan GPUs; give a whole number, or a part of one such as 0.5"),
    ],
)
def test_numbers_that_nothing_has_are_refused(asked: Asked, option: tuple[str, str], line: str) -> None:
    assert asked.refusal(*option) == line


@pytest.mark.slow
def test_a_port_where_something_else_listens_is_given_up(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PATIENCE, 3)
    with socket.create_server(("", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert asked.refusal("--address", address) == (
            f"{address}: something listens there, but has not answered as a Ray cluster does within 3 s; "
            "give the port that `ray start --head` named"
        )


@contextlib.contextmanager
def cluster_with_a_token() -> Iterator[str]:
    """Run a cluster of one node that asks for a token, as `ray start` does where a user has made one; its address."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder, socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        mine = {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32}
        with subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", str(port)],
            env=os.environ | mine,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as head:
            try:
                yield f"127.0.0.1:{port}"
            finally:
                head.terminate()


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [{}, {"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "cd" * 32}],
    ids=["no mode", "no token", "another token"],
)
def test_a_cluster_that_asks_for_a_token_is_told(
    asked: Asked, tmp_path: Path, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where a token may lie
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with cluster_with_a_token() as address:
        deadline = time.monotonic() + 100
        while "no cluster answers there" in (line := asked.refusal("--address", address)):
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert line == (
        f"{address}: no cluster that can be joined (it answers, but lets nobody in from here; if it asks for a token, "
        "set RAY_AUTH_MODE=token and put its token into ~/.ray/auth_token); look at it with `ray status`"
    )


@contextlib.contextmanager
def told_versions(address: str, **versions: str) -> Iterator[None]:
    """Let a cluster say for the block that it was started with other versions."""
    from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY as KEY
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER as SPACE
    from ray._raylet import GcsClient

    client = GcsClient(address=address)
    truth = client.internal_kv_get(KEY, namespace=SPACE)
    client.internal_kv_put(KEY, json.dumps(json.loads(truth) | versions).encode(), True, SPACE)
    try:
        yield
    finally:
        client.internal_kv_put(KEY, truth, True, SPACE)


@pytest.mark.slow
@pytest.mark.parametrize("version", [{"ray_version": "2.1.0"}, {"python_version": "3.7.9"}])
def test_a_cluster_of_other_versions_is_refused(asked: Asked, nodes: Nodes, version: dict[str, str]) -> None:
    import ray

    theirs = {"ray_version": ray.__version__, "python_version": sys.version.split()[0], **version}
    with told_versions(nodes.address, **version):
        line = asked.refusal("--address", nodes.address)
    assert line == (
        f"{nodes.address}: no cluster that can be joined (it runs Ray {theirs['ray_version']} and Python "
        f"{theirs['python_version']}, this machine Ray {ray.__version__} and Python {sys.version.split()[0]}: install "
        "the same on all nodes); look at it with `ray status`"
    )


@pytest.mark.slow
def test_more_cores_than_any_node_has_are_refused(asked: Asked, nodes: Nodes) -> None:
    line = asked.refusal("--address", nodes.address, "--num-cpus", "99")
    assert line == "none of 1 node(s) has 99 cores and 0 GPUs for an actor; lower --num-cpus or --num-gpus"
    line = asked.refusal("--address", nodes.address, "--num-gpus", "0.5")
    assert line == "none of 1 node(s) has 1 cores and 0.5 GPUs for an actor; lower --num-cpus or --num-gpus"


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_refused(asked: Asked, nodes: Nodes) -> None:
    with (asked.folder / "vqa.toml").open("a") as settings:
        settings.write('[workspace]\ncache = "/proc/cache"\n')
    line = asked.refusal("--address", nodes.address)
    assert line.startswith("/proc/cache: can't be written (No such file or directory); free or unlock that place")


def shadow(folder: Path, **files: str) -> str:
    """Write files into a folder; return the path of modules that begins with it."""
    for name, text in files.items():
        file = folder / name.replace("__", "/", 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


@pytest.mark.slow
def test_a_node_of_another_vqa_is_refused(asked: Asked, nodes: Nodes, tmp_path: Path) -> None:
    # Ray lets nodes import from the driver's folders first, so an installation beside them would not be seen.
    other = "import importlib.metadata as m\ntold = m.version\n"
    other += "m.version = lambda name: '9.9' if name == 'vqa' else told(name)"
    nodes.add(PYTHONPATH=shadow(tmp_path / "s", **{"sitecustomize.py": other}))
    try:
        line = asked.refusal("--address", nodes.address)
    finally:
        nodes.forget(1)
    assert ": has vqa 9.9, this machine " in line
    assert line.endswith("; install the same version on all nodes")


@pytest.mark.slow
def test_a_node_without_vqa_is_refused(asked: Asked, nodes: Nodes, tmp_path: Path) -> None:
    asked.monkeypatch.chdir(tmp_path)  # Ray lets nodes import from the driver's folder
    (tmp_path / "s" / "vqa").mkdir(parents=True)
    (tmp_path / "s" / "vqa" / "__init__.py").write_text("raise ImportError('not here')")
    nodes.add(PYTHONPATH=shadow(tmp_path / "s"))
    try:
        line = asked.refusal("--address", nodes.address)
    finally:
        nodes.forget(1)
    assert ": vqa can't be imported there (ImportError: not here); `pip install 'vqa[ray]'` on that node" in line


@pytest.mark.parametrize(
    ("mounts", "line"),
    [
        (
            ["mount -t tmpfs none {cache}"],
            "the cache {cache} (a file written there on the driver's machine is not seen)",
        ),
        pytest.param(
            ["mount -t tmpfs none {folder}"], "the cache {cache} (there is no such folder)", marks=pytest.mark.slow
        ),
        pytest.param(
            ["mount --bind {cache} {cache}", "mount -o remount,bind,ro {cache}"],
            "the cache {cache} (it can't be written to: Read-only file system)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_node_that_does_not_share_the_cache_is_refused(
    asked: Asked, nodes: Nodes, mounts: list[str], line: str
) -> None:
    cache = asked.folder / "cache"
    cache.mkdir()
    with nodes.apart(*(mount.format(folder=asked.folder, cache=cache) for mount in mounts)):
        refusal = asked.refusal("--address", nodes.address)
    told = f"): does not share {line.format(cache=cache)}; put it where all nodes see it under the same path"
    assert refusal.endswith(told)


@pytest.mark.slow
def test_a_node_that_does_not_see_the_videos_is_refused(asked: Asked, nodes: Nodes) -> None:
    clips = asked.folder / "clips"
    with nodes.apart(f"mount -t tmpfs none {clips}"):
        refusal = asked.refusal("--address", nodes.address)
    assert refusal.endswith(
        f"): does not see the videos as this machine does ({clips}/00-10.mp4: No such file or directory); "
        "put them where all nodes see them under the same path"
    )


@pytest.mark.slow
def test_a_user_sees_the_one_line(nodes: Nodes, tmp_path: Path) -> None:
    """As the tests before, but as a process of its own."""
    folder = workspace(tmp_path / "w", (10,))
    shutil.rmtree(folder / "site")  # a plug-in here alone would be said, too
    status, out, err = finish(nodes.start(folder, "--num-cpus", "99", models=("classic:siti",)))
    assert (status, out) == (1, "")
    assert one_line(folder, err).startswith("none of 1 node(s) has 99 cores")
    status, out, err = finish(start(folder, "--engine", "ray", "--address", "127.0.0.1:1", models=("classic:siti",)))
    assert (status, out) == (1, "")
    assert one_line(folder, err).startswith("127.0.0.1:1: no cluster answers there")
