"""Studies side by side: reports/A-vs-B.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.analysis import comparison
from search.analysis.view import StudyView
from search.files.atomic import file_name, write_text
from search.format import duration, format_number
from search.reporting import table
from search.reporting.columns import escape_cell, image
from search.reporting.page import VERSUS

TOP = 5
"""Rows of each study's own table."""


def overall(found: Sequence[dict[str, Any]]) -> str:
    """The table in all, of `rows`, as Markdown."""
    lines = []
    for row in found:
        near, machine = row["seconds_to_near_best"], row["machine_seconds_to_near_best"]
        line = {"Study": row["study"], "Metric": row["metric"], "Best": _best(row), "Against the best": _verdict(row)}
        line |= {name: str(row[name.lower()]) for name in ("Trials", "Complete", "Pruned", "Fail")}
        line |= {
            "Machine time": duration(row["machine_seconds"]),
            "GPU-hours": format_number(row["gpu_hours"], 3) if any(other["gpu_hours"] for other in found) else None,
            "Time to within 0.5%": "" if near is None else duration(near),
            "Machine time to it": "" if machine is None else duration(machine),
        }
        lines.append({name: text for name, text in line.items() if text is not None})
    return table.listing(lines)


def _best(row: dict[str, Any]) -> str:
    if row["best"] is None:
        return ""
    if row["best_low"] is None:
        return f"{format_number(row['best'])}, trial {row['best_trial']}"
    return f"{row['best']:.4f} ({row['best_low']:.3f} to {row['best_high']:.3f}), trial {row['best_trial']}"


def _verdict(row: dict[str, Any]) -> str:
    if row["test"] is None:
        return str(row["note"])
    what = "differs" if row["told_apart"] else "statistically tied"
    if row["test"] == "mcnemar":
        return f"{what} (McNemar, p = {row['p']:.2g})"
    return f"{what} (Newcombe, {row['difference_low']:+.4f} to {row['difference_high']:+.4f})"


_METHODS = {
    "mcnemar": "McNemar: exact test on the same images, Holm over the studies, 5%.",
    "newcombe": "Newcombe: 95% interval of the difference of two shares, where predictions are missing, or where it is "
    "not known that the images are the same; it is wider than need be if they are.",
}
_LIMIT = "Each best was picked among its study's trials, so of two equally good studies the longer one looks better."


def _method(found: Sequence[dict[str, Any]]) -> str:
    """What the tests in the table are, and what they do not account for."""
    used = {row["test"] for row in found}
    said = [text for name, text in _METHODS.items() if name in used]
    return " ".join([*said, _LIMIT] if said else [])


def write(of: Sequence[StudyView], folder: Path) -> tuple[Path, str]:
    """Write `folder`/<A>-vs-<B>.md and its picture; returns the page's path and the table in all."""
    from search.reporting.plots import best_over_time  # late: matplotlib takes a second to import

    found = comparison.rows(of)
    names = [view.name for view in of]
    plain = all(file_name(name) == name and VERSUS not in name for name in names)
    name = file_name(VERSUS.join(names), None if plain else json.dumps(names))
    ranking = overall(found)
    parts = [f"# {escape_cell(' against '.join(names))}", ranking, _method(found)]
    picture = best_over_time.draw(of, folder / f"{name}_files")
    if picture is not None:
        reached = ", ".join(f"{row['study']} {_best(row)}" for row in found if row["best"] is not None)
        alt = f"best so far of each study over time and over machine time; in the end {reached}"
        parts.append(image(alt, picture.relative_to(folder)))
    for view in of:  # the ties of each are on its own page
        parts += [f"## {escape_cell(view.name)}", table.markdown(view, rows=TOP, ties=False)]
    path = folder / f"{name}.md"
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path, ranking
