"""A named pipe in place of a file of the cache: nothing waits for what never comes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cachefill import fill, segments

from vqa.cache.folder import append_line
from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.segment import open_segment
from vqa.cache.verifying import verify_cache
from vqa.errors import CacheError
from vqa.files import sha256_of

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes"),
    pytest.mark.timeout(30),  # else a test that waits at a pipe is as long as the longest
]

NO_FILE = "is a folder, a pipe or a device, not a file"


@pytest.fixture
def pipe(tmp_path: Path) -> Callable[..., Path]:
    """Put a pipe in a file's place."""

    def put(*parts: str) -> Path:
        path = tmp_path.joinpath(*parts)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        return path

    return put


def test_a_pipe_in_place_of_the_keys_is_one_line(tmp_path: Path, pipe: Callable[..., Path]) -> None:
    pipe("keys.jsonl")
    with pytest.raises(CacheError, match=rf"keys\.jsonl: can't be read \({NO_FILE}\); check the cache folder"):
        KeyMemo(tmp_path).key(Path(__file__))


def test_a_pipe_among_the_failures_is_one_line(tmp_path: Path, pipe: Callable[..., Path]) -> None:
    file = pipe("failures", "a.jsonl")
    with pytest.raises(CacheError, match=rf"a\.jsonl: can't be read \({NO_FILE}\)"):
        Ledger(tmp_path).open_failures()
    with pytest.raises(OSError, match=NO_FILE):
        append_line(file, {"a": 1}, sync=True)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_in_place_of_a_segment_is_one_short_line_and_is_repaired(
    tmp_path: Path, pipe: Callable[..., Path], kind: str
) -> None:
    fill(tmp_path, {"a": 1})
    (path,) = segments(tmp_path)
    path.unlink()
    if kind == "pipe":
        pipe(path.parent.name, path.name)
    else:
        path.mkdir()
    with pytest.raises(CacheError, match=rf"this segment can't be read \({NO_FILE}\); run `vqa cache verify --repair`"):
        open_segment(path)
    with pytest.raises(OSError, match=NO_FILE):
        sha256_of(path)
    report = verify_cache(tmp_path, repair=True)
    assert [(damage.kind, damage.reason) for damage in report.damages] == [
        ("form", f"the file can't be read ({NO_FILE})")
    ]
    assert (report.good, path.exists()) == (True, False)
