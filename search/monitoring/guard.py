"""What stands in front of a web page that has no guard of its own: small WSGI wrappers.

optuna-dashboard answers whoever reaches its port, takes writes from any page that a browser has open, and shows
uploaded HTML as a page of its own, whose scripts then act in its name. `guard` ends that. Sources: RFC 9110 and 7617
(401, Basic), RFC 6750 (Bearer), Fetch's Sec-Fetch-Site and Origin as Go's net/http.CrossOriginProtection judges them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from search.errors import SearchError, option

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_READS = ("GET", "HEAD", "OPTIONS")
_SHORTEST = 8
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",  # nobody lays a page of theirs over the dashboard's buttons
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""For what brings no policy of its own: opened as a page it runs no script, and reaches nothing."""


@dataclass(frozen=True, repr=False)
class Secret:
    """A token, or a user's name and password; never printed."""

    user: str | None
    word: str

    def admits(self, header: str) -> bool:
        """Whether an Authorization header carries it: Basic with any user's name, or Bearer, for a token.

        Compared in constant time, as digests, so that not even the length shows.
        """
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and self.user is None:
            return _same(given.strip(), self.word)
        if scheme.lower() != "basic":
            return False
        try:
            name, _, word = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        right_name = _same(name, self.user or name)
        return _same(word, self.word) and right_name


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(*(sha256(text.encode(errors="replace")).digest() for text in (given, expected)))


def read_secret(file: Path | None, variable: str | None) -> Secret | None:
    """The secret in `file` (--auth), or the one that the environment's SEARCH_AUTH is; None without either.

    Raises SearchError, which never repeats what was given: it may be the secret itself.
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
    """`app` for those who ask it under one of the names `hosts`, with the `secret`, and write from its own pages only.

    A name is needed against DNS rebinding: a page of any site may have its name lead here, and then counts as ours. An
    IP address in its place cannot be such a name. What `app` sends opens as no page unless it has a policy for that.
    """

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        if not _known(host, hosts):
            return _refuse(
                start_response, HTTPStatus.FORBIDDEN, f"this server is not known by that name: {option('allowed_host')}"
            )
        if secret is not None and not secret.admits(environ.get("HTTP_AUTHORIZATION", "")):
            ask = ("WWW-Authenticate", 'Basic realm="search", charset="UTF-8"')
            return _refuse(start_response, HTTPStatus.UNAUTHORIZED, "a token, or a user and password, is needed", ask)
        if _writes(environ) and not _own_page(environ, host):
            return _refuse(start_response, HTTPStatus.FORBIDDEN, "a page of another site must not write here")
        return app(environ, _hardened(environ["PATH_INFO"], start_response))

    return guarded


def read_only(app: WSGIApplication) -> WSGIApplication:
    """`app` for those who only look: every method that may write is refused."""

    def reading(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _writes(environ):
            allow = ("Allow", ", ".join(_READS))
            return _refuse(start_response, HTTPStatus.METHOD_NOT_ALLOWED, "this dashboard is read-only", allow)
        return app(environ, start_response)

    return reading


def mounted(app: WSGIApplication, prefix: str, other: WSGIApplication) -> WSGIApplication:
    """`app`, and `other`, which knows its own prefix, at `prefix` and below."""

    def chosen(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        return (other if path == prefix or path.startswith(f"{prefix}/") else app)(environ, start_response)

    return chosen


def _known(host: str, hosts: Collection[str]) -> bool:
    found = re.fullmatch(r"(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d+)?", host.lower())
    name = ((found[1] or found[2]) if found else "").rstrip(".")
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return name in hosts


def _writes(environ: WSGIEnvironment) -> bool:
    return str(environ["REQUEST_METHOD"]).upper() not in _READS


def _own_page(environ: WSGIEnvironment, host: str) -> bool:
    """Whether a request comes from the server's own page, or from no page: a browser says so, and nobody else need."""
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _hardened(path: str, start_response: StartResponse) -> StartResponse:
    """`start_response` with _HEADERS and a policy; a file of a user's is sent as an attachment."""

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        ours, uploaded = {**_HEADERS}, path.lstrip("/").startswith("artifacts/")
        if uploaded or not any(name.lower() == "content-security-policy" for name, _ in headers):
            ours["Content-Security-Policy"] = _SANDBOX
        if uploaded:
            ours["Content-Disposition"] = "attachment"
        replaced = {"access-control-allow-origin", *map(str.lower, ours)}
        kept = [(name, value) for name, value in headers if name.lower() not in replaced]
        return start_response(status, [*kept, *ours.items()], error)

    return start


def _refuse(
    start_response: StartResponse, status: HTTPStatus, reason: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    body = json.dumps({"reason": reason}).encode()  # as the dashboard's page shows it
    about = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *_HEADERS.items(), *headers]
    start_response(f"{status.value} {status.phrase}", about)
    return [body]
