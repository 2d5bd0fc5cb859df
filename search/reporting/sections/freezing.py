"""What freezing cost or gave: medians by set of frozen layers, among trials that began with weights."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from search.analysis.statistics import permutation
from search.analysis.view import StudyView
from search.format import format_number
from search.reporting.section import Section
from search.study.attributes import config_of, value_of


def section(view: StudyView) -> Section | None:
    groups: dict[str, list[float]] = defaultdict(list)
    for trial in view.done:
        config = config_of(trial)
        if "frozen" in config and config.get("weights") is not None:
            name = ", ".join(config["frozen"]) if isinstance(config["frozen"], (list, tuple)) else str(config["frozen"])
            groups[name or "nothing"].append(value_of(trial) or 0.0)
    kept = {name: np.array(values) for name, values in sorted(groups.items()) if len(values) >= 3}
    if len(kept) < 2:
        return None
    medians = ", ".join(
        f"{name} {format_number(float(np.median(values)))} ({len(values)} trials)" for name, values in kept.items()
    )
    p = permutation(list(kept.values()))
    verdict = "The medians differ" if p <= 0.05 else "The medians are statistically tied"
    return Section(
        f"Median {view.metric} by frozen layers: {medians}. {verdict} (permutation test, p = {p:.2g}); other settings "
        "differ, too.",
        comment=True,
    )
