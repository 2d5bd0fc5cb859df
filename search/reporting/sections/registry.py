"""The sections of a report, in their order: to add one, write its file and its line here."""

from __future__ import annotations

from collections.abc import Callable

from search.analysis.view import StudyView
from search.reporting.section import Section
from search.reporting.sections import (
    ablation,
    classes,
    confirmation,
    freezing,
    front,
    gains,
    images,
    importance,
    learnt,
    prospect,
    pruning,
    ties,
    trials,
)

SECTIONS: tuple[Callable[[StudyView], Section | None], ...] = (
    ties.section,
    front.section,
    trials.section,
    trials.of_test_split,
    gains.section,
    importance.section,
    importance.of_pairs,
    importance.at_the_edge,
    freezing.section,
    pruning.section,
    pruning.of_audit,
    learnt.section,
    prospect.section,
    gains.rows,
    trials.failed,
    trials.of_code,
    images.section,
    classes.section,
    confirmation.section,
    ablation.section,
)
"""Under the ranked table; those with a title follow those without."""

OF_SEEDS: tuple[Callable[[StudyView], Section | None], ...] = (
    confirmation.of_seeds,
    trials.section,
    trials.failed,
    confirmation.seed_by_seed,
)
"""Of a study that confirms another, which has no ranking: no seed is better than another."""


def sections(view: StudyView) -> list[Section]:
    """What there is to say of the study, in the order of the page."""
    listed = SECTIONS if view.confirms is None else OF_SEEDS
    return [made for section in listed if (made := section(view)) is not None]
