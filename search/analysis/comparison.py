"""Studies side by side: whose best is better, whether the bests differ, and what each took to get there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from search.analysis.cost import machine_seconds
from search.analysis.statistics import LEVEL, difference, holm, wilson
from search.analysis.ties import bits_of, images_of, paired, right_of
from search.analysis.view import StudyView
from search.errors import SearchError
from search.study.attributes import TrialRecord, config_of, value_of

NEAR = 0.005
"""How near to the best of all is near: an absolute distance for a validation accuracy, else a share of the best."""


def views(studies: Sequence[Study]) -> list[StudyView]:
    """The studies, in their order. Raises SearchError unless they are two or more, each named once."""
    names = [study.study_name for study in studies]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SearchError(f"the study {twice[0]!r} is named twice")
    if len(names) < 2:
        raise SearchError("one study is not compared with anything: name two or more; `search status` lists them")
    return [StudyView(study) for study in studies]


def goal(view: StudyView) -> tuple[str, StudyDirection] | None:
    """What a study is ranked by; None for several objectives."""
    return None if view.several else (view.metric, view.study.direction)


def value(view: StudyView) -> float:
    """The value of the best trial, which there must be."""
    assert view.best is not None
    return value_of(view.best) or 0.0


def leader(of: Sequence[StudyView]) -> StudyView | None:
    """The study with the best trial, of those with the goal of the first that has a best."""
    ready = [view for view in of if view.best is not None]
    return max((view for view in ready if goal(view) == goal(ready[0])), key=lambda v: v.sign * value(v), default=None)


def curve(view: StudyView) -> list[tuple[float, float, float]]:
    """Seconds since the first trial began, machine seconds, best so far: after each completed trial.

    Machine seconds are those of all trials that had ended by then; time that the study lay idle counts as time.
    """
    begin = min((trial.datetime_start for trial in view.trials if trial.datetime_start is not None), default=None)
    ended = [(trial.datetime_complete, trial.number, trial) for trial in view.trials if trial.state.is_finished()]
    spent, best, points = 0.0, None, []
    for at, _, trial in sorted((at, number, trial) for at, number, trial in ended if at is not None):
        spent += machine_seconds(trial) or 0.0
        reached = value_of(trial) if trial.state == TrialState.COMPLETE else None
        if reached is not None and begin is not None:
            best = reached if best is None else view.sign * max(view.sign * best, view.sign * reached)
            points.append(((at - begin).total_seconds(), spent, best))
    return points


def rows(of: Sequence[StudyView]) -> list[dict[str, Any]]:
    """One row a study, under names that stay."""
    first = leader(of)
    tests = {id(view): _test(first, view) for view in of}
    paired_ones = [test for test in tests.values() if test["test"] == "mcnemar"]
    for test, p in zip(paired_ones, holm([test["p"] for test in paired_ones]), strict=True):
        test |= {"p": float(p), "told_apart": bool(p <= 1 - LEVEL)}
    return [_row(view, first) | tests[id(view)] for view in of]


def _row(view: StudyView, first: StudyView | None) -> dict[str, Any]:
    counts = Counter(trial.state for trial in view.trials)
    best = view.best
    images, right = (None, None) if best is None else (images_of(best), right_of(best))
    is_accuracy = images is not None and right is not None and view.by_accuracy
    low, high = wilson(right or 0, images or 1) if is_accuracy else (None, None)
    seconds, machine = _to_near(view, first)
    return {
        "study": view.name,
        "metric": ", ".join(view.metrics),
        "direction": ", ".join(direction.name.lower() for direction in view.study.directions),
        "best": None if best is None else value(view),
        "best_low": low,
        "best_high": high,
        "best_trial": None if best is None else best.number,
        "trials": len(view.trials) - counts[TrialState.WAITING],  # those only queued have not been tried
        **{state.name.lower(): counts[state] for state in TrialState},
        "machine_seconds": view.cost.spent,
        "saved_seconds": view.cost.saved,
        "gpu_hours": view.cost.gpu_hours,
        "seconds_to_near_best": seconds,
        "machine_seconds_to_near_best": machine,
    }


def _to_near(view: StudyView, first: StudyView | None) -> tuple[float | None, float | None]:
    """Time and machine seconds until a trial of `view` was near the best of all; None if none was."""
    if first is None or goal(view) != goal(first):
        return None, None
    far = NEAR if first.by_accuracy else NEAR * abs(value(first))
    found = (point for point in curve(view) if abs(point[2] - value(first)) <= far + 1e-12)
    seconds, machine, _ = next(found, (None, None, None))
    return seconds, machine


def _test(first: StudyView | None, view: StudyView) -> dict[str, Any]:
    """Whether the bests of two studies differ; `note` is why that is not tested."""
    found: dict[str, Any] = {"against": None, "difference": None, "difference_low": None, "difference_high": None}
    found |= {"test": None, "p": None, "told_apart": None, "note": ""}
    if view.best is None or first is None or first.best is None:
        return found | {"note": f"{len(view.metrics)} objectives" if view.several else "no best"}
    if view is first:
        return found | {"note": "the best"}
    if goal(view) != goal(first):
        return found | {"note": "not tested: another metric"}
    found |= {"against": first.name, "difference": value(view) - value(first)}
    if not view.by_accuracy:
        return found | {"note": "not tested: only accuracies are"}
    prints = [TrialRecord(best).data for best in (first.best, view.best)]
    if None not in prints and prints[0] != prints[1]:
        return found | {"note": "not tested: other data"}
    if None in prints and config_of(view.best).get("dataset") != config_of(first.best).get("dataset"):
        return found | {"note": "not tested: another data set"}
    images, right = (images_of(first.best), images_of(view.best)), (right_of(first.best), right_of(view.best))
    if None in images or None in right:
        return found | {"note": "not tested: of how many images is not recorded"}
    bits = [
        array for one, best in ((first, first.best), (view, view.best)) for array in bits_of(one.name, [best]).values()
    ]
    if images[0] == images[1] and len(bits) == 2 and None not in prints:
        return found | {"test": "mcnemar", "p": float(paired(bits[0], bits[1][None])[0])}
    low, high = difference(right[1] or 0, images[1] or 1, right[0] or 0, images[0] or 1)
    interval = {"difference_low": low, "difference_high": high}
    return found | interval | {"test": "newcombe", "told_apart": low > 0 or high < 0}
