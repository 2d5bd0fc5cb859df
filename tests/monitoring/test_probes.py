"""The guard probed with what a browser, a script or an attacker may send: one row a request, and its answer."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Response

from search.monitoring.guard import Secret, guard, read_only

OWN = "http://127.0.0.1:8080"


def basic(text: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


AUTHORIZATION: list[tuple[str, str | None, int]] = [
    ("nothing", None, 401),
    ("an empty header", "", 401),
    ("a scheme alone", "Basic", 401),
    ("no base64", "Basic !!!", 401),
    ("base64 cut short", "Basic YTp", 401),
    ("no colon", basic("correct-horse"), 401),
    ("bytes that are no text", "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), 401),
    ("a NUL", basic("a:correct-horse\0"), 401),
    ("no word", basic("a:"), 401),
    ("another word", basic("a:wrong-horse"), 401),
    ("a longer word", basic("a:correct-horse-battery"), 401),
    ("parameters", "Basic username=a, password=correct-horse", 401),
    ("a digest", 'Digest username="a", response="correct-horse"', 401),
    ("another scheme", "Negotiate correct-horse", 401),
    ("a scheme of one letter", "B correct-horse", 401),
    ("100,000 characters", "Bearer " + "x" * 100_000, 401),
    ("letters beyond ASCII", "Bearer caf\xe9", 401),
    ("two tokens", "Bearer correct-horse, correct-horse", 401),
    ("the token", "Bearer correct-horse", 200),
    ("the token in small letters' scheme", "bearer correct-horse", 200),
    ("any name", basic("anyone:correct-horse"), 200),
    ("an empty name", basic(":correct-horse"), 200),
]


@pytest.mark.parametrize(("what", "header", "status"), AUTHORIZATION, ids=[row[0] for row in AUTHORIZATION])
def test_authorization(what: str, header: str | None, status: int) -> None:
    client = Client(guard(Response("inside"), {"localhost"}, Secret(None, "correct-horse")))
    headers = {} if header is None else {"Authorization": header}
    answer = client.get("/", base_url=OWN, headers=headers)
    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert (b"inside" in answer.data) == (status == 200)


EVIL = "http://evil.example"
WRITES: list[tuple[str, dict[str, str], int]] = [
    ("a script", {}, 200),
    ("the own page", {"Sec-Fetch-Site": "same-origin", "Origin": OWN}, 200),
    ("the own page of an old browser", {"Origin": OWN}, 200),
    ("typed into the address bar", {"Sec-Fetch-Site": "none"}, 200),
    ("another site", {"Sec-Fetch-Site": "cross-site", "Origin": EVIL}, 403),
    ("another port of this machine", {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9"}, 403),
    ("another site, which says none", {"Sec-Fetch-Site": "none", "Origin": EVIL}, 403),
    ("another site of an old browser", {"Origin": EVIL}, 403),
    ("a page without an origin", {"Origin": "null"}, 403),
    ("a page without an origin, which says none", {"Origin": "null", "Sec-Fetch-Site": "none"}, 403),
    ("an origin that is no URL", {"Origin": "http://[evil"}, 403),
    ("an origin with this one in it", {"Origin": EVIL + "/127.0.0.1:8080"}, 403),
    ("a user before this host", {"Origin": "http://127.0.0.1:8080@evil.example"}, 403),
    ("no word of Fetch's", {"Sec-Fetch-Site": "NONE "}, 403),
    ("an empty word", {"Sec-Fetch-Site": ""}, 403),
    ("another name that leads here", {"Host": "evil.example"}, 403),
    ("another name that begins like an address", {"Host": "127.0.0.1.evil.example"}, 403),
    ("no name", {"Host": ""}, 403),
    ("a name with a space", {"Host": "localhost evil"}, 403),
    ("an own name", {"Host": "localhost:8080"}, 200),
    ("an own name with a dot", {"Host": "LOCALHOST."}, 200),
]


@pytest.mark.parametrize(("what", "headers", "status"), WRITES, ids=[row[0] for row in WRITES])
def test_a_write(what: str, headers: dict[str, str], status: int) -> None:
    client = Client(guard(Response("written"), {"localhost"}))
    environ: dict[str, Any] = {"HTTP_HOST": headers["Host"]} if "Host" in headers else {}
    others = {name: value for name, value in headers.items() if name != "Host"}
    for method in ("POST", "PUT", "PATCH", "DELETE", "post", "MADE-UP"):
        answer = client.open("/", base_url=OWN, method=method, headers=others, environ_overrides=environ)
        assert answer.status_code == status, method
    read = client.get("/", base_url=OWN, headers=others, environ_overrides=environ)
    assert read.status_code == (200 if "Host" not in headers else status)  # nothing is changed by reading


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405), ("X", 405)]
)
def test_who_only_reads(method: str, status: int) -> None:
    assert Client(read_only(Response("shown"))).open("/", method=method).status_code == status
