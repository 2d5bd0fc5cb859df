"""Numbers and times as a reader wants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def format_number(value: Any, digits: int = 4) -> str:
    """A float with `digits` significant digits or more and no trailing zeros; None as nothing, else its text.

    An integer is exact: a seed or a count that is rounded is another one.
    """
    if not isinstance(value, float):
        return "" if value is None else str(value)
    short = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in short and abs(value) < 1e6 else short  # 12800, not 1.28e+04


def setting(value: Any) -> str:
    """The value of a setting in words: None is said, and several names stand side by side."""
    if isinstance(value, (list, tuple)):
        return layers(map(str, value)) or "none"
    return "None" if value is None else format_number(value)


def measured(value: float) -> str:
    """A measurement with four places, or, where these would be zeros or many digits, with four significant ones."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds as text: 8.3 s, 4 min 05 s, 2 h 10 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, noun: str, verb: str = "") -> str:
    """A count with its noun, and with the verb "be" in that tense: 1 trial, 3,068 images, 1 trial is, 2 trials were."""
    forms = {"is": "are", "was": "were"}
    said = f"{count:,} {noun}{'' if count == 1 else 's'}"
    return f"{said} {verb if count == 1 else forms[verb]}" if verb else said


def layers(names: Iterable[str]) -> str:
    """Layers' names, three or more that are numbered in a row as ``blocks.0 to 5``."""
    rows: list[list[str]] = []
    for name in names:
        stem, _, number = name.rpartition(".")
        follows = number.isdigit() and rows and rows[-1][-1] == f"{stem}.{int(number) - 1}"
        if follows:
            rows[-1].append(name)
        else:
            rows.append([name])
    said = [f"{row[0]} to {row[-1].rpartition('.')[2]}" if len(row) > 2 else ", ".join(row) for row in rows]
    return ", ".join(said)
