from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_evaluation import BLOCKS, MOS, N, make_workspace

import vqa
from vqa.errors import CacheMissError

Run = Callable[..., tuple[int, str, str]]

OTHER_MOS = np.random.default_rng(3).uniform(1, 5, 50)
OTHER = {
    "sees": OTHER_MOS[:, None] + 1.5 * np.random.default_rng(4).normal(size=(50, 12)),
    "half": OTHER_MOS[:, None] + 4 * np.random.default_rng(5).normal(size=(50, 9)),
    "theirs": np.random.default_rng(6).normal(size=(50, 5)),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("home") / "w")


def on(home, folder, **options):
    return vqa.evaluate_on(home, folder, **{"top_k": 2, "baselines": False, **options})


def test_training_on_one_dataset_ranks_the_videos_of_another(home, tmp_path):
    other = make_workspace(tmp_path / "other", OTHER_MOS, blocks=OTHER)
    report = on(home, other, baselines=True)
    assert [each.name for each in report.contenders] == ["blend", "ridge", "svr", "best-single"]
    assert report.contenders[0].metrics.srocc > 0.7
    assert (report.training_videos, report.test_videos, report.in_both) == (N, 50, 0)
    assert set(report.chosen) == {"imported:p/sees", "imported:p/half"}
    assert report.not_in_both == ("imported:p/blind", "imported:p/theirs")
    lines = report.files[0].read_text().splitlines()
    assert lines[0] == "id,mos,blend,ridge,svr,best-single"
    assert len(lines) == 51


def test_another_scale_changes_only_the_error_after_the_fit(home, tmp_path):
    plain = on(home, make_workspace(tmp_path / "a", OTHER_MOS, blocks=OTHER)).contenders[0].metrics
    wide = on(home, make_workspace(tmp_path / "b", 10 * OTHER_MOS + 100, blocks=OTHER)).contenders[0].metrics
    assert wide.srocc == plain.srocc
    assert wide.plcc_fitted == pytest.approx(plain.plcc_fitted, abs=1e-3)
    assert wide.rmse_fitted == pytest.approx(10 * plain.rmse_fitted, rel=1e-2)


def test_labels_of_distortion_are_suspected(home, tmp_path, run: Run):
    other = make_workspace(tmp_path / "dmos", 100 - 10 * OTHER_MOS, blocks=OTHER)
    assert on(home, other).falling
    status, out, _ = run("evaluate", "-C", home, "--on", other, "--no-baselines", "--top-k", "all")
    assert (status, "are those labels of distortion (DMOS), or is it the wrong column?" in out) == (0, True)


def test_labels_of_the_other_dataset_reach_no_prediction(home, tmp_path):
    first = on(home, make_workspace(tmp_path / "a", OTHER_MOS, blocks=OTHER))
    before = first.files[0].read_text().splitlines()[1:]
    second = on(home, make_workspace(tmp_path / "b", OTHER_MOS[::-1], blocks=OTHER))
    after = second.files[0].read_text().splitlines()[1:]
    assert [line.split(",")[2] for line in after] == [line.split(",")[2] for line in before]


def test_datasets_without_a_model_in_common_are_refused(home, tmp_path, run: Run):
    other = make_workspace(tmp_path / "other", OTHER_MOS, blocks={"theirs": OTHER["theirs"], "more": OTHER["half"]})
    with pytest.raises(CacheMissError, match="its cache shares no model with the one trained on"):
        on(home, other)
    wider = make_workspace(tmp_path / "wider", OTHER_MOS, blocks={"sees": np.ones((50, 13)), "more": OTHER["half"]})
    with pytest.raises(CacheMissError, match="shares no model"):  # the same name is another set if its width differs
        on(home, wider)
    assert run("evaluate", "-C", home, "--on", tmp_path / "nowhere")[0] == 1


def test_options_of_splits_do_not_go_with_another_dataset(home, run: Run):
    status, _, err = run("evaluate", "-C", home, "--on", home, "--splits", 3)
    assert (status, "--on makes no splits; leave out --splits" in err) == (2, True)


def test_a_single_model_in_common_is_enough(home, tmp_path):
    other = make_workspace(tmp_path / "other", OTHER_MOS, blocks={"sees": OTHER["sees"], "theirs": OTHER["theirs"]})
    assert on(home, other).chosen == ("imported:p/sees",)
    assert "imported:p/blind" in on(home, other).not_in_both
    assert set(BLOCKS) == {"sees", "half", "blind"}


def test_videos_that_were_trained_on_are_left_out_of_the_test(home, tmp_path, run: Run):
    both = {name: np.vstack([BLOCKS[name][:20], OTHER[name][:30]]) for name in ("sees", "half")}
    mos = np.concatenate([MOS[:20], OTHER_MOS[:30]])
    report = on(home, make_workspace(tmp_path / "other", mos, blocks=both))
    assert (report.in_both, report.test_videos) == (20, 30)
    status, _, err = run("evaluate", "-C", home, "--on", home)
    assert (status, "the 60 videos to test on were all trained on; test on other videos" in err) == (1, True)


def test_a_dataset_with_official_splits_is_tested_on_its_own_test_split(tmp_path):
    table, split = tmp_path / "t.npz", np.array(["train"] * 40 + ["test"] * 20)
    arrays = {f"feat__{name}": block.astype(np.float32) for name, block in BLOCKS.items()}
    np.savez(table, ids=np.array([f"v{row}" for row in range(N)]), mos=MOS, split=split, **arrays)
    vqa.import_table(table, "p", folder=tmp_path / "w")
    report = on(tmp_path / "w", tmp_path / "w")
    assert (report.training_videos, report.test_videos, report.test_part) == (40, 20, "test split")
    assert report.contenders[0].metrics.srocc > 0.5
