"""What earlier studies gave, on made-up studies."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from search.analysis.view import StudyView
from search.reporting.sections import learnt


def made(trials: list[tuple[Any, Any]], names: Any) -> str:
    """What is said of trials with such a value, None of one that was pruned, and such names."""
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "score")
    study.set_user_attr("learnt", names)
    for value, promised in trials:
        attrs = {} if promised is None else {"learnt": promised}
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(value=value, state=state, user_attrs=attrs))
    section = learnt.section(StudyView(study))
    return section.text if section else ""


def test_the_best_that_was_promised_stands_against_the_best_of_all_others() -> None:
    text = made([(0.5, ["a"]), (0.9, None), (0.8, ["a", "b|c"]), (None, ["a"])], ["a", "b|c"])
    assert text == (
        "Learnt from earlier studies: a, b\\|c. They promised 3 points: 2 completed, 1 pruned. The best "
        "of them, trial 2, has score 0.8; the best of all others, trial 1, has 0.9."
    )
    assert made([(0.5, ["a"])], ["a"]).endswith("trial 0, has score 0.5; no other trial completed.")


def test_what_was_withdrawn_is_counted() -> None:
    text = made([(None, ["a"]), (0.9, []), (0.8, [])], ["a"])
    assert "They promised 3 points: 1 pruned." in text
    assert text.endswith("2 points went to the sampler instead.")
    assert "They promised 1 point. The first" in made([(0.8, []), (0.5, None)], ["a"])


def test_what_failed_or_still_waits_is_counted() -> None:
    study = optuna.create_study(study_name="made")
    study.set_user_attr("learnt", ["a"])
    study.enqueue_trial({"x": 1.0}, user_attrs={"learnt": ["a"]})
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"learnt": ["a"]}))
    section = learnt.section(StudyView(study))
    assert section is not None
    assert section.text == "Learnt from earlier studies: a. They promised 2 points: 1 failed, 1 not yet ended."


def test_nothing_is_said_of_a_study_that_learnt_nothing() -> None:
    assert made([(0.5, None)], []) == made([(0.5, None)], None) == made([(0.5, None)], "a") == ""
