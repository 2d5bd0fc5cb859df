"""What each change of the best trial against a hand-tuned row is worth, by `search confirm --ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from search.analysis.confirmation import Row
from search.analysis.statistics import welch
from search.analysis.view import StudyView
from search.format import setting
from search.reporting.columns import escape_cell
from search.reporting.section import Section
from search.reporting.sections.confirmation import missing, spread
from search.reporting.table import listing
from search.study.attributes import config_of


def section(view: StudyView) -> Section | None:
    if view.confirms is not None or not view.ablated:
        return None
    data = [
        {"of": row.of, **(row.put_back or {}), "seeds": row.seeds, "val_acc": row.val, "test_acc": row.test}
        | {"failed": row.failed}
        for row in view.ablated
    ]
    return Section(found(view), "What each change is worth", data={"ablated": data})


def found(view: StudyView) -> str:
    """A table of the settings put back, for each trial that was the best when it was asked for; empty without."""
    parts = []
    for of, row in sorted({(row.of, _row(row)) for row in view.ablated}, key=str):
        rows = [other for other in view.ablated if (other.of, _row(other)) == (of, row)]
        parts += [_head(of, row), _table(view, rows)]
    return "\n\n".join(parts)


def _row(row: Row) -> str:
    return str((row.put_back or {}).get("row"))


def _head(of: int | str, row: str) -> str:
    return (
        f"Trial {of} with one setting at a time put back to that of the hand-tuned {escape_cell(row)}, with the same "
        "new seeds. WORTH is the test accuracy of the trial less that with the setting put back, and its 95% "
        "interval (Welch's t-test). An interval that holds 0 shows no effect with so few seeds. Settings that act "
        "together do not add up."
    )


def _table(view: StudyView, rows: Sequence[Row]) -> str:
    whole = next((row for row in view.confirmed if row.of == rows[0].of), None)
    lines = []
    for row in sorted(rows, key=lambda row: mean(row.test) if row.test else 1.0):
        settings = (row.put_back or {}).get("settings", {})
        kept = config_of(view.trials[row.of]) if isinstance(row.of, int) else {}
        lines.append(
            {
                "Setting": ", ".join(settings),
                "Trial": ", ".join(setting(kept.get(name)) for name in settings),
                "Put back": ", ".join(map(setting, settings.values())),
                "SEEDS": ", ".join(map(str, sorted(row.seeds))) + missing(row),
                "VALIDATION ACC": spread(row.val),
                "TESTING ACC": spread(row.test),
                "WORTH": _worth(whole.test if whole else [], row.test),
            }
        )
    return listing(lines)


def _worth(whole: Sequence[float], put_back: Sequence[float]) -> str:
    if not whole or not put_back:
        return ""
    result = welch(whole, put_back)
    interval = f" ({result[1]:+.4f} to {result[2]:+.4f})" if result else ""
    return f"{mean(whole) - mean(put_back):+.4f}{interval}"
