"""Times, sizes, budgets and folders as people write them, and what they mean.

Each function takes what was written and the option's name, for the SearchError that it raises.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search.errors import SearchError, option

if TYPE_CHECKING:
    from search.files.locations import Where
    from search.study.ending.stopping import Budget


def seconds(text: str | float | None, name: str) -> float | None:
    """A number without a unit is one of seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*([smh]?)", str(text).strip(), re.ASCII)
    if not match:
        raise SearchError(f"{option(name, text)}: write a time such as 90s, 30m or 2h")
    if float(match[1]) == 0:
        raise SearchError(f"{option(name, text)}: it must be more than 0; without the option there is no limit")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def budget(text: str | None, name: str) -> Budget | None:
    if text is None:
        return None
    from search.study.ending.stopping import Budget

    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(gpu|cpu)([hm])", str(text).strip().lower(), re.ASCII)
    if not match or float(match[1]) == 0:
        raise SearchError(f"{option(name, text)}: write a time of devices such as 4gpuh, 90gpum or 16cpuh")
    return Budget(float(match[1]) / {"h": 1, "m": 60}[match[3]], "gpu" if match[2] == "gpu" else "cpu")


def patience(word: int | str | None, name: str) -> int | Literal["auto"] | None:
    if word is None or (isinstance(word, str) and word.strip() == "auto"):
        return None if word is None else "auto"
    if not re.fullmatch(r"\d{1,9}", str(word).strip(), re.ASCII) or not int(word):
        raise SearchError(f"{option(name, word)}: write a whole number from 1 on, or auto")
    return int(word)


def numbers(given: int | Sequence[int], name: str) -> Sequence[int]:
    """Numbers of trials, each once."""
    found = [given] if isinstance(given, int) else list(given)
    for number in found:
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise SearchError(f"{option(name, number)}: write a trial's number, such as 7")
    return list(dict.fromkeys(found))


def finite(value: float | None, name: str) -> float | None:
    if value is not None and not math.isfinite(value):
        raise SearchError(f"{option(name, value)}: write a number such as 0.95")
    return value


def gpus(word: float | str | None, name: str) -> float | Literal["auto"] | None:
    if word is None:
        return None
    text = str(word).strip()
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"\d{1,5}(\.\d*)?|\.\d+", text, re.ASCII):
        raise SearchError(f"{option(name, word)}: write a number such as 1 or 0.25, or auto")
    if 0 < float(text) < 0.0001:
        raise SearchError(f"{option(name, word)}: Ray counts a GPU in shares of 0.0001, so that is the least")
    return float(text)


def bytes(text: str | int, name: str) -> int:
    match = re.fullmatch(r"(\d{1,20}(?:\.\d+)?)\s*([KMGT]?)B?", str(text).strip().upper(), re.ASCII)
    if not match:
        raise SearchError(f"{option(name, text)}: write a size such as 500M or 20G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


def cluster(address: str | None, name: str) -> str | None:
    """The address of a Ray cluster."""
    if address is None or address == "auto" or re.fullmatch(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", address):
        return address
    if address.startswith("ray://"):
        raise SearchError(
            f"{option(name, address)}: Ray Tune's driver runs on a node of its cluster: go there and say auto, or "
            "from here `search submit SPACE --address http://HEAD:8265`"
        )
    raise SearchError(f"{option(name, address)}: write it as auto or HOST:PORT, which `ray start --head` prints")


def settings(fixed: Mapping[str, Any] | Sequence[str], name: str) -> Sequence[str]:
    """Settings to fix, each as NAME=VALUE."""
    return [f"{key}={value}" for key, value in fixed.items()] if isinstance(fixed, Mapping) else list(fixed)


def path(word: str | Path, name: str) -> Path:
    return Path(word)


def data_root(word: str | Path, name: str) -> Path:
    """The folder with the data sets, absolute; it need not be there, for some come with a library."""
    folder = Path(word)
    if folder.exists() and not folder.is_dir():
        raise SearchError(f"{option(name, folder)}: that is a file; name the folder that holds the data sets")
    return folder.resolve()


def code(words: Sequence[str | Path], name: str) -> list[Path]:
    """The Python files that the user chooses to run; each is there."""
    files = [Path(word) for word in words]
    for file in files:
        if not file.is_file():
            raise SearchError(f"{option(name, file)}: no such file; name the Python file itself")
    return files


def run_dir(word: str | Path, name: str) -> Where:
    """A folder, as a path, or the URL of one in an object store."""
    text = str(word)
    scheme, separator, rest = text.partition("://")
    if re.match(r"[a-z][a-z0-9+.-]+:/(?!/)", text):  # a Path has made one slash of two
        raise SearchError(f"{option(name, text)}: a URL is text with two slashes, such as s3://bucket/folder")
    if not separator or scheme in ("file", "local"):
        return Path(rest if separator else word)
    login, at, _ = rest.partition("/")[0].rpartition("@")
    if ":" in login or "?" in rest:
        shown = f"{scheme}://{login.partition(':')[0]}{':***@' if at else ''}..."
        raise SearchError(f"{option(name, shown)}: no password and no ? in it; the environment has what is secret")
    if ":" in scheme or scheme == "memory" or not rest.strip("/"):
        raise SearchError(f"{option(name, text)}: name a folder of an object store, such as s3://bucket/folder")
    return text.rstrip("/")


def written(file: Path, name: str) -> Path:
    """`file`, which can be written."""
    from search.files.locations import written_to

    if file.is_dir():
        raise SearchError(f"{option(name, file)}: that is a folder; name the file to write")
    written_to(file.parent, name)
    return file
