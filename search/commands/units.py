"""Times, sizes and budgets as people write them, and what the verbs take where nobody says otherwise."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from search.errors import SearchError

if TYPE_CHECKING:
    from search.study.stopping import Budget

STORAGE = "sqlite:///studies.db"
DATA_ROOT, REPORTS, RUN_DIR = "data", "reports", "runs"
CACHE_SIZE = "20G"
MAX_FAILURES = 10
TOP, SEEDS = 3, 3


def seconds(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*([smh]?)", text.strip(), re.ASCII)
    if not match or float(match[1]) == 0:
        raise SearchError(f"{option} {text}: write a time such as 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def budget(text: str | None) -> Budget | None:
    if text is None:
        return None
    from search.study.stopping import Budget

    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(gpu|cpu)([hm])", text.strip().lower(), re.ASCII)
    if not match or float(match[1]) == 0:
        raise SearchError(f"--budget {text}: write a time of devices such as 4gpuh, 90gpum or 16cpuh")
    return Budget(float(match[1]) / {"h": 1, "m": 60}[match[3]], "gpu" if match[2] == "gpu" else "cpu")


def finite(value: float | None, option: str) -> float | None:
    if value is not None and not math.isfinite(value):
        raise SearchError(f"{option} {value}: write a number such as 0.95")
    return value


def gpus(text: str | None) -> float | Literal["auto"] | None:
    if text is None:
        return None
    if text.strip() == "auto":
        return "auto"
    if not re.fullmatch(r"\d{1,5}(\.\d*)?|\.\d+", text.strip(), re.ASCII):
        raise SearchError(f"--gpus-per-trial {text}: write a number such as 1 or 0.25, or auto")
    return float(text)


def bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,20}(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper(), re.ASCII)
    if not match:
        raise SearchError(f"--cache-size {text}: write a size such as 500M or 20G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


def cluster(address: str | None) -> str | None:
    """The address of a Ray cluster. Raises SearchError."""
    if address is None or address == "auto" or re.fullmatch(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", address):
        return address
    if address.startswith("ray://"):
        raise SearchError(
            f"--address {address}: Ray Tune's driver runs on a node of its cluster: go there and say auto, or "
            "from here `search submit SPACE --address http://HEAD:8265`"
        )
    raise SearchError(f"--address {address}: write it as auto or HOST:PORT, which `ray start --head` prints")
