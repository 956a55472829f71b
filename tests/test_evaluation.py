from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vqa
from vqa.errors import DegenerateDataError
from vqa.files import sha256_of

Run = Callable[..., tuple[int, str, str]]

N = 60
MOS = np.random.default_rng(9).permutation(np.linspace(1, 5, N))
BLOCKS = {
    "sees": MOS[:, None] + 1.5 * np.random.default_rng(0).normal(size=(N, 12)),
    "half": MOS[:, None] + 4 * np.random.default_rng(1).normal(size=(N, 9)),
    "blind": np.random.default_rng(2).normal(size=(N, 8)),
}


def make_workspace(folder: Path, mos=MOS, groups=None, blocks=BLOCKS):
    """Import made-up features into a new workspace."""
    table = folder.with_suffix(".npz")
    more = {} if groups is None else {"group": np.array(groups)}
    arrays = {f"feat__{name}": block.astype(np.float32) for name, block in blocks.items()}
    np.savez(table, ids=np.array([f"v{row:02}" for row in range(len(mos))]), mos=mos, **more, **arrays)
    vqa.import_table(table, "p", folder=folder)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("evaluation") / "w")


def evaluate(folder, **options):
    return vqa.evaluate_workspace(folder, **{"splits": 2, "top_k": 2, "baselines": False, **options})


def rows_of(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_ours_the_papers_and_the_baselines_stand_on_the_same_splits(workspace):
    report = evaluate(workspace, splits=3, baselines=True, methods=("blend", "ptm-vqa"))
    assert [each.name for each in report.contenders] == ["blend", "ptm-vqa", "ridge", "svr", "best-single"]
    assert report.contenders[0].paired is None
    assert all(each.paired.splits == 3 for each in report.contenders[1:])
    assert report.summary == report.contenders[0].summary
    splits_file, metrics_file, predictions_file = report.files
    assert sha256_of(splits_file) == report.splits_sha256
    metrics = rows_of(metrics_file)
    assert [(row["split"], row["method"]) for row in metrics] == [
        (str(split), each.name) for each in report.contenders for split in (1, 2, 3)
    ]
    assert float(metrics[0]["srocc"]) == report.contenders[0].metrics[0].srocc
    assert metrics[0]["models"].split() == list(report.splits[0].chosen)
    predictions = rows_of(predictions_file)
    assert len(predictions) == 3 * 12
    assert float(predictions[0]["low"]) < float(predictions[0]["predicted"]) < float(predictions[0]["high"])
    written = json.loads(metrics_file.with_name("evaluation.json").read_text())
    assert written["methods"]["ridge"]["paired"]["splits"] == 3
    assert written["splits_sha256"] == report.splits_sha256


def test_test_ratings_reach_neither_selection_nor_training(workspace, tmp_path):
    before = evaluate(workspace, splits=1, methods=("blend", "ptm-vqa"))
    test = [int(name[1:]) for name in before.splits[0].test_ids]
    other_mos = MOS.copy()
    other_mos[test] = MOS[test][::-1] * 7
    after = evaluate(make_workspace(tmp_path / "w", other_mos), splits=1, methods=("blend", "ptm-vqa"))
    assert after.splits[0].chosen == before.splits[0].chosen
    assert after.splits[0].predicted.tolist() == before.splits[0].predicted.tolist()
    assert after.splits[0].low.tolist() == before.splits[0].low.tolist()
    assert after.splits[0].metrics != before.splits[0].metrics


def test_test_features_do_not_reach_the_prediction_of_others(workspace, tmp_path):
    before = evaluate(workspace, splits=1)
    _, *others = [int(name[1:]) for name in before.splits[0].test_ids]
    blocks = {name: block.copy() for name, block in BLOCKS.items()}
    for block in blocks.values():
        block[others] = block[others] * 3 + 50
    after = evaluate(make_workspace(tmp_path / "w", blocks=blocks), splits=1)
    assert after.splits[0].predicted[0] == pytest.approx(before.splits[0].predicted[0], abs=1e-12)


def test_two_runs_write_the_same_files(workspace):
    files = [{file: file.read_bytes() for file in evaluate(workspace, baselines=True).files} for _ in range(2)]
    assert files[0] == files[1]
    bundles = []
    vqa.rank_models(workspace, top_k=2)
    for _ in range(2):
        bundles.append(vqa.train_regressor(workspace, cached=True).bundle.read_bytes())
    assert bundles[0] == bundles[1]


def test_zero_stands_for_all_models_and_more_than_there_are_is_all(workspace):
    assert evaluate(workspace, splits=1, top_k=0).selected == "all 3 models"
    assert evaluate(workspace, splits=1, top_k=9).selected == "all 3 models"
    report = evaluate(workspace, splits=1, top_k=1, criterion="ridge")
    assert report.selected == "1 of 3 models chosen in each split by ridge"
    assert report.splits[0].chosen == ("imported:p/sees",)


GROUPS = [f"c{row // 6}" for row in range(N)]


def test_splits_by_video_of_known_contents_are_refused_or_marked(tmp_path, run: Run):
    folder = make_workspace(tmp_path / "w", groups=GROUPS)
    with pytest.raises(DegenerateDataError, match="60 videos show 10 contents; splits by video would test on contents"):
        evaluate(folder, by="video")
    honest = evaluate(folder)
    assert (honest.by_content, honest.leaking, honest.groups) == (True, False, 10)
    leaking = evaluate(folder, by="video", allow_leaking=True)
    assert (leaking.by_content, leaking.leaking) == (False, True)
    assert {file.parent.name for file in leaking.files} == {"leaking"}  # honest figures are not overwritten
    status, out, _ = run("evaluate", "-C", folder, "--splits", 2, "--by", "video", "--allow-leaking", "--no-baselines")
    assert (status, "LEAKING, contents stand on both sides" in out) == (0, True)


def hide_contents(folder):
    """Tell a workspace not to read its labels' contents."""
    lines = (folder / "vqa.toml").read_text().splitlines()
    hidden = ['group_column = ""' if line.startswith(("group_column", "# group_column")) else line for line in lines]
    (folder / "vqa.toml").write_text("\n".join(hidden))


def test_contents_that_vqa_toml_hides_are_found_too(tmp_path, run: Run):
    folder = make_workspace(tmp_path / "w", groups=GROUPS)
    hide_contents(folder)
    with pytest.raises(DegenerateDataError, match=r"let group_column in vqa\.toml name the contents"):
        evaluate(folder)
    assert evaluate(folder, allow_leaking=True).leaking
    assert vqa.rank_models(folder, top_k=1).ignored_contents == 10
    status, out, _ = run("train", "--cached", "-C", folder)
    assert (status, "note: the labels name 10 contents and vqa.toml says not to read them" in out) == (0, True)


def test_a_content_to_each_video_leaks_nothing(tmp_path):
    folder = make_workspace(tmp_path / "w", groups=[f"c{row}" for row in range(N)])
    assert not evaluate(folder, by="video").leaking


def test_permuted_labels_leave_nothing_to_find(test_data):
    from vqa.pipeline.contest import Round, predict_rounds
    from vqa.records import FeatureTable
    from vqa.select.ranking import rank_candidates
    from vqa.train.methods import METHODS
    from vqa.train.metrics import score_predictions
    from vqa.train.splits import content_splits

    with np.load(test_data / "pools" / "livevqc.npz", allow_pickle=False) as pool:
        names = ("feat__sts_brisque108", "feat__viqe7", "feat__sts_paq2piq48", "feat__bvqi_nat2", "feat__brisque36")
        blocks = {name: pool[name] for name in names}
        mos = pool["mos"].astype(float)
        table = FeatureTable(tuple(pool["ids"].tolist()), mos, None, blocks)
    rounds = []
    for number, split in enumerate(content_splits(None, len(mos), count=10)):
        # Dealt out anew for each split: one deal may agree with a feature by chance, and splits share most rows.
        table = replace(table, mos=np.random.default_rng(number).permutation(mos))
        train = table.take(split.train)
        ranking = rank_candidates(train)
        rounds.append(Round(table, split.train, table, split.test, ranking, ranking.best(4), number))
    said = predict_rounds(rounds, [METHODS["blend"]], [], coverage=0.9)["blend"]
    values = [score_predictions(each.test_mos, own.scores).srocc for each, own in zip(rounds, said, strict=True)]
    assert abs(np.median(values)) < 0.08


def test_contents_hidden_in_a_dataset_with_official_splits_are_counted_among_its_training_rows(tmp_path):
    table, folder = tmp_path / "t.npz", tmp_path / "w"
    split = np.array(["train"] * 30 + ["test"] * 30)
    pairs = np.array([f"c{row // 2}" for row in range(30)] + [f"d{row}" for row in range(30)])
    arrays = {f"feat__{name}": block.astype(np.float32) for name, block in BLOCKS.items()}
    np.savez(table, ids=np.array([f"v{row}" for row in range(N)]), mos=MOS, split=split, group=pairs, **arrays)
    vqa.import_table(table, "p", folder=folder)
    hide_contents(folder)
    with pytest.raises(DegenerateDataError, match="30 videos show 15 contents"):
        evaluate(folder)


def test_models_that_could_not_be_used_are_named_with_the_number_of_splits(tmp_path):
    flat = {**BLOCKS, "flat": np.ones((N, 4))}
    report = evaluate(make_workspace(tmp_path / "w", blocks=flat), top_k=0)
    assert report.selected == "all 3 models"
    assert "in 2 of 2 splits: " in report.left_out["imported:p/flat"]


def test_the_best_single_model_is_sought_among_all(tmp_path):
    report = evaluate(make_workspace(tmp_path / "w"), top_k=1, criterion="dbi-kmeans", baselines=True, splits=3)
    chosen_alone, best = (
        each.summary.median.srocc for each in report.contenders if each.name in ("ridge", "best-single")
    )
    assert {name for result in report.splits for name in result.chosen} != {"imported:p/sees"}
    assert best > chosen_alone


def test_a_method_named_twice_stands_once(workspace):
    assert [each.name for each in evaluate(workspace, methods=("blend", "blend")).contenders] == ["blend"]
