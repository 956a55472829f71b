"""Temporary folders: gone with their processes, whatever ends those, and found where TMPDIR is no help."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from faults import assert_nothing_runs_on, extract, reasons, start, stored, wait_for_slow, workspace

import vqa.extract.worker_server as server
from vqa.copies import TemporaryFolder, temporary_folder
from vqa.errors import StorageError, VqaError

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks workers from a server")


@linux
def test_what_a_killed_run_left_in_tmpdir_goes_with_the_next_one(
    tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = short_folder
    (temporary / "pymp-of-others").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    folder = workspace(tmp_path / "w", [100, 100, 50], workers=1)
    process = start(folder)
    wait_for_slow(folder, 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert_nothing_runs_on(process.pid)
    assert len(list(temporary.glob("vqa-mp-*"))) == 1
    status, report = extract(folder)
    assert (status, stored(report)) == (0, 3)
    assert sorted(path.name for path in temporary.iterdir() if "torch" not in path.name) == ["pymp-of-others"]


@linux
@pytest.mark.parametrize("place", ["/proc/none", pytest.param("long", marks=pytest.mark.slow)])
def test_a_tmpdir_that_is_not_there_or_too_long_for_sockets_is_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "long":
        place = str(tmp_path / ("x" * 100))
        Path(place).mkdir()
    monkeypatch.setenv("TMPDIR", place)
    status, report = extract(workspace(tmp_path / "w", [50], workers=1))
    assert (status, stored(report), reasons(report)) == (0, 1, {})


def test_no_place_for_temporary_files_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vqa.copies

    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: (_ for _ in ()).throw(PermissionError(13, "no")))
    monkeypatch.setattr(vqa.copies, "_made", [])
    with pytest.raises(VqaError, match=r"no folder takes temporary files, neither TMPDIR nor .*; set TMPDIR to one"):
        server._make_folder()
    with pytest.raises(StorageError, match=r"copies of remote files have no place \(no\); set TMPDIR"):
        vqa.copies._copies()


@pytest.fixture
def temporary(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let temporary files lie in a folder of this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    return short_folder


def test_folders_of_live_processes_stay_and_those_of_dead_ones_go(temporary: Path) -> None:
    alive = TemporaryFolder("mp")
    dead = temporary / "vqa-files-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (temporary / "vqa-mp-new").mkdir()  # made, and not locked yet
    others = temporary / "pymp-others"
    others.mkdir()
    with temporary_folder() as folder:
        assert {path.name for path in temporary.iterdir()} == {alive.path.name, "vqa-mp-new", others.name, folder.name}
    alive.remove()
    alive.remove()
    assert {path.name for path in temporary.iterdir()} == {"vqa-mp-new", others.name}


def test_a_fork_leaves_its_parent_s_folder_alone(temporary: Path) -> None:
    folder = TemporaryFolder("mp")
    child = os.fork()
    if not child:
        folder.remove()
        os._exit(int(folder.is_here))
    assert os.waitpid(child, 0)[1] == 0
    assert folder.is_here
    folder.remove()
    assert not folder.is_here


@linux
def test_a_folder_of_others_is_not_taken_over_and_a_lost_one_is_made_anew(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_folder", [])
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    monkeypatch.setitem(config, "tempdir", "/of/others")
    server._use_own_folder()
    assert config["tempdir"] == "/of/others"
    config["tempdir"] = None
    server._use_own_folder()
    first = config["tempdir"]
    assert Path(first).parent == temporary
    server._use_own_folder()
    assert config["tempdir"] == first
    shutil.rmtree(first)
    server._use_own_folder()
    assert config["tempdir"] != first
    assert Path(config["tempdir"]).is_dir()
    server._folder[0].remove()
