"""A server on this machine that speaks the protocol of S3, and what tests ask of it behind the back of vqa."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

_numbers = itertools.count()


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own."""

    name: str
    client: Any
    """boto3's."""

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def names(self, prefix: str = "") -> list[str]:
        """Names of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def segments(self, prefix: str = "") -> list[str]:
        """Names of all segments, oldest first."""
        found = (key for key in self.names(prefix) if key.endswith(".h5") and "/." not in key)
        return sorted(found, key=lambda key: key.split("/")[-1])

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


@dataclass
class S3Server:
    """The server; `environment` is what a process needs to find it."""

    server: ThreadedMotoServer = field(
        default_factory=lambda: ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    )
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "reader",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def stop(self) -> None:
        self.server.stop()

    def bucket(self) -> Bucket:
        """Make a new bucket."""
        client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="writer",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        name = f"videos-{os.getpid()}-{next(_numbers)}"
        client.create_bucket(Bucket=name)
        return Bucket(name, client)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server that is found by the environment of this process and of those it starts."""
    server, before = S3Server(), dict(os.environ)
    server.start()
    os.environ.update(server.environment)
    try:
        yield server
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def connected(environment: Mapping[str, str | None]) -> Iterator[None]:
    """Have this process talk to another server, or as somebody else, by connections of its own."""
    before = dict(os.environ)
    S3FileSystem.clear_instance_cache()
    for name, value in environment.items():
        os.environ.pop(name, None)
        os.environ |= {} if value is None else {name: value}
    try:
        yield
    finally:
        S3FileSystem.clear_instance_cache()
        os.environ.clear()
        os.environ.update(before)


class _Answer(BaseHTTPRequestHandler):
    """Says the same to everyone."""

    code_and_name = (403, "AccessDenied")

    def handle_one_request(self) -> None:
        if self.parse_request_line():
            body = f"<Error><Code>{self.code_and_name[1]}</Code><Message>Not today</Message></Error>".encode()
            self.send_response(self.code_and_name[0])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

    def parse_request_line(self) -> bool:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return False
        return self.parse_request()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def refusing_servers() -> Iterator[Callable[[int, str], dict[str, str]]]:
    """Start servers that answer all with one code; gives the environment that leads to one."""
    servers = []

    def start(code: int, name: str) -> dict[str, str]:
        handler = type("Answer", (_Answer,), {"code_and_name": (code, name)})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}", "AWS_MAX_ATTEMPTS": "1"}

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
