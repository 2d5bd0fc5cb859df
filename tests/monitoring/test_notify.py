"""Notifications: real ones, sent by apprise to a server that listens here."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from search.commands.steps.launch import same_command
from search.errors import SearchError
from search.monitoring.notify import Notices, hidden

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]
SPACE = """
from search import Float, SearchSpace
space = SearchSpace(x=Float(0, 1), epochs=2)
metric, trials = "score", 3
def train(config):
    for epoch in range(2):
        yield {"score": 0.5 + epoch / 4}
"""


class Server:
    """Keeps what it is sent, and answers with `status`."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.heard.append({**body, "path": self.path})
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:s3cret@127.0.0.1:{self.http.server_port}/t0ken"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.http.shutdown()
        thread.join()
        made.http.server_close()


def test_the_end_of_a_run_is_told_once_with_its_numbers(cli: Any, write: Write, server: Server) -> None:
    write("space.py", SPACE)
    status, out, err = cli("run", "space.py", "--engine", "inline", "--notify", server.url, "--patience", 1)
    assert (status, err) == (0, "")
    (heard,) = server.heard
    assert (heard["title"], heard["type"], heard["path"]) == ("search space: ended early", "success", "/t0ken")
    best, trials, why, took, report = heard["message"].splitlines()
    assert (best, trials) == ("best score: 0.75, trial 0", "trials: 2 complete")
    assert why == "--patience 1: of the last 1 trial none was better than trial 0"
    assert took.startswith("took ")
    assert report == f"report: {Path('reports/space.md').absolute()}"
    assert "to go on, change --patience in: search run space.py --engine inline --notify json://... --patience 1" in out
    assert "s3cret" not in out
    assert "t0ken" not in out


def test_a_failure_is_told_with_its_reason(
    cli: Any, write: Write, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCH_NOTIFY", f"{server.url} {server.url}")
    write("space.py", SPACE.replace("        yield", "        raise ValueError('no')\n        yield"))
    status, _, err = cli("run", "space.py", "--engine", "inline", "--max-failures", 2)
    assert status == 1
    assert len(server.heard) == 2
    heard = server.heard[0]
    assert (heard["title"], heard["type"]) == ("search space: failed", "failure")
    why, trials, took = heard["message"].splitlines()
    assert f"search: {why}\n" == err
    assert "2 trials in a row failed" in why
    assert trials == "trials: 2 fail"
    assert took.startswith("took ")


def test_a_service_that_shows_html_gets_it_escaped(server: Server) -> None:
    text = "1 < 2\n<script>alert(1)</script>\x1b[31m"
    for ending in ("html", "markdown", "text"):
        assert Notices([f"{server.url}?format={ending}"]).send("search <b>: failed", text, failed=True) == []
    html, markdown, plain = (heard["message"] for heard in server.heard)
    assert ("<script" in html, "&lt;script&gt;alert" in html) == (False, True)
    assert plain == "1 < 2\n<script>alert(1)</script>\\x1b[31m"
    assert markdown.isprintable() or "\x1b" not in markdown


@pytest.mark.parametrize("status", [500, None])
def test_what_cannot_be_sent_is_a_warning(cli: Any, write: Write, server: Server, status: int | None) -> None:
    write("space.py", SPACE)
    server.status = status or 200
    url = server.url if status else "json://user:s3cret@127.0.0.1:9/t0ken"
    done, out, err = cli("run", "space.py", "--engine", "inline", f"--notify={url}")
    assert done == 0
    assert "warning: the notification by json://... could not be sent; `apprise -v -b test ADDRESS` says why\n" in out
    assert "s3cret" not in out + err
    assert "t0ken" not in out + err
    assert Path("reports/space.best.yaml").is_file()


@pytest.mark.parametrize(("number", "titles"), [(signal.SIGTERM, ["search space: terminated"]), (signal.SIGINT, [])])
def test_a_run_that_is_ended_from_outside_is_told_but_not_to_who_pressed_ctrl_c(
    cli: Any, write: Write, server: Server, number: int, titles: list[str]
) -> None:
    second = f"        if epoch: import os; os.kill(os.getpid(), {number:d})\n"
    write("space.py", SPACE.replace("        yield", f"{second}        yield"))
    assert cli("run", "space.py", "--engine", "inline", "--notify", server.url).status == 128 + number
    assert [heard["title"] for heard in server.heard] == titles


def test_no_part_of_an_address_but_its_service_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("slack://T1/A2/t0ken", "mailto://me:t0ken@example.com", "t0ken", "t0ken@x://y", "tgram://t0ken:1/2"):
        assert "t0ken" not in hidden(url)
        for words in (["--notify", url], [f"--notify={url}"]):
            monkeypatch.setattr(sys, "argv", ["search", "run", "x.py", *words, "--trials", "3"])
            assert "t0ken" not in same_command()
            assert same_command().endswith(" --trials 3")


def test_an_address_that_apprise_does_not_know_is_an_error_before_anything_runs() -> None:
    with pytest.raises(SearchError, match=r"^notify=nonsense://\.\.\.: apprise cannot read this address"):
        Notices(["nonsense://t0ken"])
    assert Notices().send("title", "text") == []
