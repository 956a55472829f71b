"""A server on this machine that speaks as much of the model hub's protocol as downloads need, and lies when told to."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

COMMIT = "5eed" * 10


@dataclass
class Answer:
    """What is sent for one request."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Hub:
    """Repositories of one commit."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """By OWNER/NAME/FILE."""
    large: frozenset[str] = frozenset({".safetensors", ".bin"})
    """Suffixes of files that are announced by their SHA-256; others are by git's SHA-1."""
    lie: Callable[[str, str, Answer], Answer] | None = None
    """Given the method, the file and the true answer, returns the one to send."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Methods and files."""

    def is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this be the hub, as `HF_ENDPOINT` would, and let nobody wait before another try."""
        monkeypatch.setattr(constants, "ENDPOINT", self.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        template = f"{self.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("vqa.extract.backends.hub_answers._PAUSE_SECONDS", 0.0)

    def answer(self, method: str, path: str, start: int = 0) -> Answer:
        """Return what to send, of a file's bytes those from `start`."""
        repository, _, rest = path.lstrip("/").partition("/resolve/")
        name = f"{repository}/{rest.partition('/')[2]}"  # of any revision
        if not rest:
            return Answer(200, {"Content-Length": "0"})
        self.asked.append((method, name))
        true = self._true(name)
        if start:
            rest_of_it = true.body[start:]
            true = Answer(206, {**true.headers, "Content-Length": str(len(rest_of_it))}, rest_of_it)
        return self.lie(method, name, true) if self.lie is not None else true

    def _true(self, name: str) -> Answer:
        headers = {"X-Repo-Commit": COMMIT}
        if name not in self.files:
            return Answer(404, {**headers, "X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        content = self.files[name]
        headers["Content-Length"] = str(len(content))
        if any(name.endswith(suffix) for suffix in self.large):
            headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            headers["X-Linked-Size"] = str(len(content))
        else:
            blob = b"blob %d\0" % len(content) + content
            headers["ETag"] = f'"{hashlib.sha1(blob).hexdigest()}"'
        return Answer(200, headers, content)


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a hub for the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send("HEAD")

        def do_GET(self) -> None:
            self.send("GET")

        def send(self, method: str) -> None:
            start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
            answer = hub.answer(method, self.path, int(start))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            if method == "GET":
                with contextlib.suppress(OSError):  # whoever is lied to may hang up
                    self.wfile.write(answer.body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
