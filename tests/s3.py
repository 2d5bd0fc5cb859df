"""A real S3 endpoint on this machine, for the tests: moto's server, which speaks the protocol over HTTP."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from live import ask, free_port, until


class Store:
    """The server, and what a process needs in its environment to use it, as with any other S3."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "sesame",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        self._numbers = count()

    def bucket(self) -> str:
        """The URL of a new, empty bucket."""
        name = f"bucket-{next(self._numbers)}"
        self.put(name, b"")
        return f"s3://{name}"

    def put(self, path: str, content: bytes) -> None:
        """Write an object, or make a bucket, past all that the tests' own process may remember."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(urllib.request.Request(f"{self.url}/{path}", content, method="PUT"), timeout=10):
            pass

    def answers(self) -> bool:
        try:
            return bool(ask(self.url))
        except OSError:
            return False


@contextmanager
def server() -> Iterator[Store]:
    port = free_port()
    words = [sys.executable, "-c", "from moto.server import main; main()", "-p", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        store = Store(port)
        until(store.answers, "the S3 server")
        yield store
    finally:
        process.kill()
        process.wait()
