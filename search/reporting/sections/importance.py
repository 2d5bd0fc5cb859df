"""Which settings mattered: importance is PED-ANOVA's, and a permutation test must support it."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.section import Section

MANY = 50
"""With fewer completed trials the section has a caveat."""


def section(view: StudyView) -> Section | None:
    found, count = view.effects, len(view.done)
    if not found:
        return None
    kept = {name: effect for name, effect in found.items() if effect.shown}
    basis = f"of {count} completed trials; permutation test, Holm over {len(found)} settings"
    if not kept:
        return Section(f"No setting is shown to matter ({basis}).", comment=True)
    ordered = sorted(kept.items(), key=lambda item: (-item[1].importance, item[1].p))
    listed = ", ".join(f"`{name}` (importance {e.importance:.2f}, p = {e.p:.2g})" for name, e in ordered)
    text = f"What mattered: {listed} (PED-ANOVA, {basis})."
    rest = [f"`{name}`" for name in found if name not in kept]
    text += f" Not shown to matter: {', '.join(rest)}." if rest else ""
    text += f" With fewer than {MANY} completed trials this is a hint." if count < MANY else ""
    return Section(text, comment=True)
