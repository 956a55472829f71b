from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import make_clips, tiny_models

import vqa.extract.video

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    make_clips(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return tiny_models(tmp_path_factory.mktemp("weights"))


def init(run: Run, folder: Path, material: Path, models: tuple[str, ...], *more: object) -> tuple[int, str, str]:
    named = [part for model in models for part in ("--models", model)]
    return run("init", folder, "--videos", material / "clips", "--labels", material / "labels.csv", *named, *more)


@pytest.fixture(scope="module")
def extracted(material: Path, models: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose cache holds all features of two models."""
    folder = tmp_path_factory.mktemp("extracted") / "w"
    named = [part for model in models[:2] for part in ("--models", model)]
    for arguments in (
        ["init", folder, "--videos", material / "clips", "--labels", material / "labels.csv", *named],
        ["extract", "-C", folder],
    ):
        subprocess.run([sys.executable, "-m", "vqa", *map(str, arguments)], check=True, capture_output=True)
    return folder


@pytest.fixture
def workspace(extracted: Path, tmp_path: Path) -> Path:
    """A copy of the extracted workspace, to be changed."""
    return Path(shutil.copytree(extracted, tmp_path / "w"))


def lower_bins(folder: Path, bins: int = 4) -> None:
    file = folder / "vqa.toml"
    file.write_text(file.read_text().replace("bins = 6", f"bins = {bins}"))


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a video file was opened")

    monkeypatch.setattr(vqa.extract.video.av, "open", refuse)


def test_the_whole_job_from_init_to_score(run: Run, tmp_path: Path, material: Path, models: tuple[str, ...]) -> None:
    folder = tmp_path / "w"
    status, out, _ = init(run, folder, material, models, "--scale", 0, 100)
    assert (status, "16 labelled videos, 4 source contents" in out) == (0, True)
    status, out, _ = run("extract", "-C", folder, "--models", "all")
    assert (status, "16 videos decoded, each once" in out) == (0, True)
    lower_bins(folder)
    status, out, _ = run("select", "-C", folder, "--top-k", 2)
    assert status == 0
    assert "Ranked by dbi, smaller is better; 16 videos in 4 MOS clusters (4/4/4/4)" in out
    assert [row["selected"] for row in json.loads((folder / "selection.json").read_text())["rows"]] == [
        True,
        True,
        False,
    ]
    status, out, _ = run("train", "-C", folder, "--cached")
    assert (status, "trained on 16 videos" in out) == (0, True)
    status, out, _ = run("evaluate", "-C", folder, "--splits", 3)
    assert (status, "3 random 80/20 splits by content (4 contents)" in out) == (0, True)
    clip = material / "clips" / "c0v0.mp4"
    status, out, _ = run("score", clip, "--model", folder / "scorer.vqa", "--json")
    report = json.loads(out)
    bundle = report["bundle"]
    assert (status, bundle["scale"], bundle["videos"], len(bundle["models"])) == (0, [0, 100], 16, 2)
    assert 0 < report["scores"][0]["score"] < 110


def test_a_second_extract_opens_no_video_and_says_so(
    run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_decoding(monkeypatch)
    status, out, _ = run("extract", "-C", workspace, "--models", "all")
    assert status == 0
    assert "no video was decoded" in out


def test_a_backbone_added_to_the_workspace_is_all_that_runs(run: Run, workspace: Path, models: tuple[str, ...]) -> None:
    before = {path: path.read_bytes() for path in workspace.glob("cache/*/*.h5")}
    file = workspace / "vqa.toml"
    file.write_text(file.read_text().replace(f'"{models[1]}"', f'"{models[1]}", "{models[2]}"'))
    status, out, _ = run("extract", "-C", workspace, "--models", "all", "--json")
    report = json.loads(out)
    assert status == 0
    assert [(row["stored"], row["cached"]) for row in report["candidates"]] == [(0, 16), (0, 16), (16, 0)]
    assert len(before) == 2
    assert {path: path.read_bytes() for path in before} == before


def test_a_broken_video_is_a_ledger_row_and_status_3(
    run: Run, tmp_path: Path, material: Path, models: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = Path(shutil.copytree(material / "clips", tmp_path / "clips"))
    (clips / "empty.mp4").touch()
    labels = tmp_path / "labels.csv"
    labels.write_text((material / "labels.csv").read_text() + "empty,50,c9\n")
    folder = tmp_path / "w"
    run("init", folder, "--videos", clips, "--labels", labels, "--models", models[0])
    status, out, _ = run("extract", "-C", folder)
    assert status == 3
    assert "empty" in out
    assert "the file is empty (0 bytes)" in out
    ledger = [json.loads(line)["failure"] for path in folder.glob("cache/failures/*") for line in path.open()]
    assert [(row["video"], row["stage"]) for row in ledger] == [("empty", "decode")]
    assert run("cache", "info", "-C", folder)[1].count("the file is empty") == 1
    forbid_decoding(monkeypatch)
    status, out, _ = run("extract", "-C", folder)  # a failed pair is not tried again
    assert (status, "the file is empty (0 bytes)" in out) == (3, True)
    lower_bins(folder)
    status, out, _ = run("select", "-C", folder, "--top-k", 1)
    assert (status, "the file is empty (0 bytes)" in out) == (0, True)


def test_a_mended_video_is_extracted_on_retry(
    run: Run, tmp_path: Path, material: Path, models: tuple[str, ...]
) -> None:
    folder = tmp_path / "w"
    init(run, folder, material, models[:1])
    text = (folder / "vqa.toml").read_text()
    (folder / "vqa.toml").write_text(text.replace("max_pixels = 67108864", "max_pixels = 100"))
    assert run("extract", "-C", folder)[0] == 3
    (folder / "vqa.toml").write_text(text)
    assert "Nothing to do" in run("extract", "-C", folder)[1]
    status, out, _ = run("extract", "-C", folder, "--retry-failed")
    assert (status, "16 videos decoded" in out) == (0, True)
    assert "failed" not in run("cache", "info", "-C", folder)[1].replace("failures", "")


def test_train_cached_touches_no_video_and_names_what_is_missing(
    run: Run, workspace: Path, material: Path, models: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    lower_bins(workspace)
    assert run("select", "-C", workspace, "--top-k", 2)[0] == 0
    clips = workspace / "clips"
    shutil.copytree(material / "clips", clips)
    shutil.copy(material / "clips" / "c0v0.mp4", clips / "new.mp4")
    with (clips / "new.mp4").open("ab") as file:
        file.write(b"\0" * 8)  # other bytes, another video
    file = workspace / "vqa.toml"
    labels = workspace / "labels.csv"
    labels.write_text((material / "labels.csv").read_text() + "new,50,c9\n")
    text = (
        file.read_text().replace(str(material / "clips"), "clips").replace(str(material / "labels.csv"), "labels.csv")
    )
    file.write_text(text)
    run("extract", "-C", workspace, "--models", models[0])
    forbid_decoding(monkeypatch)
    status, _, err = run("train", "-C", workspace, "--cached")
    assert status == 1
    assert "1 video(s) have no features of 1 of 2 models in the cache (new)" in err
    assert f"run `vqa extract --models {models[1]}`" in err
    assert err.count("\n") == 1


def test_train_cached_works_when_the_videos_are_gone(
    run: Run, tmp_path: Path, material: Path, models: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = Path(shutil.copytree(material / "clips", tmp_path / "clips"))
    folder = tmp_path / "w"
    run("init", folder, "--videos", clips, "--labels", material / "labels.csv", "--models", models[0])
    run("extract", "-C", folder)
    lower_bins(folder)
    run("select", "-C", folder, "--top-k", 1)
    for clip in clips.iterdir():  # the listing must still find the names; the bytes are not needed
        clip.write_bytes(b"")
    forbid_decoding(monkeypatch)
    status, _, err = run("train", "-C", folder, "--cached")
    assert status == 0, err
    assert (folder / "scorer.vqa").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract"], "has no vqa.toml; make one with `vqa init"),
        (["extract", "--models", "timm:resnot50"], "has no vqa.toml"),
        (["models", "resnet50"], "no pool or model 'resnet50'"),
        (["models", "tim:resnet50"], "no backend 'tim'; did you mean timm?"),
        (["score", "x.mp4", "--model", "none.vqa"], "none.vqa"),
    ],
)
def test_errors_are_one_line_with_a_next_step(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1


def test_wrong_usage_is_status_2(run: Run) -> None:
    assert run("select", "--top-k", "0")[0] == 2
    assert run("nonsense")[0] == 2


def test_a_misspelt_model_gets_a_did_you_mean(run: Run, workspace: Path) -> None:
    status, _, err = run("extract", "-C", workspace, "--models", "timm:resnet50x")
    assert (status, "did you mean resnet50" in err, err.count("\n")) == (1, True, 1)


def test_too_few_videos_are_refused_politely(run: Run, tmp_path: Path, material: Path, models: tuple[str, ...]) -> None:
    folder = tmp_path / "w"
    labels = tmp_path / "few.csv"
    labels.write_text("".join((material / "labels.csv").read_text().splitlines(keepends=True)[:8]))
    run("init", folder, "--videos", material / "clips", "--labels", labels, "--models", models[0], "--labelled-only")
    run("extract", "-C", folder)
    status, _, err = run("select", "-C", folder)
    assert (status, err.count("\n")) == (1, 1)
    assert "7" in err
    assert "lower bins in vqa.toml" in err


def test_help_and_import_load_nothing_heavy() -> None:
    code = (
        "import sys, vqa, vqa.cli\n"
        "heavy = {'torch', 'av', 'timm', 'open_clip', 'torchvision', 'h5py', 'sklearn', 'scipy', 'numpy', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    code = code.replace("vqa.cli", "vqa.pipeline.scoring")
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in heavy.stdout  # the test can fail


def test_the_pipeline_gives_every_public_name_and_loads_no_more_than_its_own_command() -> None:
    code = (
        "import sys\n"
        "from vqa import pipeline\n"
        "pipeline.describe_cache, pipeline.export_table, pipeline.list_models\n"
        "print('torch' in sys.modules)\n"
        "print([name for name in pipeline.__all__ if not hasattr(pipeline, name)], hasattr(pipeline, 'nonsense'))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n[] False\nTrue\n"
