"""How much each setting matters."""

from __future__ import annotations

from matplotlib.figure import Figure

from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    """A bar a setting, where one of them is shown to matter."""
    if not any(effect.shown for effect in view.effects.values()):
        return None
    ordered = sorted(view.effects.items(), key=lambda item: item[1].importance)
    figure = Figure(figsize=(6.5, 0.9 + 0.32 * len(ordered)))
    axes = figure.subplots()
    weights = [effect.importance for _, effect in ordered]
    bars = axes.barh(
        range(len(ordered)), weights, color=[canvas.DONE if effect.shown else canvas.FADED for _, effect in ordered]
    )
    axes.bar_label(bars, [f"p = {effect.p:.2g}" for _, effect in ordered], padding=4, fontsize=8.5)
    axes.set_yticks(range(len(ordered)), [canvas.short(name, 28) for name, _ in ordered])
    axes.set_xlim(0, max(weights) * 1.15)
    axes.set_xlabel("importance (PED-ANOVA), a share")
    axes.grid(visible=False, axis="y")
    text = "The settings that are shown to matter in blue, the others in grey; p of the permutation test."
    return Section(text, "What mattered", figure)
