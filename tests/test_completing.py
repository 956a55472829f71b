"""Shell completion, as the shell asks for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vqa.cli.completing import METHODS
from vqa.train import methods

Run = Callable[..., tuple[int, str, str]]
Offered = Callable[..., list[str]]


@pytest.fixture
def offered(run: Run, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """Ask what may follow some words, the last of which is being typed; as bash asks."""

    def ask(*words: object) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", "\n".join(["vqa", *map(str, words)]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_VQA_COMPLETE", "bash_complete")
        status, out, err = run()
        monkeypatch.delenv("_VQA_COMPLETE")
        assert (status, err) == (0, "")
        return out.split()

    return ask


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("tr",), ["plain,train"]),
        (("cache", "co"), ["plain,compact"]),
        (("select", "--criterion", "dbi"), ["plain,dbi", "plain,dbi-count", "plain,dbi-kmeans"]),
        (("evaluate", "--criterion", "log"), ["plain,logme"]),
        (("train", "--method", ""), ["plain,blend", "plain,ptm-vqa"]),
        (("init", "d", "--dataset", "lsvq"), ["plain,lsvq", "plain,lsvq_1080p"]),
        (("extract", "--models", "bundled:xf"), ["plain,bundled:xfeat"]),
        (("models", "list", "--pool", "cl"), ["plain,classic"]),
        (("models", "fe"), ["plain,fetch"]),
        (("models", "bundled:v"), ["plain,bundled:vit_small_patch14_dinov2", "plain,bundled:vgg16"]),
        (("score", "cl"), ["file,cl"]),
        (("score", "--qu"), ["plain,--quiet"]),
        (("nonsense", "x"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_names_are_completed(offered: Offered, words: tuple[str, ...], wanted: list[str]) -> None:
    assert offered(*words) == wanted


def test_the_caches_models_are_those_of_the_workspace_named(offered: Offered, run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,mos,a\n" + "".join(f"v{row},{row},{row % 7}\n" for row in range(9)))
    assert run("cache", "import", tmp_path / "t.csv", "--as", "mine", "-C", tmp_path / "w")[0] == 0
    for command in (("cache", "drop"), ("cache", "info", "--models"), ("export", "x.csv", "--models")):
        name, *more = command
        assert offered(name, *more[:1], "-C", tmp_path / "w", *more[1:], "imp") == ["plain,imported:mine"]
    assert offered("cache", "drop", "-C", tmp_path, "imp") == []
    (tmp_path / "w" / "vqa.toml").write_text("x = [")
    assert offered("cache", "drop", "-C", tmp_path / "w", "imp") == []


def test_the_methods_offered_are_those_there_are() -> None:
    assert list(methods.METHODS) == list(METHODS)


@pytest.mark.parametrize(
    ("shell", "says"),
    [("bash", "complete -o nosort -F _vqa_completion vqa"), ("zsh", "#compdef vqa"), ("fish", "complete --no-files")],
)
def test_each_shell_gets_its_script(run: Run, monkeypatch: pytest.MonkeyPatch, shell: str, says: str) -> None:
    monkeypatch.setenv("_VQA_COMPLETE", f"{shell}_source")
    status, out, _ = run()
    assert (status, says in out) == (0, True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_itself_completes_by_the_lines_in_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    lines = [line.strip() for line in page.splitlines() if "COMP_WORDBREAKS=" in line or "bash_source" in line]
    assert len(lines) == 2
    command = tmp_path / "vqa"
    command.write_text(f"#!{sys.executable}\nimport sys\nfrom vqa.cli import main\nsys.argv[0] = 'vqa'\nmain()\n")
    command.chmod(0o755)
    script = "\n".join(
        [
            f"PATH={tmp_path}:$PATH",
            *lines,
            "COMP_WORDS=(vqa extract --models bundled:mo); COMP_CWORD=3",
            "_vqa_completion vqa",
            'echo "${COMPREPLY[@]} / ${COMP_WORDBREAKS}"',
        ]
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    offered, _, breaks = done.stdout.partition(" / ")
    assert (offered, ":" in breaks, done.stderr) == ("bundled:mobilenetv2_100", False, "")


def test_completion_loads_no_model_library() -> None:
    code = (
        "import os, sys\n"
        "os.environ |= {'COMP_WORDS': 'vqa extract --models bundled:', 'COMP_CWORD': '3', "
        "'_VQA_COMPLETE': 'bash_complete'}\n"
        "from vqa.cli import main\n"
        "sys.argv = ['vqa']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(sorted({'torch', 'av', 'timm', 'sklearn', 'scipy', 'h5py', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.count("bundled:") == 7
