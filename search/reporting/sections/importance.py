"""Which settings mattered, by PED-ANOVA and a permutation test, and which have their best at an end of their range."""

from __future__ import annotations

from search.analysis.censored import comparable
from search.analysis.importance import LEADERS, Edge, edges
from search.analysis.together import Together
from search.analysis.view import StudyView
from search.format import format_number, plural
from search.reporting.columns import code_span
from search.reporting.section import Section

MANY = 50
"""With fewer trials the section has a caveat."""


def section(view: StudyView) -> Section | None:
    found, pruned = view.effects, sum(map(comparable, view.pruned))
    count = len(view.done) + pruned
    if not found:
        return None
    kept = {name: effect for name, effect in found.items() if effect.shown}
    trials = f"{len(view.done)} completed" + (f" and {pruned} pruned trials, by their curves" if pruned else " trials")
    basis = f"of {trials}; permutation test, Holm over {plural(len(found), 'setting')}"
    if not kept:
        return Section(f"No setting is shown to matter ({basis}).", comment=True)
    ordered = sorted(kept.items(), key=lambda item: (-item[1].importance, item[1].p))
    listed = ", ".join(f"{code_span(name)} (importance {e.importance:.2f}, p = {e.p:.2g})" for name, e in ordered)
    text = f"What mattered: {listed} (PED-ANOVA, {basis})."
    rest = [f"{code_span(name)}" for name in found if name not in kept]
    text += f" Not shown to matter: {', '.join(rest)}." if rest else ""
    text += f" With fewer than {MANY} trials this is a hint." if count < MANY else ""
    return Section(text, comment=True)


def of_pairs(view: StudyView) -> Section | None:
    """Which settings act together."""
    if not view.together:
        return None
    data = [{"settings": [*pair.names], "best": "low" if pair.low else "high", "p": pair.p} for pair in view.together]
    said = " ".join(map(_of_pair, view.together))
    basis = "Freedman and Lane's permutation test, Holm over the pairs of numeric settings"
    return Section(f"{said} ({basis}.)", comment=True, data={"together": data})


def _of_pair(pair: Together) -> str:
    one, other = map(code_span, pair.names)
    side = "low" if pair.low else "high"
    return f"{one} and {other} act together (p = {pair.p:.2g}): where one is high, the other does best {side}."


def at_the_edge(view: StudyView) -> Section | None:
    """How far to widen a range."""
    found = edges(view.done)
    return Section("\n\n".join(_said(edge, len(view.done)) for edge in found), comment=True) if found else None


def _said(edge: Edge, count: int) -> str:
    values = ", ".join(map(format_number, edge.values))
    scale = " on its log scale" if edge.log else ""
    to = ", if it can be." if edge.wider is None else f", to {format_number(edge.wider)} for example."
    return (
        f"The best {LEADERS} of {count} trials have {code_span(edge.name)} within 5%{scale} of its "
        f"{'upper' if edge.upper else 'lower'} end, {format_number(edge.end)} ({values}): widen the range there{to}"
    )
