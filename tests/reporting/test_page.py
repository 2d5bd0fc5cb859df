"""The report's page: what ran, what it cost, what failed and why."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.analysis.cost import Cost, cost
from search.analysis.view import StudyView
from search.commands.steps.export import write_best
from search.errors import SearchError
from search.reporting import page, table
from search.reporting.columns import column_names
from search.study.storage.open import connect
from search.study.study import load_study


def trial(state: TrialState, seconds: float = 0.0, ran: int = 0, **attrs: Any) -> FrozenTrial:
    """A trial of 10 epochs that ran so many of them, in so many machine seconds."""
    curve = dict.fromkeys(range(1, ran + 1), 0.5)
    user_attrs = {"config": {"x": 1, "epochs": 10}, "epoch": {"score": 0.5, "machine_seconds": seconds}} | attrs
    value = 0.5 if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=value, intermediate_values=curve, user_attrs=user_attrs)


def study_of(*trials: FrozenTrial) -> Study:
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "score")
    study.add_trials(trials)
    return study


def render(study: Study) -> str:
    return page.render(StudyView(study))


def write(study: Study, folder: Path) -> Path:
    return page.write(StudyView(study), folder).path


def test_time_spent_and_saved() -> None:
    trials = [
        trial(TrialState.COMPLETE, 100.0, 10),
        trial(TrialState.PRUNED, 30.0, 2),  # 15 s an epoch, 8 epochs not run
        trial(TrialState.PRUNED, 5.0, 5),  # 1 s an epoch, 5 not run
        trial(TrialState.FAIL, 7.0, 1),  # spent, and nothing saved
        trial(TrialState.WAITING),
        create_trial(state=TrialState.PRUNED),  # of plain Optuna
        trial(TrialState.PRUNED, 8.0, 16),  # a train() that yields more often than it has epochs
    ]
    assert cost(trials) == Cost(spent=150.0, saved=125.0)


def test_gpu_hours_are_those_of_the_share_that_a_trial_had() -> None:
    trials = [
        trial(TrialState.COMPLETE, 3600.0, 10, cost={"gpus": 1.0}),
        trial(TrialState.PRUNED, 1800.0, 5, cost={"gpus": 0.25}),
        trial(TrialState.COMPLETE, 99.0, 10, cost={"gpus": 0.0}),
        trial(TrialState.COMPLETE, 99.0, 10, cost="of another program"),
    ]
    assert cost(trials) == Cost(spent=5598.0, saved=1800.0, gpu_hours=1.125, gpu_hours_saved=0.125)
    assert "saved by pruning. GPU-hours: 1.12 spent, 0.125 saved." in render(study_of(*trials))


TAKEN = {"parameters": 29066, "trainable": 10250, "megabytes": 0.116264, "latency_ms": 0.0525, "peak_memory": 2.5e9}


def test_columns_of_what_each_trial_took() -> None:
    study = study_of(
        trial(TrialState.COMPLETE, 3600.0, 10, cost=TAKEN | {"gpus": 0.5}),
        trial(TrialState.COMPLETE, 90.0, 10, cost={"latency_ms": None, "gpus": 0.0}),
        trial(TrialState.COMPLETE),
    )
    rows = table.frame(StudyView(study), extra=column_names("cost")).iloc[:, -8:]
    assert list(rows) == [
        "TIME AN EPOCH", "MACHINE TIME", "GPU-HOURS", "PEAK GPU MEMORY (MB)", "PARAMETERS", "TRAINABLE", "MB",
        "LATENCY (MS)",
    ]  # fmt: skip
    assert rows.to_numpy().tolist() == [
        ["360 s", "1 h 00 min", "0.5", "2500", "29,066", "10,250", "0.116", "0.0525"],
        ["9 s", "1 min 30 s", "0", "", "", "", "", ""],
        ["", "0.0 s", "", "", "", "", "", ""],
    ]
    assert column_names(" latency,epoch-time , latency") == ["latency", "epoch-time"]
    with pytest.raises(SearchError, match=r"columns=latncy: no such column; did you mean 'latency'\?"):
        column_names("mb,latncy")


def test_the_whole_page() -> None:
    study = study_of(
        trial(TrialState.COMPLETE, 100.0, 10, ran_on={"device": "cpu", "device_name": "AVX2", "precision": "fp32"}),
        trial(TrialState.PRUNED, 30.0, 2),
        trial(TrialState.FAIL, error="diverged: score is nan at epoch 3"),
        trial(TrialState.WAITING),
    )
    assert render(study) == (
        "# made\n\n"
        "Best score: **0.5000**, trial 0, on cpu (AVX2) in fp32, measured at its last epoch.\n\n"
        "Its settings: x 1, epochs 10.\n\n"
        "| Rank   | Trial   | score   |\n"
        "|:-------|:--------|:--------|\n"
        "| 1      | 0       | 0.5     |\n\n"
        "3 trials ran: 1 completed, 1 was pruned, 1 failed; 1 is under way or waits in the queue. "
        "Machine time: 2 min 10 s spent, 2 min 00 s saved by pruning.\n\n"
        "Pruning: 1 pruned trial ran 2 epochs; to its end it would have run 10. When it was "
        "stopped, 0 of 1 was ahead of the winner (trial 0) at the same epoch.\n\n"
        "Failed trials:\n\n"
        "- trial 2: diverged: score is nan at epoch 3\n"
    )


@pytest.mark.parametrize("failed", [0, 1, 25])
def test_nothing_completed(failed: int) -> None:
    text = render(study_of(*[trial(TrialState.FAIL, error=f"reason {n}") for n in range(failed)]))
    assert "No trial completed, so there is no best score." in text
    trials = "1 trial" if failed == 1 else f"{failed} trials"
    assert f"{trials} ran: 0 completed, 0 were pruned, {failed} failed. Machine time: 0.0 s spent" in text
    assert text.count("\n- trial ") == min(failed, 20)
    assert ("- trial 0: reason 0" in text) == (failed > 0)
    assert ("- and 5 more" in text) == (failed == 25)


def test_a_plain_optuna_study_has_a_page() -> None:
    study = optuna.create_study(study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.add_trial(create_trial(state=TrialState.FAIL))
    text = render(study)
    assert f"Best value: **{study.best_value:.4f}**, trial {study.best_trial.number}, measured" in text
    assert "| x " in text
    assert "- trial 2: no reason recorded" in text


def test_baselines_are_explained() -> None:
    study = study_of(trial(TrialState.COMPLETE))
    assert "hand-tuned" not in render(study)
    settings = dict(model="cnn", frozen=[], lr=1.0, momentum=0.0, weight_decay=0.0, epochs=1, step_size=1, gamma=1.0)
    row = {"name": "Base", "settings": settings, "train_loss": None, "val_acc": 0.5, "test_acc": None}
    study.set_user_attr("baselines", [row])
    assert "*hand-tuned* are not trials of this study" in render(study)


def test_write_replaces_the_page_in_its_folder() -> None:
    study = study_of(trial(TrialState.COMPLETE))
    for _ in range(2):
        assert write(study, Path("new/reports")) == Path("new/reports/made.md")
    assert Path("new/reports/made.md").read_text() == render(study)
    assert [path.name for path in Path("new/reports").iterdir()] == ["made.md"]


URL = "sqlite:///studies.db"


def kept(trials: list[FrozenTrial], **options: Any) -> Study:
    """A study in SQLite, as another program left it there; read again as `search report` does."""
    options = {"direction": "maximize"} | options
    study = optuna.create_study(storage=connect(URL), study_name="made", **options)
    study.add_trials(trials)
    return load_study(URL, "made")


FAILED = create_trial(state=TrialState.FAIL)


@pytest.mark.parametrize(
    ("trials", "says"),
    [
        ([], "No trial completed, so there is no best value."),
        ([FAILED, FAILED], "2 trials ran: 0 completed, 0 were pruned, 2 failed"),
        ([create_trial(state=TrialState.PRUNED, intermediate_values={0: math.nan})], "0 completed, 1 was pruned"),
        ([create_trial(value=0.5)], "Best value: **0.5000**, trial 0"),
        (
            [create_trial(value=-math.inf), create_trial(value=math.inf)],
            "No completed trial has a number for its value",
        ),
        ([create_trial(value=0.5, user_attrs={"epoch": 3, "config": "mine", "val_images": "all"})], "**0.5000**"),
        ([create_trial(value=0.5, intermediate_values={1: math.nan}), FAILED], "1 completed"),
    ],
    ids=["none", "all failed", "pruned at NaN", "one", "infinite", "attributes of others", "NaN on its way"],
)
def test_any_study_of_optunas_has_a_page(trials: list[FrozenTrial], says: str) -> None:
    text = render(kept(trials))
    assert says in text
    assert "nan" not in text.lower()


def test_a_value_that_is_no_number_is_never_the_best() -> None:
    study = kept([])
    study.optimize(lambda trial: math.nan if trial.number < 2 else 0.25, n_trials=3)
    text = render(load_study(URL, "made"))
    assert "Best value: **0.2500**, trial 2" in text
    assert "3 trials ran: 1 completed, 0 were pruned, 2 failed" in text


def test_two_objectives_have_a_front() -> None:
    values = [(0.9, 5.0), (0.8, 1.0), (0.7, 2.0)]
    study = kept([create_trial(values=pair) for pair in values], direction=None, directions=["maximize", "minimize"])
    study._storage.set_study_system_attr(study._study_id, "study:metric_names", ["accuracy", "seconds"])
    text = render(load_study(URL, "made"))
    assert "The study has 2 objectives: accuracy (maximize), seconds (minimize)." in text
    table, _, best = text.partition("## The best under each limit\n")
    assert [line[2] for line in table.splitlines() if line.startswith("| ")] == ["T", "0", "1"]
    assert "| At most seconds | Best accuracy | Trial |\n|--:|--:|--:|\n| 1 | 0.8 | 1 |\n| 5 | 0.9 | 0 |\n" in best
    with pytest.raises(SearchError, match="has 2 objectives and no best trial; trial=N names one"):
        write_best(study, Path())
    assert "value: [" in write_best(study, Path(), 1).read_text() or "- 0.8" in Path("made.trial-1.yaml").read_text()


def test_two_objectives_and_no_trial() -> None:
    assert "No trial completed." in render(kept([], direction=None, directions=["maximize", "minimize"]))
