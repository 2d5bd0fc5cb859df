"""Which trials were made by which code of a train() of one's own, where that has changed."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.section import Section
from search.study.code import letters, ranges, versions


def section(view: StudyView) -> Section | None:
    made = versions(view.trials) if view.record.own_train else {}
    data = {"code": made} if any(made) else {}
    if len(made) < 2:
        return Section("", data=data) if data else None
    names = letters(view.trials)
    parts = [f"{names[code]} made the trials {ranges(made[code])}" for code in made if code]
    parts += [f"of {ranges(made[''])} it is not known"] if "" in made else []
    text = f"The code of train() changed while the study was made: {'; '.join(parts)}. "
    return Section(f"{text}Rows of different codes do not compare settings alone.", data=data)
