"""The guard, in front of the real dashboard and the real TensorBoard, asked over HTTP."""

from __future__ import annotations

import base64
import json
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from live import until
from optuna.study import Study, create_study
from optuna.trial import TrialState
from optuna_dashboard import wsgi
from served import Answer, Served
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from search.monitoring.tries import FREE
from search.study.storage import open as storages

pytestmark = pytest.mark.whole

TOKEN = "correct-horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content_Type": "application/json"}
PAGE = b"<script>alert(document.domain)</script>"


class Place:
    """A folder with a study of three running trials, seen by two servers: one open, one that asks and only shows."""

    def __init__(self, folder: Path, study: Study, open_: Served, shut: Served) -> None:
        self.folder, self.study, self.open, self.shut = folder, study, open_, shut

    def tell(self, trial: int, **headers: str) -> int:
        """Ask the open server to fail the trial; the answer's status."""
        body = json.dumps({"state": "fail"}).encode()
        return self.open.ask(f"/api/trials/{trial + 1}/tell", "POST", body, **JSON, **headers).status

    def state(self, trial: int) -> TrialState:
        return self.study.get_trials()[trial].state

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.folder / "studies.db")) as connection:
            return list(connection.iterdump())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("served")
    storage = storages.connect(f"sqlite:///{folder}/studies.db")
    study = create_study(storage=storage, study_name="made", direction="maximize")
    for _ in range(3):
        study.ask({})
    writer = EventFileWriter(str(folder / "runs/made/tensorboard/trial-0000"))
    writer.add_event(Event(step=1, summary=Summary(value=[Summary.Value(tag="val_acc", simple_value=0.5)])))
    writer.close()
    (folder / "secret").write_text(f"{TOKEN}\n")
    with ExitStack() as stack:
        words = ("dashboard", "made", "--port", "0", "--tensorboard")
        asks = ("--auth", "secret", "--read-only", "--host", "0.0.0.0", "--allowed-host", "Dash.lab.example")
        both = [Served(folder, *words), Served(folder, *words, *asks)]
        for server in both:
            stack.callback(server.process.wait)
            stack.callback(server.process.kill)
        yield Place(folder, study, *(server.ready() for server in both))


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LocalHost", "localhost.", "[::1]:{}", "10.1.2.3:80"])
def test_it_answers_to_its_own_names_and_to_addresses(place: Place, host: str) -> None:
    assert place.open.ask("/dashboard", Host=host.format(place.open.port)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{}", "127.0.0.1.evil.example", "localhost@evil.example", "", None]
)
def test_a_rebound_name_is_refused(place: Place, host: str | None) -> None:
    named = host and host.format(place.open.port)
    for path in ("/api/studies", "/tensorboard/data/runs"):
        answer = place.open.ask(path, Host=named)
        assert (answer.status, b"studies" in answer.body) == (403, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
        {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},  # another port of this machine
        {"Sec_Fetch_Site": "none", "Origin": "http://evil.example"},
        {"Sec_Fetch_Site": "none", "Origin": "http://[evil"},
        {"Sec_Fetch_Site": ""},
    ],
)
def test_a_page_of_another_origin_cannot_write(place: Place, headers: dict[str, str]) -> None:
    assert place.tell(0, **headers) == 403
    assert place.state(0) == TrialState.RUNNING


def test_its_own_page_and_a_script_can_write(place: Place) -> None:
    own = f"http://127.0.0.1:{place.open.port}"
    assert place.tell(1, Origin=own, Sec_Fetch_Site="same-origin") == 204
    assert place.state(1) == TrialState.FAIL
    assert place.tell(2, Origin=own) == 204  # by http from another machine a browser says only this
    assert place.state(2) == TrialState.FAIL
    note = json.dumps({"version": 1, "body": "mine"}).encode()
    assert place.open.ask("/api/studies/1/note", "PUT", note, **JSON).status == 204


def upload(place: Place, name: str, kind: str, content: bytes) -> str:
    """Upload a file as the dashboard's page does; the path that it is served at."""
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    answer = place.open.ask("/api/artifacts/1", "POST", json.dumps({"file": uri, "filename": name}).encode(), **JSON)
    assert answer.status == 201, answer
    return f"/artifacts/1/{json.loads(answer.body)['artifact_id']}"


@pytest.mark.parametrize(
    ("name", "kind"), [("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x.png", "image/png")]
)
def test_an_uploaded_file_is_never_a_page(place: Place, name: str, kind: str) -> None:
    path = upload(place, name, kind, PAGE)
    for way in (path, "//" + path, path.replace("artifacts", "%61rtifacts")):
        answer = place.open.ask(way)
        assert answer.status in (200, 404)
        assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers
        if answer.status == 200:
            assert (answer.body, answer.headers["Content-Type"]) == (PAGE, kind)
            assert answer.headers["Content-Disposition"] == "attachment"


def test_a_large_body_is_refused_before_it_is_read(place: Place) -> None:
    upload(place, "x.bin", "application/octet-stream", b"x" * 700_000)  # a third more as base64
    declared = place.open.ask("/api/artifacts/1", "POST", None, Content_Length=str(2**20 + 2), **JSON)
    assert declared.status == 413
    parts = (b"x" * 65_536 for _ in range(17))
    with suppress(ConnectionResetError, BrokenPipeError):  # it may hang up while the rest is still being sent
        assert place.open.ask("/api/artifacts/1", "POST", parts, **JSON).status == 413


def test_every_answer_is_for_this_site_alone(place: Place) -> None:
    for path in ("/dashboard", "/api/studies", "/static/bundle.js", "/tensorboard/", "/nowhere"):
        headers = place.open.ask(path).headers
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/api/studies", "/tensorboard/", "/tensorboard/data/runs"])
def test_without_the_secret_there_is_nothing_to_see(place: Place, path: str) -> None:
    answer = place.shut.ask(path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.body == b'{"reason": "a token, or a user and password, is needed"}'


def asked(place: Place, **headers: str) -> Answer:
    return place.shut.ask("/api/studies", "GET", None, **BEARER, **headers)


def test_who_guesses_waits_and_who_was_let_in_does_not(place: Place) -> None:
    """Of one address, as all that a tunnel or a proxy brings, and every user of this machine."""
    first = asked(place)
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    assert "HttpOnly; SameSite=Strict" in first.headers["Set-Cookie"]
    began = time.monotonic()
    answers = [place.shut.ask("/api/studies", Authorization=f"Bearer guess-{number}") for number in range(60)]
    heard = [answer.status for answer in answers].count(401)
    assert {answer.status for answer in answers} == {401, 429}
    assert FREE <= heard <= FREE + 2 + math.log2(1 + time.monotonic() - began)
    refused = answers[-1]
    assert int(refused.headers["Retry-After"]) >= 1
    assert b"too many wrong passwords from here: try again in" in refused.body
    assert asked(place).status == 429  # else a guess could be right
    assert asked(place, Cookie=cookie).status == 200
    until(lambda: asked(place).status == 200, "the end of the wait")
    assert place.shut.ask("/api/studies").status == 401  # who says nothing has guessed nothing


def test_a_browser_and_a_script_have_their_ways_in(place: Place) -> None:
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    for header in (f"Bearer {TOKEN}", f"Basic {basic}", f"basic {basic}"):
        assert b"made" in place.shut.ask("/api/studies", Authorization=header).body
    assert TOKEN not in place.shut.output


def routes(reads: bool) -> list[tuple[str, str]]:
    """The dashboard's own routes, filled in for the study."""
    app: Any = wsgi(storages.connect("sqlite:///routes.db"))
    holes = {
        "<study_id:int>": "1",
        "<trial_id:int>": "1",
        "<artifact_id:re:[0-9a-fA-F-]+>": "0-0",
        "<plot_type>": "edf",
    }
    holes |= {"<history_id>": "0", "<:re:(/.*)?>": "", "<filename:path>": "bundle.js"}
    found = []
    for route in app.routes:
        rule = str(route.rule)
        for hole, value in holes.items():
            rule = rule.replace(hole, value)
        if (route.method == "GET") == reads:
            found.append((str(route.method), rule))
    return found


def test_read_only_refuses_every_method_that_writes(place: Place) -> None:
    writing = routes(reads=False)
    assert len(writing) > 12
    before = place.dump()
    for method, path in [*writing, ("PATCH", "/api/studies"), ("FOO", "/")]:
        answer = place.shut.ask(path, method, b"{}", **JSON, **BEARER)
        assert (answer.status, answer.body) == (405, b'{"reason": "this dashboard is read-only"}'), (method, path)
    assert place.dump() == before


def test_what_read_only_leaves_changes_nothing(place: Place) -> None:
    before, reading = place.dump(), routes(reads=True)
    assert len(reading) > 8
    for _, path in reading:
        assert place.shut.ask(path, "GET", None, **BEARER).status in (200, 302, 400, 404, 500), path
    assert place.dump() == before


def test_tensorboard_asks_by_post_and_is_guarded_too(place: Place) -> None:
    path, asked = "/tensorboard/data/plugin/scalars/scalars_multirun", b"tag=val_acc&runs=made/tensorboard/trial-0000"
    form = {"Content_Type": "application/x-www-form-urlencoded", "Accept_Encoding": "identity"}
    answer = place.shut.ask(path, "POST", asked, **form, **BEARER)  # read-only, too
    assert [point[1:] for point in json.loads(answer.body)["made/tensorboard/trial-0000"]] == [[1, 0.5]]
    assert place.open.ask(path, "POST", asked, **form, Origin="http://evil.example").status == 403


def test_a_name_of_its_own_may_be_allowed(place: Place) -> None:
    assert place.shut.ask("/api/studies", "GET", None, **BEARER, Host="dash.lab.example").status == 200
    assert place.shut.ask("/api/studies", "GET", None, **BEARER, Host="lab.example").status == 403
    assert place.shut.ask("/api/studies", Host="dash.lab.example").status == 401
