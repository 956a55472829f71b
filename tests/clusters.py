"""Ray clusters of this machine to run on, each node a set of processes, and what must be left of them: nothing."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import h5py
import psutil
from faults import finish, start
from mounts import require_mounts

_MARK = "VQA_TEST_CLUSTER"
"""A variable that all processes of a cluster, and of the runs on it, have."""
_STORE_BYTES = 80 << 20


class Nodes:
    """A cluster that runs.

    Args:
        variables: Of the environment of all its processes.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        from ray.cluster_utils import Cluster

        self.mark = secrets.token_hex(8)
        self._variables = variables
        self._cluster = Cluster()
        self.nodes: list[Any] = []

    @property
    def address(self) -> str:
        """Host and port of the head node."""
        return str(self._cluster.address)

    def add(self, count: int = 1, *, gpus: int = 0, **variables: str) -> None:
        """Start nodes of one core; the first is the head.

        Args:
            count: How many.
            gpus: That each is said to have.
            variables: Further ones of the environment of their processes.
        """
        for _ in range(count):
            head = {"include_dashboard": False, "no_monitor": True}
            self.nodes.append(
                self._cluster.add_node(
                    num_cpus=1,
                    num_gpus=gpus,
                    object_store_memory=_STORE_BYTES,
                    dashboard_agent_listen_port=0,
                    include_log_monitor=False,
                    env_vars={**self._variables, **variables, _MARK: self.mark},
                    **({} if self.nodes else head),
                )
            )

    @contextlib.contextmanager
    def apart(self, *mounts: str) -> Iterator[None]:
        """Let a node of one core take part during the block that sees other mounts than all others."""
        require_mounts()
        ray_start = shlex.join([sys.executable, "-m", "ray.scripts.scripts", "start", "--address", self.address])
        script = "\n".join([*mounts, f"exec {ray_start} --num-cpus 1 --block --object-store-memory {_STORE_BYTES}"])
        log = Path(os.environ["RAY_TMPDIR"]) / "apart.log"
        with log.open("w") as out:
            node = subprocess.Popen(
                ["unshare", "-rm", "sh", "-ec", script],
                env={**os.environ, **self._variables, _MARK: self.mark},
                stdout=out,
                stderr=out,
            )
        try:
            self._wait_for(len(self.nodes) + 1, node, log)
            yield
        finally:
            node.terminate()
            node.wait(timeout=60)
            self._wait_for(len(self.nodes))

    def _wait_for(self, count: int, node: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
        """Wait until so many nodes are alive."""
        deadline = time.monotonic() + 100
        while len(self._cluster.global_state._live_node_ids()) != count:
            assert node is None or node.poll() is None, log and log.read_text()
            assert time.monotonic() < deadline, f"there are never {count} nodes"
            time.sleep(0.1)

    def remove(self, place: int) -> None:
        """End a node at once, as if its machine were gone."""
        self._cluster.remove_node(self.nodes.pop(place), allow_graceful=False)

    def forget(self, place: int) -> None:
        """End a node, and wait until the cluster knows it."""
        self.remove(place)
        self._wait_for(len(self.nodes))

    def start(self, folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start `vqa extract` on the cluster; see `faults.start`."""
        with _set(_MARK, self.mark):
            return start(folder, "--engine", "ray", "--address", self.address, *arguments, **options)

    def extract(self, folder: Path, *arguments: str, **options: Any) -> tuple[int, dict[str, Any], str]:
        """Run `vqa extract` on the cluster to its end; return its exit status, its report, and what it said."""
        status, out, err = finish(self.start(folder, "--json", *arguments, **options))
        assert out, err
        return status, json.loads(out), err

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Return the living processes of the cluster and its runs, whose command line has a name in it."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
                if is_ours and name in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def extractors(self) -> list[psutil.Process]:
        """Return the processes of actors."""
        return self.processes("ray::Extractor")

    def end(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()
        self.nodes = []


@contextlib.contextmanager
def cluster(count: int, variables: Mapping[str, str] = MappingProxyType({})) -> Iterator[Nodes]:
    """Run a cluster for the block; no process, shared memory or file of it is left.

    Args:
        count: Nodes to start with, of one core each.
        variables: Of the environment of all its processes.
    """
    with contextlib.ExitStack() as stack:
        temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: the names of sockets must be
        stack.callback(shutil.rmtree, temporary)
        stack.enter_context(_set("RAY_TMPDIR", temporary))  # and no other cluster of this machine is in the way
        stack.enter_context(_set("RAY_USAGE_STATS_ENABLED", "0"))
        stack.enter_context(_set("RAY_worker_niceness", "0"))  # else other tests come first
        nodes = Nodes(variables)
        stack.callback(assert_none_is_left, nodes)
        stack.callback(nodes.end)
        nodes.add(count)
        yield nodes


def assert_none_is_left(nodes: Nodes) -> None:
    """Fail if, some time after a cluster's end, a process of it is left, and with it shared memory."""
    deadline = time.monotonic() + 30
    while left := nodes.processes():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@contextlib.contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    with mock.patch.dict(os.environ, {name: value}):
        yield


def rows_of(cache: Path) -> list[tuple[str, str]]:
    """Return the folder and key of each row of all segments: more than there are pairs, if one was stored twice."""
    rows = []
    for file in sorted(cache.rglob("*.h5")):
        with h5py.File(file) as segment:
            rows += [(file.parent.name, key.decode()) for key in segment["keys"][()]]
    return rows


def said(err: str) -> list[str]:
    """Return what a run told on stderr, without how far it was, and the empty line after a `^C`."""
    progress = ("reading files: ", "extracting features: ")
    return [line for line in err.splitlines() if line and not line.startswith(progress)]
