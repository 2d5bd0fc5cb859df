"""Which images and weights the study is of: how many, what was left out, and what is doubtful."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.columns import escape_cell
from search.reporting.section import Section

FIRST = 3
"""So many names of the same weights are listed."""


def section(view: StudyView) -> Section | None:
    stored = [about for about in view.record.data.values() if isinstance(about, dict)]  # others write there, too
    lines = [str(line) for about in stored for line in about.get("said", ())]
    named: dict[str, list[str]] = {}  # a space of several models and sides has one file under many names
    for name, digest in view.record.weights.items():
        named.setdefault(str(digest), []).append(name)
    lines += [f"weights of {_listed(names)}: {digest}, by their content" for digest, names in named.items()]
    return Section("\n".join(f"- {escape_cell(line)}" for line in lines), title="Images") if lines else None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:FIRST]) + (f" and {len(names) - FIRST} more" if len(names) > FIRST else "")
