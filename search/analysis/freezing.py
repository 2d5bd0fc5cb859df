"""What freezing cost or gave: medians by set of frozen layers, among trials that began with weights."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

import numpy as np

from search.analysis.statistics import permutation
from search.analysis.view import StudyView
from search.format import layers
from search.study.attributes import config_of, value_of

LEAST = 3
"""A set of layers with fewer trials is left out."""


def by_frozen_layers(view: StudyView) -> tuple[dict[str, tuple[float, int]], float] | None:
    """Frozen layers to the median and the number of trials, and a permutation test's p; None for less than two sets."""
    groups: dict[str, list[float]] = defaultdict(list)
    for trial in view.done:
        config = config_of(trial)
        if "frozen" in config and config.get("weights") is not None:
            name = layers(config["frozen"]) if isinstance(config["frozen"], (list, tuple)) else str(config["frozen"])
            groups[name or "nothing"].append(value_of(trial) or 0.0)
    kept = {name: values for name, values in sorted(groups.items()) if len(values) >= LEAST}
    if len(kept) < 2:
        return None
    p = permutation([np.array(values) for values in kept.values()])
    return {name: (median(values), len(values)) for name, values in kept.items()}, p
