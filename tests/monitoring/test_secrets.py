"""The secret of the dashboard: where it comes from, what carries it, and what does not."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from search.errors import SearchError
from search.monitoring import guard

TOKEN = "correct-horse"
ATTACKS = [
    *(f"Bearer {TOKEN}x", "Bearer", "Bearer \xff", "Basic", "Basic ?", "Basic eA==", f"Digest {TOKEN}", "Basic a=b"),
    *(
        'Basic username="x"',
        "Basic username=x, password=",
        "Basic =",
        "Basic /////w==",
        "Basic \xff\xfe",
        "\xff",
        "=",
        ",",
    ),
    f"Basic username={TOKEN}, realm=x",
    "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    "Basic " + "A" * 8000,
]


@pytest.mark.parametrize("header", ATTACKS)
def test_whatever_else_stands_in_the_header_is_refused_in_good_order(header: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        pytest.fail("it was let in")

    for secret in (guard.Secret(None, TOKEN), guard.Secret("me", TOKEN)):
        client = Client(guard.guard(app, {"localhost"}, secret))
        assert client.get("/", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("secret", "given", "admitted"),
    [
        (guard.Secret("me", "pass:word"), "me:pass:word", True),
        (guard.Secret("me", "pass:word"), "you:pass:word", False),
        (guard.Secret("me", "pass:word"), "me:pass", False),
        (guard.Secret("me", "pass:word"), "me", False),
        (guard.Secret("mé", "wörd"), "mé:wörd", True),
        (guard.Secret(None, TOKEN), f":{TOKEN}", True),
        (guard.Secret(None, TOKEN), f"{TOKEN}:", False),
    ],
)
def test_basic(secret: guard.Secret, given: str, admitted: bool) -> None:
    assert secret.admits(f"Basic {base64.b64encode(given.encode()).decode()}") is admitted


def test_a_token_may_hold_equals_signs() -> None:
    assert guard.Secret(None, "a=b,c==").admits("bearer a=b,c==")
    assert not guard.Secret(None, "a=b,c==").admits("Bearer a=b,c")


def test_a_password_is_no_token() -> None:
    assert not guard.Secret("me", TOKEN).admits(f"Bearer {TOKEN}")


def test_a_secret_is_compared_in_constant_time_and_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(given: bytes, expected: bytes) -> bool:
        compared.append((len(given), len(expected)))
        return given == expected

    monkeypatch.setattr(hmac, "compare_digest", compare)
    secret = guard.Secret("me", TOKEN)
    basic = base64.b64encode(b"you:x").decode()
    assert not secret.admits(f"Basic {basic}")
    assert compared == [(32, 32)] * 2  # the word, too, where the name is wrong already
    assert TOKEN not in repr(secret)


def test_where_a_secret_comes_from(tmp_path: Path) -> None:
    assert guard.read_secret(None, None) is None
    assert guard.read_secret(None, "") is None
    file = tmp_path / "secret"
    file.write_text(" me:pass:word1\n")
    assert guard.read_secret(file, "of-the-environment") == guard.Secret("me", "pass:word1")
    assert guard.read_secret(None, "of-the-environment") == guard.Secret(None, "of-the-environment")


@pytest.mark.parametrize(
    "text", ["", "\n", "short", "me:short", ":longer-than-8", "two words", "two-full\nlines-of-it"]
)
def test_no_secret(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(SearchError, match=r"^auth=: one line is wanted, a token or user:password"):
        guard.read_secret(file, None)


def test_a_secret_given_in_place_of_its_file_is_not_repeated() -> None:
    with pytest.raises(SearchError, match="auth=: there is no such file") as error:
        guard.read_secret(Path(TOKEN), None)
    assert TOKEN not in str(error.value)
