"""What ends a run early, and an audit of the pruner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands.test_run import CORES, HEAD, PLAIN, RUN, SLOW, Write, trials
from optuna.trial import TrialState

from search.format import plural
from search.study import study as studies

pytestmark = pytest.mark.usefixtures("sys_path")


def test_the_time_is_over_and_the_same_command_goes_on(cli: Any, write: Write) -> None:
    write("space.py", HEAD + SLOW)
    status, out, err = cli(*RUN, "--set", "kind=odd", "--timeout", "3s")
    assert (status, err) == (1, "search: no trial completed; reports/space.md has the reasons\n")
    how = "to go on: search run space.py --engine inline --set kind=odd --timeout 3s\n"
    assert f"the time is over; 0 of 2 trials are done; {how}" in out
    (first,) = trials()
    assert first.state == TrialState.WAITING
    assert len(first.intermediate_values) >= 1
    Path("hurry").touch()
    assert cli(*RUN, "--set", "kind=odd").status == 0
    done = trials()
    assert [trial.state for trial in done] == [TrialState.COMPLETE] * 2
    assert done[0].params == first.params
    assert done[0].user_attrs["config"]["kind"] == "odd"


LEVELS = """
metric, trials, levels = "score", 12, [0.25, 0.5, 0.25, 0.25, *[0.75] * 8]
def space(trial):
    return {"x": trial.suggest_float("x", 0, 1), "score": levels[trial.number], "epochs": 1}
def train(config):
    yield {"score": config["score"], "x": config["x"], "seconds": 900.0}
"""


HARDLY = "--patience auto: 16 more trials would gain at most 0 (80% interval)"


@pytest.mark.parametrize(
    ("words", "done", "why"),
    [
        (["--until", 0.5], 2, "--until 0.5 is reached: trial 1 has 0.5"),
        (["--patience", 2], 4, "--patience 2: of the last 2 trials none was better than trial 1"),
        (["--patience", "auto"], 9, f"{HARDLY}, and a tenth of its lead on the median is 0"),
        (["--budget", f"{CORES * 45}cpum"], 3, f"--budget {CORES * 0.75:g}cpuh is spent: {CORES * 0.75:g} CPU-hours"),
    ],
)
def test_a_limit_ends_the_run_in_good_order_and_the_next_run_may_have_more(
    cli: Any, write: Write, words: list[Any], done: int, why: str
) -> None:
    write("space.py", LEVELS)
    status, out, err = cli(*RUN, *words)
    assert (status, err) == (0, "")
    again = f"to go on, change {words[0]} in: search run space.py --engine inline {words[0]} {words[1]}\n"
    assert f"{why}; {done} of 12 trials are done; {again}" in out
    assert "best config  reports/space.best.yaml" in out
    assert f"The last run ended early: {why}." in Path("reports/space.md").read_text()
    assert studies.load_study("sqlite:///studies.db", "space").user_attrs["ended"] == why
    status, out, _ = cli(*RUN, *words)  # nothing more to do
    assert (status, out.splitlines()[1].partition(";")[0]) == (0, why)
    assert len(trials()) == done
    assert cli(*RUN, "--trials", max(5, done)).status == 0
    assert len(trials()) == max(5, done)
    assert "ended early" not in Path("reports/space.md").read_text()


AUDITED = """
from search import ASHA
pruner = ASHA(1, 2)
trials = 6
def train(config):
    for epoch in range(3):
        yield {"score": config["x"]}
"""


def test_an_audit_lets_those_to_be_pruned_finish_and_the_report_judges_the_pruner(cli: Any, write: Write) -> None:
    write("space.py", HEAD + AUDITED)
    status, out, err = cli(*RUN, "--audit", 1)
    assert (status, err) == (0, "")
    assert "pruned" not in out.partition("| Rank")[0]
    audited = [trial for trial in trials() if "audited" in trial.user_attrs]
    assert audited
    assert all(len(trial.intermediate_values) == 3 for trial in audited)
    assert f"Audit of the pruner: {plural(len(audited), 'trial')} that" in Path("reports/space.md").read_text()


def test_an_audit_of_a_pruner_that_never_fires_is_said_to_be_none(cli: Any, write: Write) -> None:
    write("space.py", HEAD + PLAIN)
    status, out, _ = cli(*RUN, "--audit", 0.5)
    assert status == 0
    assert "--audit 0.5: the study's pruner never stops a trial, so there is nothing to audit\n" in out
    assert cli(*RUN, "--audit", 2).status == 2


@pytest.mark.parametrize(("epochs", "said"), [(7, True), (8, False)])
def test_trials_too_short_for_the_default_pruner_are_said_to_be(
    cli: Any, write: Write, epochs: int, said: bool
) -> None:
    text = f"""
    from search import Float, SearchSpace
    metric, trials = "score", 1
    space = SearchSpace(x=Float(0, 1), epochs={epochs})
    def train(config):
        for epoch in range(config["epochs"]):
            yield {{"score": config["x"]}}
    """
    write("space.py", text)
    line = f"no trial is pruned: trials of {epochs} epochs are too short for ASHA(min_resource=4, reduction_factor=2"
    assert (line in cli(*RUN).out) == said
    write("space.py", f"{text}\n    from search import ASHA\n    pruner = ASHA(9)\n")
    assert "no trial is pruned" not in cli(*RUN, "--name", "own").out


@pytest.mark.parametrize(
    ("metric", "settings", "said"),
    [
        ("'score'", "x=Float(0, 1)", "how many epochs they take is not known beforehand; pruner = ASHA(...) in the"),
        ("('score', 'acc')", "x=Float(0, 1), epochs=9", "the trials have several objectives; pruner = ASHA(...) in"),
        ("'score'", "x=Float(0, 1), epochs=9", None),
    ],
)
def test_that_the_default_prunes_nothing_is_said_with_the_reason(
    cli: Any, write: Write, metric: str, settings: str, said: str | None
) -> None:
    text = f"""
    from search import Float, SearchSpace
    metric, direction, trials = {metric}, {"('maximize', 'maximize')" if "(" in metric else "'maximize'"}, 1
    space = SearchSpace({settings})
    def train(config):
        yield {{"score": config["x"], "acc": config["x"]}}
    """
    write("space.py", text)
    out = cli(*RUN).out
    assert ("no trial is pruned" in out) == (said is not None)
    assert said is None or f"no trial is pruned: {said}" in out
    write("space.py", f"{text}\n    from search import ASHA\n    pruner = ASHA(9)\n")
    assert "no trial is pruned" not in cli(*RUN, "--name", "own").out
