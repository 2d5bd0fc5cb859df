"""WSGI wrappers that protect a web page without protection of its own.

optuna-dashboard answers everyone who reaches its port. It accepts writes from any page that is open in a browser. It
shows uploaded HTML as a page of its own, whose scripts act in its name. `guard` prevents all three. Sources: RFC 9110
and 7617 (401, Basic), RFC 6750 (Bearer), Fetch's Sec-Fetch-Site and Origin as in Go's net/http.CrossOriginProtection.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.datastructures import Authorization, Headers
from werkzeug.http import parse_cookie
from werkzeug.wrappers import Response

from search.errors import SearchError, option
from search.monitoring.tries import COOKIE, Tries

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_READS = ("GET", "HEAD", "OPTIONS")
_SHORTEST = 8
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",  # no other site shows the dashboard in a frame
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The policy of answers without a policy of their own. Opened as a page, they run no script and load nothing."""


@dataclass(frozen=True, repr=False)
class Secret:
    """A token, or a user's name and password; never printed."""

    user: str | None
    word: str

    def admits(self, header: str) -> bool:
        """Whether an Authorization header carries the secret. A token may come as Bearer, or as Basic with any name.

        The comparison takes constant time. It compares digests, so that it does not reveal the length either.
        """
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and self.user is None:
            return _same(given.strip(), self.word)  # werkzeug takes a token with = in it for a list of parameters
        try:
            basic = Authorization.from_header(header) if scheme.lower() == "basic" else None
        except ValueError:
            return False
        parameters = basic.parameters if basic is not None else {}
        if "username" not in parameters or "password" not in parameters:  # not what RFC 7617 says
            return False
        name, word = parameters["username"] or "", parameters["password"] or ""
        right_name = _same(name, self.user or name)
        return _same(word, self.word) and right_name


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(*(sha256(text.encode(errors="replace")).digest() for text in (given, expected)))


def read_secret(file: Path | None, variable: str | None) -> Secret | None:
    """The secret in `file` (--auth) or in `variable`, the value of SEARCH_AUTH. None without either.

    Raises SearchError. The message never repeats the given text, which may be the secret itself.
    """
    if file is None and not variable:
        return None
    place = option("auth") if file is not None else "SEARCH_AUTH"
    try:
        text = file.read_text(encoding="utf-8") if file is not None else variable or ""
    except (OSError, UnicodeDecodeError):
        hint = "write a token, or user:password, into a file, and name the file"
        raise SearchError(f"{option('auth')}: there is no such file that can be read; {hint}") from None
    user, colon, word = text.strip().partition(":")
    user, word = (user, word) if colon else ("", user)
    if len(word) < _SHORTEST or (colon and not user) or len(text.split()) != 1:
        raise SearchError(
            f"{place}: one line is wanted, a token or user:password, without spaces, of {_SHORTEST} characters or more"
        )
    return Secret(user or None, word)


def guard(app: WSGIApplication, hosts: Collection[str], secret: Secret | None = None) -> WSGIApplication:
    """`app`, for requests to one of the names `hosts`, with the `secret`, and without writes from other sites' pages.

    The check of the name stops DNS rebinding: a site's own name may lead to this server, and its pages then count as
    ours. An IP address is no such name, and is accepted. Answers without a policy of their own get _SANDBOX.
    """

    tries = Tries()

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host, answer = environ.get("HTTP_HOST", ""), app
        refused, more = _let_in(environ, secret, tries) if secret is not None else (None, {})
        if not _known(host, hosts):
            answer = _refusal(HTTPStatus.FORBIDDEN, f"this server is not known by that name: {option('allowed_host')}")
        elif refused is not None:
            answer = refused
        elif _writes(environ) and not _own_page(environ, host):
            answer = _refusal(HTTPStatus.FORBIDDEN, "a page of another site must not write here")
        return answer(environ, _hardened(environ["PATH_INFO"], start_response, more))

    return guarded


def _let_in(environ: WSGIEnvironment, secret: Secret, tries: Tries) -> tuple[Response | None, dict[str, str]]:
    """The refusal of whoever has not the secret, and further headers of the answer to who has it."""
    header, address = environ.get("HTTP_AUTHORIZATION", ""), environ.get("REMOTE_ADDR", "")
    visitor = parse_cookie(environ).get(COOKIE, "")
    wait = tries.wait(address, visitor) if header else 0.0
    if wait > 0:
        seconds = math.ceil(wait)
        said = f"too many wrong passwords from here: try again in {seconds} s"
        return _refusal(HTTPStatus.TOO_MANY_REQUESTS, said, {"Retry-After": str(seconds)}), {}
    if secret.admits(header):
        number = tries.right(address, visitor)
        return None, {"Set-Cookie": f"{COOKIE}={number}; HttpOnly; SameSite=Strict; Path=/"} if number else {}
    if header:
        tries.wrong(address)
    ask = {"WWW-Authenticate": 'Basic realm="search", charset="UTF-8"'}
    return _refusal(HTTPStatus.UNAUTHORIZED, "a token, or a user and password, is needed", ask), {}


def read_only(app: WSGIApplication) -> WSGIApplication:
    """`app` without every method that may write."""

    refusal = _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this dashboard is read-only", {"Allow": ", ".join(_READS)})

    def reading(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (refusal if _writes(environ) else app)(environ, start_response)

    return reading


def _known(host: str, hosts: Collection[str]) -> bool:
    """Whether a Host header holds an address or a known name. werkzeug's check accepts no addresses and no _."""
    found = re.fullmatch(r"(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d+)?", host.lower())
    name = ((found[1] or found[2]) if found else "").rstrip(".")
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return name in hosts


def _writes(environ: WSGIEnvironment) -> bool:
    return str(environ["REQUEST_METHOD"]).upper() not in _READS


def _own_page(environ: WSGIEnvironment, host: str) -> bool:
    """Whether a request comes from the server's own page, or from no page. Only browsers have to say which."""
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site == "same-origin":
        return True
    return site in (None, "none") and (origin is None or _host_of(origin) == host.lower())


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _hardened(path: str, start_response: StartResponse, more: Mapping[str, str]) -> StartResponse:
    """`start_response` with _HEADERS, `more` headers and a policy. An uploaded file is sent as an attachment."""

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        sent = Headers(headers)
        sent.remove("Access-Control-Allow-Origin")
        sent.update(_HEADERS)
        sent.setdefault("Content-Security-Policy", _SANDBOX)
        if path.lstrip("/").startswith("artifacts/"):
            sent.update({"Content-Security-Policy": _SANDBOX, "Content-Disposition": "attachment"})
        for name, value in more.items():
            sent.add(name, value)
        return start_response(status, sent.to_wsgi_list(), error)

    return start


def _refusal(status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with the reason, which the dashboard's page shows."""
    return Response(json.dumps({"reason": reason}), status, headers, mimetype="application/json")
