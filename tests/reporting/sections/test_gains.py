"""Comments on made-up studies whose truth is known."""

from __future__ import annotations

import numpy as np
import optuna
from conftest import add_predictions
from optuna.study import Study
from optuna.trial import create_trial

from search.analysis.view import StudyView
from search.reporting.sections.registry import sections
from search.space.baselines import Baseline
from search.study.attributes import StudyRecord


def comments(study: Study) -> list[str]:
    """As `search report --json` lists them."""
    made = [section for section in sections(StudyView(study)) if section.comment]
    return [text for section in made for text in section.text.split("\n\n") if text]


def said(study: Study, word: str) -> str:
    """The one comment with `word`; empty if there is none."""
    found = [text for text in comments(study) if word in text]
    assert len(found) <= 1
    return found[0] if found else ""


def test_a_study_of_three_trials_gets_no_comment() -> None:
    study = optuna.create_study(study_name="made", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert comments(study) == []
    assert comments(optuna.create_study()) == []


def test_freezing_by_medians() -> None:
    study = optuna.create_study(study_name="made", direction="maximize")
    for i in range(8):
        for frozen, base in (([], 0.8), (["features"], 0.6)):
            attrs = {"config": {"frozen": frozen, "weights": "DEFAULT"}}
            study.add_trial(create_trial(value=base + i / 100, user_attrs=attrs))
    study.add_trial(create_trial(value=0.1, user_attrs={"config": {"frozen": [], "weights": None}}))
    text = said(study, "frozen")
    assert "features 0.635 (8 trials), nothing 0.835 (8 trials)" in text
    assert "The medians differ (permutation test, p = 0.001)" in text


def test_freezing_that_does_nothing() -> None:
    generator, wrong = np.random.default_rng(0), 0
    for _ in range(40):
        study = optuna.create_study(study_name="made", direction="maximize")
        for i in range(20):
            attrs = {"config": {"frozen": ["features"] * (i % 2), "weights": "DEFAULT"}}
            study.add_trial(create_trial(value=float(generator.random()), user_attrs=attrs))
        wrong += "The medians differ" in said(study, "frozen")
    assert wrong <= 5


def against(right: int, hand: float, images: int | None = 1000) -> str:
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "val_acc")
    StudyRecord(study).baselines = [Baseline("Low", {}, None, 0.1, None), Baseline("Base", {}, None, hand, None)]
    attrs = {"epoch": {"val_acc": right / 1000}, "val_images": images}
    study.add_trial(create_trial(value=0.999, user_attrs={"baseline": "Base"}))  # no gain of the search's
    study.add_trial(create_trial(value=right / 1000, user_attrs=attrs))
    return said(study, "hand-tuned")


def test_the_gain_over_the_best_baseline() -> None:
    text = against(900, 0.85)
    assert text.startswith("Trial 1 has 0.9000, the best hand-tuned row (Base) 0.8500: +0.0500, 95% interval +0.02")
    assert text.endswith("(Newcombe, 1000 images).")
    assert "which holds 0" in against(855, 0.85)
    assert "-0.0500" in against(800, 0.85)
    assert "no interval" in against(900, 0.85, images=None)
    assert "no interval" in against(900, 0.85432)


def beside(ours: int, theirs: int, both: int, bits: bool = True, row: str = "Base") -> list[str]:
    """Of 1000 images the best trial names `ours` right, the row trained here `theirs`, both `both`."""
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "val_acc")
    StudyRecord(study).baselines = [Baseline(row, {}, None, 0.8, None)]
    for number, (right, names) in enumerate(((theirs, {"baseline": "Base"}), (ours, {}))):
        attrs = {"epoch": {"val_acc": right / 1000}, "val_images": 1000, **names}
        study.add_trial(create_trial(value=right / 1000, user_attrs=attrs))
        named = np.arange(1000) < right if number == 0 else (np.arange(1000) + ours - both) % 1000 < right
        if bits:
            add_predictions("made", number, named)
    return comments(study)


def test_the_gain_over_a_row_that_was_trained_here_is_paired() -> None:
    (text,) = beside(900, 880, 870)
    assert text == (
        "On the same 1000 images trial 1 is right on 30 where the hand-tuned row Base, trained here as trial 0, is "
        "wrong, and wrong on 10 where the row is right: +0.0200, 95% interval +0.0075 to +0.0331 (Newcombe, paired)."
    )
    assert beside(900, 899, 870)[0].endswith("which holds 0: neither a gain nor a loss is shown.")
    assert "(Newcombe, 1000 images)" in beside(900, 880, 870, bits=False)[0]
    two = beside(900, 880, 870, row="Another, not trained here")
    assert [text.partition(" ")[0] for text in two] == ["Trial", "On"]


def test_several_objectives_get_no_comment() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(create_trial(values=[1.0, 2.0]))
    assert comments(study) == []
