"""What a cache at a URL costs: seconds and requests, against a server on this machine that speaks the protocol of S3.

    python benchmarks/storage.py --segments 1000

A server on this machine answers in about a millisecond or two, and a real one in 10 to 50: the requests are the figure.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
from moto.server import ThreadedMotoServer

from vqa.cache.compaction import compact_cache
from vqa.cache.store import FeatureStore
from vqa.records import CandidateRecord, VideoFeatures, fingerprint_of
from vqa.remote import RemotePath
from vqa.urls import place_of

DETAILS = '{"frames":8}'
RECORD = CandidateRecord("benchmark:features", fingerprint_of(DETAILS), DETAILS)


@contextlib.contextmanager
def measured(what: str, root: RemotePath) -> Iterator[None]:
    """Print seconds and requests of a block."""
    counts: collections.Counter[str] = collections.Counter()
    system = root.fs
    call = system._call_s3

    async def counting(method: str, *arguments: Any, **options: Any) -> Any:
        counts[method] += 1
        return await call(method, *arguments, **options)

    system._call_s3 = counting
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - began
        system._call_s3 = call
    told = ", ".join(f"{count} {method}" for method, count in counts.most_common())
    print(f"{what:48} {seconds:7.2f} s   {told}")


@contextlib.contextmanager
def serving() -> Iterator[RemotePath]:
    """Start the server; give a cache folder there."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret"}
    boto3.client("s3").create_bucket(Bucket="benchmark")
    root = place_of("s3://benchmark/cache")
    assert isinstance(root, RemotePath)
    try:
        yield root
    finally:
        server.stop()


def write(root: RemotePath, keys: list[str]) -> None:
    """Write a segment for each video."""
    values, times = np.ones((8, 1280), np.float16), np.arange(8.0)
    with FeatureStore(root).writer(RECORD, weights_sha256="", versions={}, max_videos=1) as writer:
        for key in keys:
            writer.put(key, VideoFeatures(values, times), seconds=0.1)


def main() -> None:
    """Fill a cache with segments of one video each, and read it in different ways."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, default=1000)
    count = parser.parse_args().segments
    keys = [f"{number:064x}" for number in range(count)]
    with serving() as root:
        with measured(f"write {count} segments", root):
            write(root, keys)
        for what in ("open without an index, and leave one", "open with the index"):
            store = FeatureStore(root)
            with measured(what, root):
                store.keys(RECORD.fingerprint)
        store.refresh()
        with measured("look again for new segments", root):
            store.keys(RECORD.fingerprint)
        with measured("read the averages of all videos", root):
            store.read_means(RECORD.fingerprint, keys)
        with measured("compact", root):
            compact_cache(root)
        store = FeatureStore(root)
        with measured("open the compacted cache", root):
            store.keys(RECORD.fingerprint)
        with measured("read one video of it", root):
            store.read(RECORD.fingerprint, keys[count // 2])
        with measured("read the averages of all videos of it", root):
            store.read_means(RECORD.fingerprint, keys)


if __name__ == "__main__":
    main()
