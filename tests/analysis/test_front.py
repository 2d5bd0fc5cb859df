"""The front of several objectives as numbers, of studies made by hand."""

from __future__ import annotations

from datetime import datetime, timedelta

import optuna
import pytest
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState, create_trial

from search.analysis import front
from search.analysis.view import StudyView

NOON = datetime(2026, 1, 1)


def study_of(*values: tuple[float, ...], directions: tuple[str, ...] = ("maximize", "minimize")) -> Study:
    study = optuna.create_study(directions=[StudyDirection[way.upper()] for way in directions])
    for place, found in enumerate(values):
        trial = create_trial(values=list(found), state=TrialState.COMPLETE)
        trial.datetime_complete = NOON + timedelta(minutes=place)
        study.add_trial(trial)
    return study


def test_the_best_under_each_limit_is_a_staircase() -> None:
    view = StudyView(study_of((0.9, 9.0), (0.5, 1.0), (0.7, 4.0), (0.6, 5.0), (0.7, 4.0), (0.95, 30.0)))
    steps = [(step.limit, step.best, step.trial.number) for step in front.under(view, 1)]
    assert steps == [(1.0, 0.5, 1), (4.0, 0.7, 2), (9.0, 0.9, 0), (30.0, 0.95, 5)]


def test_where_more_of_the_further_is_better_the_tightest_limit_is_the_highest() -> None:
    view = StudyView(study_of((0.9, 1.0), (0.5, 9.0), directions=("maximize", "maximize")))
    assert [(step.limit, step.best) for step in front.under(view, 1)] == [(9.0, 0.5), (1.0, 0.9)]


def test_within_limits_the_best_keeps_all_of_them() -> None:
    study = study_of((0.9, 9.0, 1.0), (0.8, 5.0, 3.0), (0.7, 4.0, 1.0), directions=("maximize", "minimize", "minimize"))
    study.set_user_attr("metric_names", 1)
    view = StudyView(study)
    names = view.metrics
    assert [trial.number for trial in [front.within(view, {names[1]: 5.0})] if trial] == [1]
    assert [trial.number for trial in [front.within(view, {names[1]: 5.0, names[2]: 2.0})] if trial] == [2]
    assert front.within(view, {names[1]: 1.0}) is None
    assert front.within(view, {"unknown": 1.0}) is None


def test_the_hypervolume_grows_only_and_is_that_of_the_rectangles() -> None:
    """Worst (0, 10), best (1, 0): each unit square of the normalised plane counts."""
    grown = front.growth(StudyView(study_of((0.0, 0.0), (0.5, 5.0), (0.2, 8.0), (1.0, 10.0), (0.8, 2.0))))
    assert grown is not None
    # (loss of quality, share of cost): (1, 0), (0.5, 0.5), (0.8, 0.8), (0, 1), (0.2, 0.2)
    assert grown.shares == pytest.approx([0.0, 0.25, 0.25, 0.25, 0.64])


def test_three_objectives_agree_with_a_count_of_cells() -> None:
    import itertools

    import numpy as np

    rng = np.random.default_rng(0)
    points = rng.integers(0, 11, (12, 3))
    points[0], points[1] = (0, 10, 10), (10, 0, 0)
    grown = front.growth(StudyView(study_of(*(tuple(map(float, p)) for p in points), directions=("minimize",) * 3)))
    assert grown is not None
    low, high = points.min(0), points.max(0)
    cells = list(itertools.product(*(range(a, b) for a, b in zip(low, high, strict=True))))
    beaten = sum(any((p <= c).all() for p in points) for c in map(np.array, cells))
    assert grown.shares[-1] == pytest.approx(beaten / len(cells))


def test_what_spans_no_volume_has_no_growth() -> None:
    assert front.growth(StudyView(study_of((0.5, 1.0), (0.7, 1.0)))) is None
    assert front.growth(StudyView(study_of((0.5, 1.0)))) is None
    assert front.growth(StudyView(study_of((float("inf"), 1.0), (0.7, 2.0)))) is None
    assert front.under(StudyView(study_of()), 1) == []
