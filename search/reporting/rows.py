"""Rows as JSON and as CSV, for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from search.errors import visible

_NUMBERS = re.compile(r"[-+0-9.eE ]*\d[-+0-9.eE ]*")


def to_json(content: Any) -> str:
    """JSON, in which what is no finite number is null, and what would act in a terminal is escaped."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)  # a newline is JSON's own


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(name): _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV with one line a row; what is nested gets a column a part, such as config.lr.

    The `values` of several `objectives` stand in a column each, and not in one without names.
    """
    flat = [_flat({name: row[name] for name in row if name != "values" or "objectives" not in row}) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_csv_cell, names))
    writer.writerows([_csv_cell(row.get(name)) for name in names] for row in flat)
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """A cell of a table: text on one line, which no program that opens the table takes for a formula."""
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if re.match(r"[=+\-@]", shown) and not _NUMBERS.fullmatch(shown) else shown


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}.{part}": inner for part, inner in _flat(value).items()}
        elif isinstance(value, (list, tuple)):
            cells[name] = " ".join(map(str, value))
        else:
            cells[name] = value
    return cells
