"""Entries of a videos folder that are no files: each is a row of the ledger, and the rest goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from media import grey_frames, write_video

import vqa


@pytest.mark.parametrize("videos", ["clips", "clips/*.mp4"])
def test_loops_dangling_links_and_pipes_cost_themselves_alone(tmp_path: Path, videos: str) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "good.mp4", grey_frames())
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "dangling.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (tmp_path / "vqa.toml").write_text(f'[dataset]\nvideos = "{videos}"\n')
    report = vqa.extract_features(tmp_path, ["classic:nss"])
    assert [row.stored for row in report.candidates] == [1]
    reasons = {failure.video: failure.reason for failure in report.failures}
    assert reasons.keys() == {"loop.mp4", "dangling.mp4", "pipe.mp4"}
    assert "Too many levels of symbolic links" in reasons["loop.mp4"]
    assert "No such file or directory" in reasons["dangling.mp4"]
    assert "is a folder or a device, not a video" in reasons["pipe.mp4"]
