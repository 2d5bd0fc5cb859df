"""Each measure against scikit-learn's, and the resampling against what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from search.analysis.statistics import wilson
from search.metrics.answers import Answers, once
from search.metrics.bootstrap import draws, interval, p_value
from search.metrics.calibration import calibration_error
from search.metrics.f1 import macro_f1
from search.metrics.per_class import per_class
from search.metrics.registry import MEASURES, measured
from search.space.direction import direction_of


def answers(images: int = 300, classes: int = 7, skill: float = 1.5, seed: int = 0) -> Answers:
    """Of uneven classes, as a model of some skill gives them."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, images, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    logits = generator.normal(size=(images, classes)) + skill * np.eye(classes)[labels]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ranks = (logits > np.take_along_axis(logits, labels[:, None], 1)).sum(1)
    return Answers(labels, logits.argmax(1), shares.max(1), classes, ranks, logits)


@pytest.mark.parametrize("seed", range(3))
def test_they_are_scikit_learns(seed: int) -> None:
    made = answers(seed=seed)
    assert made.scores is not None
    shares = np.exp(made.scores) / np.exp(made.scores).sum(1, keepdims=True)
    expected = {
        "val_balanced_acc": theirs.balanced_accuracy_score(made.labels, made.predicted),
        "val_f1": theirs.f1_score(made.labels, made.predicted, average="macro"),
        "val_top5_acc": theirs.top_k_accuracy_score(made.labels, made.scores, k=5),
        "val_auroc": theirs.roc_auc_score(made.labels, shares, multi_class="ovr"),
    }
    assert {name: measured(name, made) for name in expected} == pytest.approx(expected, abs=1e-12)
    precision, recall, _, support = theirs.precision_recall_fscore_support(made.labels, made.predicted)
    found = per_class(made)
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    assert found.images.tolist() == support.tolist()
    assert np.all(np.diff(found.recall[found.worst_first]) >= 0)


def test_ties_of_scores_count_half() -> None:
    made = answers()
    assert made.scores is not None
    rounded = made._replace(scores=np.round(made.scores))
    assert rounded.scores is not None
    shares = np.exp(rounded.scores - rounded.scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    expected = theirs.roc_auc_score(made.labels, shares, multi_class="ovr")
    assert measured("val_auroc", rounded) == pytest.approx(expected, abs=1e-12)


def test_calibration_by_hand() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    made = Answers(labels, predicted, np.array([0.61, 0.65, 0.95, 0.97]), 2)
    expected = (abs(1 - 0.61 - 0.65) + abs(2 - 0.95 - 0.97)) / 4
    assert calibration_error(made, once(made))[0] == pytest.approx(expected)


def test_classes_without_images_are_left_out_and_one_class_alone_has_no_area() -> None:
    made = answers(classes=4)
    wider = made._replace(classes=9)
    for name in ("val_balanced_acc", "val_f1"):
        assert measured(name, wider) == measured(name, made)
    one = Answers(np.zeros(3, int), np.zeros(3, int), np.ones(3), 2, np.zeros(3, int), np.ones((3, 2)))
    assert measured("val_auroc", one) == 0.5
    assert measured("val_balanced_acc", one) == 1


def test_the_direction_of_each_is_known() -> None:
    assert {name: direction_of(name) for name in MEASURES} == dict.fromkeys(MEASURES, "maximize") | {
        "val_ece": "minimize"
    }


def test_an_interval_is_that_of_the_formula_where_there_is_one() -> None:
    made = answers(images=600)
    assert made.ranks is not None
    right = int((made.ranks < 5).sum())
    low, high = interval(MEASURES["val_top5_acc"].measure, made)
    assert (low, high) == pytest.approx(wilson(right, 600), abs=0.005)
    assert draws(600).sum(1).tolist() == [600.0] * len(draws(600))


def test_an_interval_holds_the_truth_and_equal_models_are_rarely_told_apart() -> None:
    truth = measured("val_f1", answers(images=100_000, seed=99))
    held = differ = 0
    for seed in range(60):
        made = answers(images=400, seed=seed)
        low, high = interval(macro_f1, made)
        held += low <= truth <= high
        again = answers(images=400, seed=1000 + seed)
        assert again.scores is not None
        logits = np.random.default_rng(seed).normal(size=made.labels.size * 7).reshape(-1, 7)
        logits += 1.5 * np.eye(7)[made.labels]
        differ += p_value(macro_f1, made, made._replace(predicted=logits.argmax(1))) <= 0.05
    assert held >= 52
    assert differ <= 8
    far = answers(images=400, skill=3.0)
    assert p_value(macro_f1, answers(images=400), far._replace(labels=answers(images=400).labels)) < 0.01
