from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from bundles import rewrite, without_digest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqa.errors import BundleError
from vqa.train.bundle import load_bundle, save_bundle
from vqa.train.fitting import TrainJob, TrainSettings, fit_many
from vqa.train.header import read_header

HEADER = {
    "models": [{"name": "timm:a", "fingerprint": "aaaa"}, {"name": "timm:b", "fingerprint": "bbbb"}],
    "labels": "VMAF",
    "metrics": {"srocc": 0.5},
}


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    job = TrainJob(rng.normal(size=(30, 7)), rng.uniform(0, 100, 30), None, (4, 3), (0.6, 0.4), 0)
    return fit_many([job], settings=TrainSettings(width=8, epochs=2, restarts=2))[0]


@pytest.fixture
def path(tmp_path, fitted):
    save_bundle(tmp_path / "scorer.safetensors", fitted, HEADER)
    return tmp_path / "scorer.safetensors"


def test_a_bundle_scores_as_what_was_saved_whatever_the_order_of_the_blocks(path, fitted):
    features = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    bundle = load_bundle(path)
    scores = bundle.predict({"timm:b": features[:, 4:], "other": np.ones((5, 2)), "timm:a": features[:, :4]})
    said = fitted.predict_intervals(features)
    assert scores.scores.tolist() == said.scores.tolist() == fitted.predict(features).tolist()
    assert (scores.low.tolist(), scores.high.tolist()) == (said.low.tolist(), said.high.tolist())
    assert np.isfinite(scores.low).all()
    assert bundle.names == ("timm:a", "timm:b")
    assert bundle.header == HEADER
    assert (bundle.fitted.mos_range, bundle.fitted.epochs) == (fitted.mos_range, fitted.epochs)


def test_two_saves_of_one_regressor_are_the_same_bytes(path, tmp_path, fitted):
    save_bundle(tmp_path / "again", fitted, dict(reversed(HEADER.items())))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_loaded_bundle_saved_again_is_the_same_bytes(path, tmp_path):
    bundle = load_bundle(path)
    save_bundle(tmp_path / "again", bundle.fitted, bundle.header)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_extras_come_back_as_they_were_and_change_no_score(path, tmp_path, fitted):
    extras = {"timm:b": np.array([1.5, -2], np.float32), "timm:a": np.zeros(0, np.float32)}
    save_bundle(tmp_path / "with", fitted, HEADER, extras)
    save_bundle(tmp_path / "again", fitted, HEADER, dict(reversed(extras.items())))
    bundle = load_bundle(tmp_path / "with")
    assert {name: value.tolist() for name, value in bundle.extras.items()} == {"timm:b": [1.5, -2], "timm:a": []}
    features = np.ones((2, 7))
    assert bundle.fitted.predict(features).tolist() == fitted.predict(features).tolist()
    assert (tmp_path / "with").read_bytes() == (tmp_path / "again").read_bytes()
    assert load_bundle(path).extras == {}


def test_all_json_stands_under_one_key_of_a_safetensors_file(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert list(metadata) == ["vqa_bundle"]
    assert json.loads(metadata["vqa_bundle"])["header"] == HEADER


def test_a_missing_file_is_one_line_with_the_next_step(tmp_path):
    with pytest.raises(BundleError) as caught:
        load_bundle(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'}: there is no bundle here; run `vqa train` first"


@pytest.mark.parametrize("keep", [0, 5, 100, 2000, -1])
def test_a_truncated_file_is_refused_in_one_line(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="is no bundle, or a damaged one") as caught:
        load_bundle(path)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_in_the_head_never_give_another_error(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, 1500, 60):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :])
        try:
            load_bundle(path)
        except BundleError as error:
            assert "\n" not in str(error)  # noqa: PT017


def flipped(content, place, bit):
    """Return bytes with one bit turned over."""
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def require_refused(path):
    """Require that neither a bundle nor its header is read, in one line that says what to do."""
    for read in (load_bundle, read_header):
        with pytest.raises(BundleError, match=r"run `vqa train` again|use the version it was made with") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused(path, tmp_path, share, bit):
    whole = path.read_bytes()
    flipped_file = tmp_path / "flipped"
    flipped_file.write_bytes(flipped(whole, int(share * len(whole)), bit))
    require_refused(flipped_file)


@pytest.mark.slow
def test_each_flipped_bit_of_a_whole_bundle_is_refused(path, tmp_path):
    whole = path.read_bytes()
    flipped_file = tmp_path / "flipped"
    for place in range(len(whole)):
        flipped_file.write_bytes(flipped(whole, place, place % 8))
        require_refused(flipped_file)


def test_a_flipped_digit_of_a_score_is_refused_by_name(path):
    whole = path.read_bytes()
    at = whole.index(b'\\"mos_mean\\":') + len(b'\\"mos_mean\\":')
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(BundleError, match=r"is no bundle, or a damaged one \(.*its bytes are not those.*\)"):
        load_bundle(path)


def test_a_bundle_of_before_digests_is_read_with_a_note(path, fitted):
    without_digest(path)
    bundle = load_bundle(path)
    assert bundle.note == (
        f"{path}: of an older version, without a digest by which damage is noticed; run `vqa train` again to have one"
    )
    assert bundle.fitted.predict(np.ones((2, 7))).tolist() == fitted.predict(np.ones((2, 7))).tolist()
    assert read_header(path) == HEADER


def test_a_bundle_with_its_digest_has_no_note(path):
    assert load_bundle(path).note == ""
    assert read_header(path) == HEADER


@pytest.mark.parametrize(
    "change",
    [
        lambda document, _: document.pop("digest"),
        lambda document, _: document.update(schema=3),
        lambda document, _: document.update(digest=""),
        lambda document, _: document.update(digest=None),
        lambda document, _: document.update(digest="A" * 64),
        lambda document, _: document.update(more=1),
    ],
)
def test_a_digest_that_is_missing_or_of_another_form_is_refused(path, change):
    rewrite(path, change)
    require_refused(path)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"weight": np.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(BundleError, match="is no bundle, or a damaged one"):
        load_bundle(tmp_path / "model.safetensors")


def test_a_bundle_of_another_schema_says_so(path):
    rewrite(path, lambda document, _: document.update(schema=1))
    with pytest.raises(BundleError, match="is of schema 1, this version reads 4"):
        load_bundle(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda document, tensors: tensors.update({"network.score.bias": np.full((2, 1), np.nan, np.float32)}),
        lambda document, tensors: tensors.update({"network.score.bias": np.zeros((1, 1), np.float32)}),
        lambda document, tensors: tensors.pop("network.second.gain"),
        lambda document, tensors: tensors.update({"scaler.0.means": np.zeros(5)}),
        lambda document, tensors: document["regressor"].update(mos_std=float("inf")),
        lambda document, tensors: document["regressor"]["network"].update(epochs=[1]),
        lambda document, tensors: document["regressor"]["network"].update(fusion_weights=[1.0]),
        lambda document, tensors: document["regressor"].update(blocks=0),
        lambda document, tensors: document["regressor"].update(blocks=1),
        lambda document, tensors: document["regressor"].pop("linear"),
        lambda document, tensors: tensors.update({"kernel.anchors": np.zeros((2, 2, 2), np.float32)}),
        lambda document, tensors: tensors.update({"kernel.anchors": np.zeros(())}),
        lambda document, tensors: tensors.update({"linear.coefficients": np.full(7, np.inf)}),
        lambda document, tensors: tensors.pop("interval.quantiles"),
        lambda document, tensors: tensors.update({"scaler.0.directions": np.zeros(())}),
        lambda document, tensors: tensors.update({"more": np.zeros(3)}),
        lambda document, tensors: tensors.clear(),
    ],
)
def test_numbers_that_do_not_fit_are_refused(path, change):
    rewrite(path, change)
    with pytest.raises(BundleError, match=r"is no bundle, or a damaged one \(.*\); run `vqa train` again") as caught:
        load_bundle(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("models", [[], None, HEADER["models"][:1], [*HEADER["models"][:1], {"name": "timm:b"}]])
def test_a_header_that_does_not_name_every_backbone_is_refused(path, tmp_path, fitted, models):
    with pytest.raises(BundleError, match="does not name the 2 backbones"):
        save_bundle(tmp_path / "new", fitted, {"models": models})
    assert not (tmp_path / "new").exists()
    rewrite(path, lambda document, _: document["header"].update(models=models))
    with pytest.raises(BundleError, match="does not name the 2 backbones"):
        load_bundle(path)


def test_features_of_another_fingerprint_or_none_are_refused_by_name(path):
    bundle = load_bundle(path)
    bundle.require({"timm:a": "aaaa", "timm:b": "bbbb", "timm:c": "cccc"})
    with pytest.raises(BundleError, match="timm:b: features have fingerprint cccc, the bundle was trained on bbbb"):
        bundle.require({"timm:a": "aaaa", "timm:b": "cccc"})
    with pytest.raises(BundleError, match="timm:b: its features are missing"):
        bundle.require({"timm:a": "aaaa"})


def test_blocks_that_are_missing_or_of_another_width_are_refused_by_name(path):
    bundle = load_bundle(path)
    with pytest.raises(BundleError, match="timm:b: its features are missing"):
        bundle.predict({"timm:a": np.ones((2, 4))})
    with pytest.raises(BundleError, match=r"timm:b: features of shape \(2, 4\), but the bundle takes \(N, 3\)"):
        bundle.predict({"timm:a": np.ones((2, 4)), "timm:b": np.ones((2, 4))})
