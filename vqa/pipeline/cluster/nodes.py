"""The nodes of a cluster, looked at before any work starts: versions, and folders that they must share."""

from __future__ import annotations

import contextlib
import platform
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vqa.cache.folder import NODE_MARK, make_folder
from vqa.errors import VqaError
from vqa.pipeline.cluster.members import Node
from vqa.pipeline.versions import library_versions
from vqa.urls import Place

_PATIENCE_SECONDS = 60.0


def alive_nodes() -> list[Node]:
    """Return the cluster's nodes that are alive and have a core to work with."""
    found = [
        Node(
            each["NodeID"],
            each["NodeManagerHostname"],
            int(each["Resources"].get("CPU", 0)),
            float(each["Resources"].get("GPU", 0)),
        )
        for each in ray.nodes()
        if each["Alive"]
    ]
    return [node for node in found if node.cpus >= 1]


def on(node: Node) -> NodeAffinitySchedulingStrategy:
    """Return how something is run on one node and no other."""
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


def named(node: Node, error: VqaError) -> VqaError:
    """Return an error of a node with the node's name before it."""
    return type(error)(f"{node.name}: {error}")


def check_nodes(nodes: Sequence[Node], cache_dir: Place, sample: Place | None) -> tuple[str, ...]:
    """Find out whether nodes can work on one cache together.

    Args:
        nodes: To be looked at.
        cache_dir: The cache folder; made here if it does not exist.
        sample: A file of the dataset.

    Returns:
        What is odd and may be borne, a line each.

    Raises:
        VqaError: versions differ, or a node does not see the cache or the videos.
        CacheError: the cache can't be written to from here.
    """
    notes = _check_versions(nodes)
    make_folder(cache_dir, cache_dir)
    with _mark(cache_dir) as mark:
        for node, found in _ask(nodes, _see_cache, mark):
            if found:
                raise VqaError(
                    f"{node.name}: does not share the cache {cache_dir} ({found}); "
                    "put it where all nodes see it under the same path"
                )
            if not _answered(mark, node):
                raise VqaError(
                    f"{node.name}: writes to another {cache_dir} than this machine; "
                    "put the cache where all nodes see it under the same path"
                )
    if sample is not None:
        _check_video(nodes, sample)
    return notes


def _check_versions(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Refuse nodes with another Python or vqa; name other libraries that differ."""
    here = {"Python": platform.python_version(), **library_versions()}
    notes = []
    for node, found in _ask(nodes, _inspection()):
        wrong = found.get("error")
        if wrong:
            raise VqaError(f"{node.name}: vqa can't be imported there ({wrong}); `pip install 'vqa[ray]'` on that node")
        for name in ("Python", "vqa"):
            if found.get(name) != here[name]:
                raise VqaError(
                    f"{node.name}: has {name} {found.get(name, 'none')}, this machine {here[name]}; "
                    "install the same version on all nodes"
                )
        differs = [name for name in {**here, **found} if here.get(name) != found.get(name)]
        if differs:
            told = ", ".join(f"{name} {found.get(name, 'none')} for {here.get(name, 'none')}" for name in differs)
            notes.append(f"{node.name}: has {told}; a model whose numbers differ there will be refused")
    return tuple(notes)


def _inspection() -> Callable[[], dict[str, str]]:
    """Return what tells a node's versions; it travels by value, since the node's vqa may be another, or none."""

    def inspect() -> dict[str, str]:
        import platform

        found = {"Python": platform.python_version()}
        try:
            from vqa.pipeline.versions import library_versions
        except Exception as error:  # noqa: BLE001 - whatever a broken installation raises is to be told
            return {**found, "error": f"{type(error).__name__}: {error}"}
        return {**found, **library_versions()}

    return inspect


def _check_video(nodes: Sequence[Node], sample: Place) -> None:
    here = _see_video(sample)
    for node, found in _ask(nodes, _see_video, sample):
        if found != here:
            raise VqaError(
                f"{node.name}: does not see the videos as this machine does ({sample}: {found}); "
                "put them where all nodes see them under the same path"
            )


def _see_video(file: Place) -> str:
    """Return how a file is seen from here."""
    try:
        return f"{file.stat().st_size} bytes"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


@contextlib.contextmanager
def _mark(cache_dir: Place) -> Iterator[Place]:
    """Put a file of a name that nobody can know into the cache, and remove it, and the answers to it, afterwards."""
    mark = cache_dir / f"{NODE_MARK}{secrets.token_hex(8)}"
    mark.write_bytes(b"")
    try:
        yield mark
    finally:
        for file in cache_dir.glob(f"{mark.name}*"):
            file.unlink(missing_ok=True)


def _see_cache(mark: Place) -> str:
    """Answer the mark from a node; return what is wrong, empty where nothing is."""
    if not mark.parent.is_dir():
        return "there is no such folder"
    if not mark.exists():
        return "a file written there on the driver's machine is not seen"
    try:
        _answer(mark, ray.get_runtime_context().get_node_id()).write_bytes(b"")
    except OSError as error:
        return f"it can't be written to: {error.strerror}"
    return ""


def _answer(mark: Place, node_id: str) -> Place:
    return mark.parent / f"{mark.name}-{node_id[:16]}"


def _answered(mark: Place, node: Node) -> bool:
    return _answer(mark, node.id).exists()


def _ask(nodes: Sequence[Node], function: Callable[..., Any], *arguments: Any) -> list[tuple[Node, Any]]:
    """Run a function on each node at once; one that is lost meanwhile is left out.

    Raises:
        VqaError: a node does not answer.
    """
    asked = ray.remote(function)
    answers = [
        asked.options(num_cpus=0, max_retries=0, scheduling_strategy=on(node)).remote(*arguments) for node in nodes
    ]
    found = []
    for node, answer in zip(nodes, answers, strict=True):
        try:
            found.append((node, ray.get(answer, timeout=_PATIENCE_SECONDS)))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, VqaError):
                raise named(node, error.cause) from error
            reason = " ".join(str(error.cause).split())
            raise VqaError(
                f"{node.name}: vqa can't be run there ({reason}); install the same vqa on all nodes"
            ) from error
        except ray.exceptions.RayError as error:
            if node not in alive_nodes():
                continue
            raise VqaError(f"{node.name}: does not answer ({type(error).__name__}); look at `ray status`") from error
    return found
