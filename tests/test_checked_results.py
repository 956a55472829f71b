"""What later commands read back of earlier ones is as it was written, lies in the workspace itself, or is refused."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from reports import imported, page_of

import vqa
from vqa.errors import WorkspaceError
from vqa.pipeline import build_report
from vqa.pipeline.crossing import results_name
from vqa.pipeline.documents import read_document, read_evaluation, write_document
from vqa.pipeline.kept import read_kept_evaluation, read_kept_predictions
from vqa.pipeline.selected import read_stored_selection
from vqa.workspace import open_workspace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 40 videos with imported features: selected, trained, evaluated."""
    folder = imported(tmp_path_factory.mktemp("finished") / "w")
    vqa.rank_models(folder, top_k=2)
    vqa.train_regressor(folder, cached=True, method="ptm-vqa")
    vqa.evaluate_workspace(folder, splits=3, methods=("ptm-vqa",))
    return folder


@pytest.fixture
def job(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    shutil.copytree(finished, folder)
    return folder


def page_bytes(folder: Path) -> bytes:
    return build_report(folder, folder.with_name("page.html")).file.read_bytes()


@pytest.mark.parametrize("name", ["metrics.csv", "predictions.csv"])
def test_a_table_that_was_changed_cut_or_deleted_changes_nothing_of_the_page(job: Path, name: str) -> None:
    before, file = page_bytes(job), job / "results" / name
    text = file.read_text()
    place = next(at for at, letter in enumerate(text) if letter == "." and at > len(text) // 2) + 1
    file.write_text(text[:place] + str((int(text[place]) + 5) % 10) + text[place + 1 :])
    assert page_bytes(job) == before
    file.write_text(text[: len(text) // 2])
    assert page_bytes(job) == before
    file.unlink()
    assert page_bytes(job) == before


def test_the_record_holds_what_the_tables_do(job: Path) -> None:
    report = vqa.evaluate_workspace(job, splits=2, methods=("ptm-vqa",))
    kept, rows = read_kept_evaluation(job / "results"), read_kept_predictions(job / "results")
    assert kept is not None
    assert rows is not None
    assert [each.metrics for each in kept.contenders] == [each.metrics for each in report.contenders]
    assert [each.summary for each in kept.contenders] == [each.summary for each in report.contenders]
    split = report.splits[0]
    told = zip(split.test_ids, split.mos.tolist(), split.predicted.tolist(), split.low.tolist(), strict=True)
    for row, (video, mos, predicted, low) in zip(rows, told, strict=False):
        assert (row.id, row.mos, row.predicted) == (video, mos, predicted)
        assert row.low == low or (math.isnan(row.low) and math.isnan(low))
    assert len(rows) == sum(len(each.test_ids) for each in report.splits)


@pytest.mark.parametrize(
    ("name", "command"), [("results/evaluation.json", "vqa evaluate"), ("selection.json", "vqa select")]
)
def test_a_flipped_bit_of_a_record_is_refused_or_changes_nothing(job: Path, name: str, command: str) -> None:
    file, workspace, rng = job / name, open_workspace(job), random.Random(0)
    whole = file.read_bytes()
    selection, evaluation = read_stored_selection(workspace), read_evaluation(job / "results")
    refused = 0
    for _ in range(300):
        place = rng.randrange(len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        try:
            assert (read_stored_selection(workspace), read_evaluation(job / "results")) == (selection, evaluation)
        except WorkspaceError as error:
            refused += 1
            reason = f"{name}: is damaged or of another version; run `{command}` again"
            assert str(error).removeprefix(f"{job}/") == reason  # noqa: PT017
    assert refused > 200


def test_a_damaged_record_costs_its_sections_and_is_named_with_the_command(job: Path) -> None:
    file = job / "results" / "evaluation.json"
    text = file.read_text()
    at = text.index('"predicted":[') + len('"predicted":[') + 2
    file.write_text(text[:at] + str((int(text[at]) + 5) % 10) + text[at + 1 :])
    _, missing = page_of(job)
    assert missing == ("results/evaluation.json: is damaged or of another version; run `vqa evaluate` again",)


def test_a_flipped_digit_of_a_selection_never_weights_the_training(job: Path, run: Run) -> None:
    file = job / "selection.json"
    text = file.read_text()
    at = text.index('"dbi": ') + len('"dbi": ') + 2
    file.write_text(text[:at] + str((int(text[at]) + 5) % 10) + text[at + 1 :])
    status, _, err = run("train", "--cached", "-C", job)
    assert (status, err) == (1, f"Error: {file}: is damaged or of another version; run `vqa select` again\n")


def test_a_selection_of_before_digests_is_read_as_it_is(job: Path) -> None:
    file, workspace = job / "selection.json", open_workspace(job)
    before = read_stored_selection(workspace)
    document = json.loads(file.read_text())
    del document["sha256"]
    file.write_text(json.dumps(document))
    with pytest.raises(WorkspaceError, match="is damaged"):
        read_stored_selection(workspace)
    file.write_text(json.dumps(document | {"schema": 2}))
    assert read_stored_selection(workspace) == before


def test_a_document_laid_out_anew_is_the_same_and_one_of_something_else_is_none(tmp_path: Path) -> None:
    content = {"a": [1.5, None, "é\udcff"], "b": {"z": 1e-300, "y": True}, "c": float("nan")}
    write_document(tmp_path / "one", 3, content)
    document = json.loads((tmp_path / "one").read_text())
    (tmp_path / "two").write_text(json.dumps(dict(reversed(document.items())), indent=7))
    one, two = (read_document(tmp_path / name, digest_since=3) for name in ("one", "two"))
    assert json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert one["a"] == content["a"]
    for text in ("[]", "7", "", "{}", '{"schema": 3}', '{"schema": "3"}', "[" * 100_000):
        (tmp_path / "one").write_text(text)
        with pytest.raises((ValueError, TypeError, RecursionError)):
            read_document(tmp_path / "one", digest_since=0)


@pytest.mark.parametrize("place", ["results", "on", "bundle", "leaking"])
def test_results_are_not_written_through_a_link(job: Path, tmp_path: Path, run: Run, place: str) -> None:
    other = imported(tmp_path / "other", [f"x{row}" for row in range(40)])
    commands: dict[str, tuple[object, ...]] = {
        "evaluate": ("evaluate", "--splits", 1, "--method", "ptm-vqa", "--no-baselines"),
        "leaking": ("evaluate", "--splits", 1, "--no-baselines", "--by", "video", "--allow-leaking"),
        "on": ("evaluate", "--on", other, "--no-baselines", "--top-k", 1),
        "bundle": ("evaluate", "--model", job / "scorer.vqa", "--on", other),
        "report": ("report",),
    }
    name_contents(job)
    (tmp_path / "outside").mkdir()
    shutil.rmtree(job / "results")
    names = {"results": "", "leaking": "leaking"}
    link = job / "results" / (names[place] if place in names else results_name(place, other))
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "outside")
    reason = "is a link, and results are not written through one; put a folder there, or link to the whole workspace"
    for name in commands if place == "results" else (place,):
        status, _, err = run(*commands[name], "-C", job)
        assert (status, err) == (1, f"Error: {link}: {reason}\n"), name
    assert list((tmp_path / "outside").iterdir()) == []


def name_contents(folder: Path) -> None:
    """Let the labels of a workspace name contents of two videos each."""
    labels, settings = folder / "labels.csv", folder / "vqa.toml"
    head, *rows = labels.read_text().splitlines()
    labels.write_text("\n".join([f"{head},group", *(f"{row},c{place // 2}" for place, row in enumerate(rows))]) + "\n")
    assert "group" in settings.read_text()


def test_a_workspace_that_is_reached_through_a_link_works(job: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "linked").symlink_to(job)
    (tmp_path / "cache").symlink_to(job / "cache")
    commands = (
        ("select", "--top-k", 2),
        ("train", "--cached", "--method", "ptm-vqa"),
        ("evaluate", "--splits", 1, "--method", "ptm-vqa", "--no-baselines"),
        ("report",),
    )
    for command in commands:
        assert run(*command, "-C", tmp_path / "linked")[0] == 0, command
    assert (job / "results" / "report.html").is_file()


def test_torn_files_are_told_as_damaged_with_the_command_that_makes_them_anew(
    job: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(job)
    assert "Damaged" not in run()[1]
    for name, command in (
        ("results/evaluation.json", "vqa evaluate"),
        ("scorer.vqa", "vqa train"),
        ("selection.json", "vqa select"),
    ):
        file = Path(name)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        status, out, err = run()
        (told,) = [line for line in out.splitlines() if line.startswith("Damaged: ")]
        assert (status, err) == (0, "")
        assert told.startswith(f"Damaged: {name}: is ")
        assert told.endswith(f"; run `{command}` again")
        assert "No models are selected" not in out
        assert "no scorer is trained" not in out
        assert f"  {command}" in out.partition("Next:")[2]
        file.write_bytes(whole)
    file = Path("selection.json")
    whole = file.read_bytes()
    file.unlink()
    assert "No models are selected" in run()[1]
    assert "Damaged" not in run()[1]
