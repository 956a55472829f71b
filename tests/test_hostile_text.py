"""Text made to do harm: JSON, CSV and TOML that nest, grow or lie; each ends as one line."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from corpora import bundle_header, write_bundles

from vqa.cache.key import KeyMemo
from vqa.cache.ledger import Ledger
from vqa.cache.tablefiles import TableNames, read_feature_file
from vqa.errors import BundleError, VqaError, WorkspaceError
from vqa.labels import Columns, read_labels
from vqa.pipeline.selected import read_selection
from vqa.train.bundle import load_bundle
from vqa.workspace import DatasetSettings, Workspace, open_workspace


def labels(file: Path) -> object:
    return read_labels(file, Columns())


def table(file: Path) -> object:
    return read_feature_file(file, TableNames())


def refusal(read: Callable[[Path], object], file: Path) -> str:
    with pytest.raises(VqaError) as raised:
        read(file)
    assert "\n" not in str(raised.value)
    return str(raised.value)


BOMBS = {
    "deep": "[" * 200_000,
    "deep and whole": "[" * 100_000 + "]" * 100_000,
    "digits": '{"schema": ' + "9" * 5000 + "}",
    "infinite": '{"schema": 2, "header": {}, "regressor": {"blocks": 1e999, "mos_range": [0, 1]}, "rows": [{}]}',
    "not a number": '{"schema": 2, "header": NaN, "regressor": NaN, "rows": NaN}',
    "a million keys": json.dumps({str(number): number for number in range(10**6)}),
    "another type": '{"schema": 2, "header": [], "regressor": [], "rows": 7}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_json_bomb_in_a_bundle_is_one_line(tmp_path: Path, name: str) -> None:
    text = json.dumps({"__metadata__": {"vqa_bundle": BOMBS[name]}}).encode()
    (tmp_path / "x.vqa").write_bytes(struct.pack("<Q", len(text)) + text)
    refusal(load_bundle, tmp_path / "x.vqa")


@pytest.mark.parametrize("name", BOMBS)
def test_a_json_bomb_in_place_of_labels_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.json").write_text(BOMBS[name])
    refusal(labels, tmp_path / "x.json")


@pytest.mark.parametrize("name", BOMBS)
def test_a_json_bomb_in_place_of_the_selection_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "selection.json").write_text(BOMBS[name])
    with pytest.raises(WorkspaceError, match="is damaged or of another version; run `vqa select` again"):
        read_selection(Workspace(tmp_path, DatasetSettings("x")))


@pytest.mark.parametrize("name", BOMBS)
def test_a_json_bomb_in_the_ledger_or_among_the_keys_is_left_aside(tmp_path: Path, name: str) -> None:
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures" / "a.jsonl").write_text(BOMBS[name])
    (tmp_path / "keys.jsonl").write_text(BOMBS[name])
    assert Ledger(tmp_path).open_failures() == ()
    assert KeyMemo(tmp_path).known(tmp_path / "keys.jsonl") is None


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_text_made_to_choke_its_reader_is_one_line(tmp_path: Path, suffix: str) -> None:
    wide = ",".join(f"c{number}" for number in range(300_000))
    for content in (
        "id,mos\n" + "a" * 100_000_000 + ",3\n",
        "id,mos\na\0b\0,\0\n",
        f"{wide}\n{wide}\n",
        "\ufeff" * 1000,
        '"' * 1_000_001,
    ):
        (tmp_path / f"x{suffix}").write_text(content)
        refusal({".csv": labels, ".tsv": table}[suffix], tmp_path / f"x{suffix}")


def test_labels_that_are_a_pipe_or_a_device_are_not_read_for_ever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for name in ("pipe.csv", "zero.csv"):
        assert "is a pipe or a device" in refusal(labels, tmp_path / name)
        assert "is a pipe or a device" in refusal(table, tmp_path / name)


@pytest.mark.parametrize("text", ["a = " + "[" * 10_000, "a." * 5000 + "a = 1", "[extract]\nframes = " + "9" * 5000])
def test_a_toml_bomb_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "vqa.toml").write_text(text)
    with pytest.raises(WorkspaceError) as raised:
        open_workspace(tmp_path)
    assert len(str(raised.value)) < 20_000


def test_a_bundle_whose_numbers_explode_gives_no_score(tmp_path: Path) -> None:
    write_bundles(tmp_path)
    bundle = load_bundle(tmp_path / "bundles-b.vqa")
    object.__setattr__(bundle.fitted, "mos_std", 1e308)
    blocks = {
        entry["name"]: np.full((1, width), 9.0) for entry, width in zip(bundle_header()["models"], (4, 3), strict=True)
    }
    with pytest.raises(BundleError, match="a score that is no finite number"):
        bundle.predict({name: block * 1e30 for name, block in blocks.items()})
