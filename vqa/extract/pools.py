"""The candidate pools of `pools.toml`, and how names, pools and globs become model specs."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any

from vqa.errors import UnknownModelError
from vqa.extract.backends import find_backend, suggest
from vqa.extract.spec import DEFAULT_FRAMES, ModelSpec, parse_spec

_GLOB = frozenset("*?[")


@dataclass(frozen=True)
class PoolRow:
    """One candidate of a pool, as data."""

    pool: str
    spec: str
    pretext: str
    """What the network was trained for."""
    pretraining: str
    """What it was trained on."""
    width: int
    """D, the number of its features."""
    licence: str
    """Of the weights."""
    input: str
    """Height x width, and frames for a video network."""
    data: Mapping[str, Any]
    """The whole row, with what only its backend reads."""


@functools.cache
def pool_rows() -> tuple[PoolRow, ...]:
    """Return every row of every pool, in the order of the file."""
    text = resources.files("vqa.extract").joinpath("pools.toml").read_text(encoding="utf-8")
    return tuple(_row(pool, data) for pool, rows in tomllib.loads(text).items() for data in rows)


def _row(pool: str, data: Mapping[str, Any]) -> PoolRow:
    return PoolRow(
        pool=pool,
        spec=data["spec"],
        pretext=data["pretext"],
        pretraining=data["pretraining"],
        width=data["width"],
        licence=data["licence"],
        input=data["input"],
        data=data,
    )


def find_row(spec: str) -> PoolRow | None:
    """Return the pool row of a candidate, whatever its view, or None where no pool has it."""
    plain = spec.partition("@")[0]
    return next((row for row in pool_rows() if row.spec == plain), None)


def expand_models(
    patterns: Sequence[str], *, everything: Sequence[str] = (), frames: int = DEFAULT_FRAMES
) -> tuple[ModelSpec, ...]:
    """Turn `all`, pool names, globs and specs into model specs, each once, in the order given.

    Args:
        patterns: What the user wrote.
        everything: What `all` stands for: the patterns of the workspace.
        frames: Frames sampled from each video.

    Raises:
        UnknownModelError: a pattern names nothing.
    """
    texts: list[str] = []
    for pattern in patterns:
        texts += _expand(pattern, everything)
    return tuple(parse_spec(text, frames=frames) for text in dict.fromkeys(texts))


def _expand(pattern: str, everything: Sequence[str]) -> list[str]:
    if pattern == "all":
        return [text for inner in everything if inner != "all" for text in _expand(inner, ())]
    pools = {row.pool for row in pool_rows()}
    if pattern in pools:
        return [row.spec for row in pool_rows() if row.pool == pattern]
    if _GLOB & set(pattern):
        return _matching(pattern)
    if ":" not in pattern:
        known = (*sorted(pools), *(row.spec for row in pool_rows()))
        raise UnknownModelError(f"there is no pool or model {pattern!r}; {suggest(pattern, known)} See `vqa models`")
    return [pattern]


def _matching(pattern: str) -> list[str]:
    """Return the pools' candidates a glob matches; else, with a backend named, any of that library's."""
    found = [row.spec for row in pool_rows() if fnmatchcase(row.spec, pattern)]
    backend, _, name = pattern.partition(":")
    if not found and name and not _GLOB & set(backend):
        found = [f"{backend}:{known}" for known in find_backend(backend).list_names() if fnmatchcase(known, name)]
    if not found:
        raise UnknownModelError(f"no model matches {pattern!r}; `vqa models` lists the pools")
    return found
