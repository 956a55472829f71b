"""Files written whole or not at all; what dead writers leave is swept, what live ones hold is not."""

import subprocess
import sys
import textwrap

import pytest

from vqa.files import sweep_temporaries, written_whole

WRITER = """
import sys, time
from pathlib import Path
from vqa.files import written_whole
with written_whole(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing a file."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "a.h5")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_file_appears_whole_and_replaces_the_old_one(tmp_path):
    (tmp_path / "a").write_text("old")
    with written_whole(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "a") as temporary:
        temporary.write_text(str(1 / 0))
    assert (tmp_path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_a_live_writer_holds_is_not_swept(tmp_path, writer):
    assert sweep_temporaries(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_writer_left_is_swept(tmp_path, writer):
    writer.kill()
    writer.wait()
    assert sweep_temporaries(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_only_temporary_files_are_swept(tmp_path):
    for name in ("a.h5", ".hidden", "notes.tmp"):
        (tmp_path / name).write_text("")
    assert sweep_temporaries(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 3


def test_a_writer_whose_file_a_sweeper_took_before_it_was_locked_makes_another(tmp_path, monkeypatch):
    monkeypatch.setattr("vqa.files.lock_file", _sweep_first(tmp_path))
    with written_whole(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a").read_text() == "new"


def _sweep_first(folder):
    calls = []

    def lock(descriptor, *, wait):
        if not calls:
            calls.append(descriptor)
            for path in folder.iterdir():
                path.unlink()
        return True

    return lock
