"""Fixtures for all tests; the media they make have known pixels."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from s3server import Bucket, S3Server
    from workspaces import Trained

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Before torch is loaded, here and in what tests start: threads that wait for others of their process must not take the
# cores of other processes, of which the suite has more than the machine has cores.

settings.register_profile("vqa", deadline=None)  # no test ends by the clock of a machine that others use, too
settings.load_profile("vqa")

sys.path.insert(0, str(Path(__file__).parent))  # tests share `media`, and import modes without packages can't

TEST_DATA = Path(os.environ.get("VQA_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or config.getoption("-m"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {report.longrepr[2] for report in skipped if "browser: " in report.longrepr[2]}
    for reason in reasons:
        what = reason.partition("browser: ")[2]
        terminalreporter.write_sep("!", f"browser tests did not run: {what}", red=True, bold=True)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real ratings and clips, where a machine has it."""
    if not TEST_DATA.is_dir():
        pytest.skip("no real ratings and clips here; set VQA_TEST_DATA")
    return TEST_DATA


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A workspace that is done; tests leave it as it is."""
    from workspaces import make_trained

    return make_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server on this machine that speaks the protocol of S3."""
    from s3server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for that of a socket in it, which `tmp_path` may not."""
    with tempfile.TemporaryDirectory(prefix="v", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """A bucket of its own on that server."""
    return s3.bucket()


@pytest.fixture
def refusing() -> Iterator[Callable[[int, str], dict[str, str]]]:
    """Start servers that answer all with one code; gives the environment that leads to one."""
    from s3server import refusing_servers

    with refusing_servers() as start:
        yield start


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Let local copies of remote files lie in a folder of this test; gives their names."""
    import vqa.copies

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(vqa.copies, "_made", [])
    return lambda: [path.name for path in (tmp_path / "tmp").glob("vqa-copies-*/[0-9]*")]


@pytest.fixture(autouse=True)
def _ordinary_priority() -> Iterator[None]:
    """Take back the real-time priority that the encoder SVT-AV1 gives the process it runs in, where that is root's.

    What the next tests start would inherit it, and a loop in it would take a core from all others.
    """
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """Leave torch's thread count as it was found."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process; gives exit status, stdout and stderr."""
    from vqa.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["vqa", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        out = capsys.readouterr()
        return status, out.out, out.err

    return call
