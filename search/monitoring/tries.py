"""Wrong passwords, and how long whoever gives them has to wait."""

from __future__ import annotations

import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE = 5
"""So many wrong passwords in a row cost nothing."""
LONGEST = 60.0
"""Seconds of the longest wait. The first is one second, and each further one is twice as long."""
_FORGOTTEN = 900.0
"""Seconds after which an address counts as new."""
_MOST = 10_000
"""Addresses and visitors that are kept in mind."""
COOKIE = "search-visitor"


@dataclass
class _Wrong:
    count: int = 0
    until: float = 0.0
    """When the next try is heard."""
    last: float = 0.0


class Tries:
    """Counts wrong passwords by address. While an address has to wait, no password from it is looked at.

    Who had the right one carries a visitor's number, and does not wait for what others at the same address do.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()
        self._visitors: OrderedDict[str, None] = OrderedDict()

    def wait(self, address: str, visitor: str) -> float:
        """Seconds for which no password of this address is looked at; 0 for a known visitor."""
        with self._lock:
            known = self._wrong.get(_network(address))
            if known is None or visitor in self._visitors:
                return 0.0
            return max(0.0, known.until - self._now())

    def wrong(self, address: str) -> None:
        """The address gave a wrong password."""
        with self._lock:
            now, name = self._now(), _network(address)
            found = self._wrong.pop(name, _Wrong())
            if now - found.last > _FORGOTTEN:
                found = _Wrong()
            self._wrong[name] = found
            found.count, found.last = found.count + 1, now
            if found.count > FREE:
                found.until = now + min(LONGEST, 2.0 ** min(found.count - FREE - 1, 30))
            while len(self._wrong) > _MOST:
                self._wrong.popitem(last=False)

    def right(self, address: str, visitor: str) -> str:
        """The address gave the right password. Returns a new visitor's number, or nothing for a known visitor."""
        with self._lock:
            if visitor in self._visitors:
                return ""
            self._wrong.pop(_network(address), None)
            number = secrets.token_hex(16)
            self._visitors[number] = None
            while len(self._visitors) > _MOST:
                self._visitors.popitem(last=False)
            return number


def _network(address: str) -> str:
    """The address, or the network of 64 bits that an IPv6 address stands for: whoever has one has all of it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
