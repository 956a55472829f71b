from __future__ import annotations

import numpy as np
import pytest

import vqa
from vqa.pipeline import build_report
from vqa.pipeline.documents import EVALUATION_FILE, EVALUATION_SCHEMA, write_document
from vqa.train.metrics import score_predictions

N, SPLITS, MODELS = 1200, 100, 4
METHODS = ("blend", "ptm-vqa", "ridge", "svr", "best-single")


def write_results(results, ids, mos):
    """Write what an evaluation on 100 splits leaves: 24,000 predictions, five methods."""
    rng = np.random.default_rng(1)
    predictions, figures = [], []
    for _ in range(SPLITS):
        rows = rng.choice(N, N // 5, replace=False)
        scores = mos[rows] + rng.normal(size=len(rows))
        said = {"predicted": scores.tolist(), "low": (scores - 1).tolist(), "high": (scores + 1).tolist()}
        predictions.append({"models": ["a"], "tested": rows.tolist(), **said})
        figures.append(vars(score_predictions(mos[rows], scores)))
    metrics = {name: [each[name] for each in figures] for name in figures[0]}
    summary = {
        "data_sha256": "0",
        "splits_sha256": "0",
        "groups": 0,
        "by_content": False,
        "selected": "all 4 models",
        "criterion": "dbi",
        "top_k": 0,
        "left_out": {},
        "interval": {"coverage": 0.9, "covered": 0.9},
        "methods": {name: {"title": name, "metrics": metrics} for name in METHODS},
        "tested": {"ids": list(ids), "mos": mos.tolist()},
        "predictions": predictions,
    }
    write_document(results / EVALUATION_FILE, EVALUATION_SCHEMA, summary)


@pytest.mark.slow
def test_a_page_of_1200_videos_and_24000_predictions_is_below_10_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    ids, mos = [f"a-video-with-a-name-of-usual-length-{row:04}.mp4" for row in range(N)], rng.uniform(1, 5, N)
    blocks = {f"feat__m{m}": (mos[:, None] + rng.normal(size=(N, 20))).astype(np.float32) for m in range(MODELS)}
    np.savez(tmp_path / "w.npz", ids=np.array(ids), mos=mos, **blocks)
    vqa.import_table(tmp_path / "w.npz", "p", folder=tmp_path / "w")
    vqa.rank_models(tmp_path / "w", top_k=MODELS)
    (tmp_path / "w" / "results").mkdir()
    write_results(tmp_path / "w" / "results", ids, mos)
    report = build_report(tmp_path / "w")
    assert report.missing == ()
    assert report.megabytes < 8  # twenty pictures take less than one more
