from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media import write_video

from vqa.cache.key import KeyMemo
from vqa.cache.store import FeatureStore
from vqa.records import CandidateRecord, VideoFeatures

Run = Callable[..., tuple[int, str, str]]

N = 40
IDS = tuple(f"v{row:02}" for row in range(N))
MOS = np.linspace(1, 5, N)
SEES = (MOS[:, None] + 0.8 * np.random.default_rng(0).normal(size=(N, 20))).astype(np.float32)
BLIND = np.random.default_rng(1).normal(size=(N, 18)).astype(np.float32)


def table(folder: Path, name: str = "t.npz", **arrays: object) -> Path:
    content: dict[str, object] = {"ids": np.array(IDS), "mos": MOS, "feat__sees": SEES, "feat__blind": BLIND} | arrays
    np.savez(folder / name, **{key: value for key, value in content.items() if value is not None})
    return folder / name


def found(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def workspace(run: Run, tmp_path: Path) -> Path:
    """A workspace made by an import."""
    assert run("cache", "import", table(tmp_path), "--as", "p", "-C", tmp_path / "w")[0] == 0
    return tmp_path / "w"


def test_one_command_makes_a_workspace_that_selects_trains_and_evaluates(run: Run, tmp_path: Path) -> None:
    holed = SEES.copy()
    holed[3, 4], holed[3, 5] = np.inf, np.nan
    groups = np.array([f"g{row % 10}" for row in range(N)])
    file, folder = table(tmp_path, group=groups, feat__holed=holed), tmp_path / "w"
    status, out, _ = run("cache", "import", file, "--as", "p", "-C", folder, "--json")
    report = json.loads(out)
    assert status == 0
    assert (report["rows"], report["joined"], report["groups"], report["mos_range"]) == (N, N, 10, [1, 5])
    sets = {row["name"]: (row["width"], row["added"], row["missing"], row["missing_rows"]) for row in report["sets"]}
    assert sets == {
        "imported:p/sees": (20, N, 0, 0),
        "imported:p/blind": (18, N, 0, 0),
        "imported:p/holed": (20, N, 2, 1),
    }
    assert (folder / "labels.csv").read_text().splitlines()[:2] == ["id,mos,group", "v00,1.0,g0"]
    status, out, _ = run("select", "-C", folder, "--top-k", 2)
    assert (status, f"; {N} videos in" in out, "imported:p/sees" in out) == (0, True, True)
    assert run("train", "--cached", "-C", folder)[0] == 0
    assert run("train", "-C", folder)[0] == 0  # there is nothing to extract
    status, out, _ = run("evaluate", "-C", folder, "--splits", 2, "--top-k", 1)
    assert (status, "splits by content (10 contents)" in out) == (0, True)
    status, _, err = run("score", file, "-C", folder)
    assert (status, "imported features can't be computed for a new video" in err) == (1, True)


def test_importing_again_says_that_there_is_nothing_to_do(run: Run, workspace: Path, tmp_path: Path) -> None:
    before = found(workspace)
    status, out, _ = run("cache", "import", tmp_path / "t.npz", "--as", "p", "-C", workspace)
    assert (status, "Nothing to do: the cache holds all of this already" in out) == (0, True)
    assert found(workspace) == before


def test_rows_are_joined_by_id_whatever_their_order(run: Run, workspace: Path, tmp_path: Path) -> None:
    order = np.random.default_rng(2).permutation(N)
    names = np.array([f"clips/{IDS[row]}.mp4" for row in order])
    file = table(tmp_path, "o.npz", ids=names, mos=MOS[order], feat__sees=SEES[order], feat__blind=BLIND[order])
    status, out, _ = run("cache", "import", file, "--as", "p", "-C", workspace)
    assert (status, "Nothing to do" in out) == (0, True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mos": MOS[::-1]}, "the rows look shuffled: check which id belongs to which row"),
        ({"mos": MOS * 10}, "they are on another scale: use --mos-column '' to leave them aside"),
        ({"feat__sees": SEES + 1}, "imported:p/sees: the cache holds other values for 40 of 40 videos"),
        ({"feat__blind": BLIND[:, 1:]}, "imported:p/blind: has 18 features a video in the cache and 17 in the file"),
        ({"ids": np.array([f"w{row}" for row in range(N)])}, "none of its 40 ids (w0, w1, w2, ...) is one of the"),
        ({"ids": None}, "holds no ids, but"),
        ({"ids": np.array(IDS[:-1])}, "has 39 ids, but 40 rows of mos; they must agree"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    run: Run, workspace: Path, tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    file, before = table(tmp_path, "n.npz", feat__new=SEES, **arrays), found(workspace)
    status, _, err = run("cache", "import", file, "--as", "p", "-C", workspace)
    assert (status, err.count("\n")) == (1, 1)
    assert message in err
    assert found(workspace) == before


def test_ids_that_only_one_side_knows_are_counted_and_named(run: Run, workspace: Path, tmp_path: Path) -> None:
    ids = np.array([*IDS[:-3], "x1", "x2", "x3"])
    file = table(tmp_path, "n.npz", ids=ids, mos=None)
    status, out, _ = run("cache", "import", file, "--as", "q", "-C", workspace)
    assert status == 0
    assert "3 ids of the file are not in the dataset and are left out: x1, x2, x3" in out
    assert "3 videos of the dataset are not in the file: v37, v38, v39" in out
    out = run("select", "-C", workspace, "--top-k", 1)[1]
    assert (
        "not ranked: imported:q/sees: not run on 3 of 40 videos; run `vqa cache import` with a table that has them"
    ) in out


def test_features_that_are_ratings_are_warned_of(run: Run, workspace: Path, tmp_path: Path) -> None:
    file = table(tmp_path, "n.npz", feat__sees=np.column_stack([SEES, MOS]).astype(np.float32))
    out = run("cache", "import", file, "--as", "q", "-C", workspace)[1]
    assert "warning: 1 features of imported:q/sees are as good as the MOS; ratings are no features" in out


def test_a_folder_needs_mos_to_become_a_workspace_and_keeps_labels_that_are_there(run: Run, tmp_path: Path) -> None:
    file, folder = table(tmp_path), tmp_path / "w"
    status, _, err = run("cache", "import", file, "--as", "p", "--mos-column", "", "-C", folder)
    assert (status, "holds no MOS to make a dataset of; name them with --mos-column" in err) == (1, True)
    assert not folder.exists()
    folder.mkdir()
    (folder / "labels.csv").write_text("mine")
    status, _, err = run("cache", "import", file, "--as", "p", "-C", folder)
    assert (status, "labels.csv is there already and not the file's; move it" in err) == (1, True)
    assert found(folder) == {folder / "labels.csv": b"mine"}


def test_a_dataset_of_features_only_has_nothing_to_extract(run: Run, workspace: Path) -> None:
    status, _, err = run("extract", "-C", workspace)
    assert (status, "has no videos, only imported features; name its videos as `videos` in vqa.toml" in err) == (
        1,
        True,
    )
    assert "imported:p/sees" in run("models", "imported:*", "-C", workspace)[1]
    assert "Imported from t.npz" in run("cache", "info", "-C", workspace)[1]
    status, _, err = run("models", "imported:nothing", "-C", workspace)
    assert (status, "such features come from a table and can't be computed" in err) == (1, True)


def test_a_workspace_of_labels_alone_takes_features_by_id(run: Run, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("name,score\n" + "".join(f"a/{v}.mp4,{m}\n" for v, m in zip(IDS, MOS, strict=True)))
    status, out, _ = run("init", tmp_path / "w", "--videos", "", "--labels", tmp_path / "l.csv")
    assert (status, "Next: `vqa cache import`, in that folder" in out) == (0, True)
    np.save(tmp_path / "x.npy", SEES)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    status, out, _ = run(
        "cache", "import", tmp_path / "x.npy", "--ids", tmp_path / "ids.txt", "--as", "p", "-C", tmp_path / "w"
    )
    assert (status, "left out" in out, "not in the file" in out) == (0, False, False)
    assert "imported:p " in run("select", "-C", tmp_path / "w", "--top-k", 1)[1]


def test_imported_and_extracted_features_of_the_same_videos_are_ranked_together(run: Run, tmp_path: Path) -> None:
    folder, clips = tmp_path / "w", tmp_path / "clips"
    clips.mkdir()
    for row, video in enumerate(IDS):
        write_video(clips / f"{video}.mp4", [np.full((16, 16, 3), row, np.uint8)])
    (tmp_path / "labels.csv").write_text("id,mos\n" + "".join(f"{v},{m}\n" for v, m in zip(IDS, MOS, strict=True)))
    assert run("init", folder, "--videos", clips, "--labels", tmp_path / "labels.csv")[0] == 0
    details = json.dumps({"spec": {"frames": 8}, "input": {}})
    record, memo = CandidateRecord("timm:toy", "0" * 12, details), KeyMemo(folder / "cache")
    with FeatureStore(folder / "cache").writer(record, weights_sha256="f" * 64, versions={}) as writer:
        for video, values in zip(IDS, SEES, strict=True):
            features = VideoFeatures(values[None].astype(np.float16), np.zeros(1))
            writer.put(memo.key(clips / f"{video}.mp4"), features, seconds=0.1)
    assert run("cache", "import", table(tmp_path), "--as", "p", "-C", folder)[0] == 0
    status, out, _ = run("select", "-C", folder, "--top-k", 3, "--json")
    assert status == 0
    assert {row["name"] for row in json.loads(out)["rows"]} == {"timm:toy", "imported:p/sees", "imported:p/blind"}
    assert run("train", "--cached", "-C", folder)[0] == 0
    out = run("cache", "export", tmp_path / "e.npz", "-C", folder, "--json")[1]
    assert json.loads(out)["widths"] == {"imported:p/blind": 18, "imported:p/sees": 20, "timm:toy": 20}


def test_exported_tables_come_back_the_same(run: Run, workspace: Path, tmp_path: Path) -> None:
    for suffix in ("npz", "csv", "mat"):
        file, again = tmp_path / f"e.{suffix}", tmp_path / suffix
        status, out, _ = run("cache", "export", file, "--models", "imported:p/s*", "-C", workspace)
        assert (status, f"{file}: 40 videos" in out) == (0, True)
        assert run("cache", "import", file, "--as", "p", "-C", again)[0] == 0
        (stored,) = FeatureStore(again / "cache").candidates()
        keys = [f"id:{video}" for video in IDS]
        assert FeatureStore(again / "cache").read_means(stored.record.fingerprint, keys).tobytes() == SEES.tobytes()
        assert (again / "labels.csv").read_bytes() == (workspace / "labels.csv").read_bytes()


def test_export_leaves_out_videos_that_lack_features_and_names_them(run: Run, workspace: Path, tmp_path: Path) -> None:
    part = table(tmp_path, "n.npz", ids=np.array(IDS[2:]), mos=None, feat__sees=SEES[2:], feat__blind=BLIND[2:])
    run("cache", "import", part, "--as", "q", "-C", workspace)
    out = run("cache", "export", tmp_path / "e.npz", "-C", workspace)[1]
    assert "2 videos lack features of some model and are left out: v00, v01" in out
    assert np.load(tmp_path / "e.npz")["ids"].tolist() == list(IDS[2:])
    status, _, err = run("cache", "export", tmp_path / "e.npz", "--models", "nope*", "-C", workspace)
    assert (status, "the cache holds no 'nope*'; known are: imported:p/blind" in err) == (1, True)


@pytest.mark.parametrize(
    ("name", "videos", "sets", "missing"), [("konvid1k", 1200, 10, 2), ("livevqc", 585, 11, 5), ("bvihfr", 88, 4, 0)]
)
def test_the_real_pools_go_in_by_one_command(
    run: Run, test_data: Path, tmp_path: Path, name: str, videos: int, sets: int, missing: int
) -> None:
    file = test_data / "pools" / f"{name}.npz"
    status, out, _ = run("cache", "import", file, "--as", "pool", "-C", tmp_path, "--json")
    report = json.loads(out)
    assert (status, report["joined"], len(report["sets"])) == (0, videos, sets)
    assert sum(row["missing"] for row in report["sets"]) == missing
    assert [row["like_mos"] for row in report["sets"]] == [0] * sets
    with np.load(file, allow_pickle=False) as pool:
        store, keys = FeatureStore(tmp_path / "cache"), [f"id:{video}" for video in pool["ids"]]
        for stored in store.candidates():
            values = pool["feat__" + stored.record.name.removeprefix("imported:pool/")]
            means = store.read_means(stored.record.fingerprint, keys)
            assert np.array_equal(means, np.where(np.isfinite(values), values, np.nan), equal_nan=True)
    assert run("select", "-C", tmp_path, "--top-k", 2)[0] == 0
