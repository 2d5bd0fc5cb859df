"""Optuna's own samplers and pruners, each through both engines: many studies in one Ray."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from optuna import TrialPruned, pruners, samplers
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from search.engine.base import Engine
from search.engine.driver import Driver
from search.engine.inline import Inline
from search.engine.messages import WorkerConfig
from search.engine.processes.forkserver import run_fork_server
from search.engine.rules import Rules, Run
from search.space.file import SpaceFile, load_space
from search.study.attributes import feasible, ranked
from search.study.ending.stopping import Stopping
from search.study.study import open_study, requeue

pytestmark = [
    pytest.mark.usefixtures("sys_path"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:.*constraints_func.*:FutureWarning"),
]
SPACE = """
    import time
    from pathlib import Path

    metric = "score"

    def space(trial):
        x, y = trial.suggest_float("x", 0, 1, step=0.5), trial.suggest_int("y", 0, 1)
        return {"x": x, "y": y, "poor": trial.number >= 3, "epochs": 6}

    def train(config):
        log = Path(__file__).parent / "closing"
        try:
            for epoch in range(config["epochs"]):
                level = 0.1 - epoch / 10_000 if config["poor"] else 0.9
                yield {"score": level + config["x"] / 100 + config["y"] / 1000}
        finally:
            time.sleep(1000 if config["poor"] and log.exists() else 0)
"""
GRID: dict[str, Any] = {"x": [0.0, 0.5, 1.0], "y": [0, 1]}
MEDIAN = pruners.MedianPruner(n_startup_trials=2)


@pytest.fixture(scope="module")
def path(folder: Callable[[str], Path]) -> Path:
    return folder(SPACE) / "space.py"


@pytest.fixture(scope="module")
def engines(path: Path) -> Iterator[Callable[[str], Engine]]:
    """Either engine by its name; Ray starts when it is first asked for."""
    place = WorkerConfig("data", "cpu", 1, str(path), patience=1.0)
    made: dict[str, Engine] = {"inline": Inline(place)}
    with ExitStack() as stack:

        def get(name: str) -> Engine:
            if name not in made:
                from search.engine.ray import tune

                forks = stack.enter_context(run_fork_server(("search.engine.worker",), patience=0.5))
                made[name] = stack.enter_context(tune.started(forks, place, len(os.sched_getaffinity(0)) / 2, None))
            return made[name]

        yield get


def driver_of(space: SpaceFile, name: str, trials: int, say: Callable[[str], None] = print) -> Driver:
    study = open_study(f"sqlite:///{Path.cwd()}/studies.db", name, space)
    requeue(study)
    return Driver(study, space, Rules(trials=trials, stopping=Stopping()), run=Run(say=say))


def run(engine: Engine, space: SpaceFile, name: str, trials: int, say: Callable[[str], None] = print) -> Driver:
    driver = driver_of(space, name, trials, say)
    engine.run(driver)
    return driver


SAMPLERS: dict[str, tuple[Callable[[], samplers.BaseSampler], Callable[[], pruners.BasePruner] | None]] = {
    "TPE multivariate": (lambda: samplers.TPESampler(multivariate=True, n_startup_trials=2), lambda: MEDIAN),
    "TPE group": (
        lambda: samplers.TPESampler(multivariate=True, group=True, n_startup_trials=2),
        lambda: pruners.PercentilePruner(50.0, n_startup_trials=2),
    ),
    "GP": (lambda: samplers.GPSampler(n_startup_trials=4), None),
    "CMA-ES": (
        lambda: samplers.CmaEsSampler(n_startup_trials=2),
        lambda: pruners.HyperbandPruner(min_resource=1, max_resource=6, reduction_factor=2),
    ),
    "NSGA-II": (
        lambda: samplers.NSGAIISampler(population_size=2),
        lambda: pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    ),
    "QMC": (lambda: samplers.QMCSampler(), lambda: pruners.ThresholdPruner(lower=0.5)),
    "Grid": (lambda: samplers.GridSampler(GRID), None),
    "BruteForce": (lambda: samplers.BruteForceSampler(), None),
    "PartialFixed": (
        lambda: samplers.PartialFixedSampler({"y": 1}, samplers.RandomSampler()),
        lambda: pruners.PatientPruner(MEDIAN, patience=1),
    ),
    "Random": (lambda: samplers.RandomSampler(), lambda: pruners.WilcoxonPruner(p_threshold=0.2)),
}
"""Name to a sampler, and a pruner that stops what is poor."""


def point(trial: FrozenTrial) -> tuple[Any, ...]:
    return tuple(trial.params.values())


@pytest.fixture(scope="module", params=["inline", pytest.param("tune", marks=pytest.mark.whole)])
def ran(
    request: pytest.FixtureRequest,
    engines: Callable[[str], Engine],
    path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Driver]:
    """By name: the driver of a study that has ended. "callback": its callback has stopped it."""
    found: dict[str, Driver] = {}
    with contextlib.chdir(tmp_path_factory.mktemp(request.param)):
        for name, (sampler, pruner) in SAMPLERS.items():
            if name == "CMA-ES" and importlib.util.find_spec("cmaes") is None:
                continue
            space = replace(load_space(path), sampler=sampler(), pruner=pruner and pruner())
            found[name] = driver_of(space, name, 9 if name in FINITE else 6)
        space = replace(load_space(path), callbacks=[stop_at_three], pruner=pruners.NopPruner())
        found["callback"] = driver_of(space, "callback", 20)
        for name, more in OTHERS.items():
            space = replace(load_space(path), **{"pruner": pruners.NopPruner(), **more()})
            found[name] = driver_of(space, name, 6)
        mine: Any = Chain([*found.values()])
        engines(request.param).run(mine)
    return found


FINITE = ("Grid", "BruteForce")


def above(trial: FrozenTrial) -> list[float]:
    return [trial.user_attrs["epoch"]["score"] - 0.5]


def sparse(trial: Trial) -> dict[str, Any]:
    x = trial.suggest_float("x", 0, 1)
    if trial.number % 2:
        raise TrialPruned(f"number {trial.number} makes no sense")
    return {"x": x, "y": 0, "poor": False, "epochs": 6}


OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "constraints": lambda: {"sampler": samplers.TPESampler(constraints_func=above)},
    "sparse": lambda: {"space": sparse},
    "several": lambda: {"sampler": samplers.NSGAIISampler(), "further": {"seconds": "minimize"}, "pruner": None},
}


def stop_at_three(study: Study, trial: FrozenTrial) -> None:
    study.set_user_attr("seen", [*study.user_attrs.get("seen", []), trial.number])
    if len(study.user_attrs["seen"]) == 3:
        study.stop()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_and_a_pruner_of_optunas(ran: dict[str, Driver], name: str) -> None:
    if name not in ran:
        pytest.skip("CMA-ES did NOT run: it needs the package cmaes")
    driver = ran[name]
    trials = driver.study.get_trials()
    assert len(trials) == 6
    poor = {trial.number for trial in trials if trial.state == TrialState.PRUNED}
    prunes = SAMPLERS[name][1] is not None
    assert bool(poor & {3, 4, 5}) == prunes or name == "CMA-ES"  # Hyperband compares within brackets
    for trial in trials:
        x, y, level = trial.params["x"], trial.params["y"], 0.9 if trial.number < 3 else 0.1
        assert trial.state == (TrialState.PRUNED if trial.number in poor else TrialState.COMPLETE)
        assert trial.value == pytest.approx(level + x / 100 + y / 1000, abs=1e-3)
    reached = driver.stopping.reached()
    assert (reached.why if reached else None) == ("the sampler has no more points" if name in FINITE else None)
    if name in FINITE:
        assert len(set(map(point, trials))) == 6  # each point once


def test_a_callback_stops_the_study(ran: dict[str, Driver]) -> None:
    driver = ran["callback"]
    trials = driver.study.get_trials()
    assert sorted(driver.study.user_attrs["seen"]) == [trial.number for trial in trials]
    assert 3 <= len(trials) <= 4  # one may have been under way
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    reached = driver.stopping.reached()
    assert reached is not None
    assert reached.why == "the callback of the space file stopped the study"
    with pytest.raises(RuntimeError, match="objective function"):
        driver.study.stop()  # Optuna's own again


def test_what_breaks_a_constraint_does_not_lead(ran: dict[str, Driver]) -> None:
    driver = ran["constraints"]
    trials = driver.study.get_trials()
    assert [feasible(trial) for trial in trials] == [False] * 3 + [True] * 3
    assert [trial.number < 3 for trial in ranked(driver.study)] == [False] * 3 + [True] * 3
    assert driver.retention.leader is not None
    assert driver.retention.leader[1] >= 3
    assert driver.stopping.best is not None
    assert driver.stopping.best[1] >= 3


def test_a_point_that_the_space_prunes_is_no_failure(ran: dict[str, Driver]) -> None:
    trials = ran["sparse"].study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED"] * 3
    assert [trial.user_attrs["pruned"] for trial in trials[1::2]] == [f"number {i} makes no sense" for i in (1, 3, 5)]


def test_several_objectives(ran: dict[str, Driver]) -> None:
    study = ran["several"].study
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial in study.get_trials():
        epoch = trial.user_attrs["epoch"]
        assert (trial.state, trial.values) == (TrialState.COMPLETE, [epoch["score"], epoch["seconds"]])
        assert sorted(trial.intermediate_values) == [1, 2, 3, 4, 5, 6]
    assert ranked(study) == sorted(study.best_trials, key=lambda trial: trial.number)


@pytest.mark.parametrize("name", FINITE)
def test_a_sampler_without_points_starts_nothing_and_what_was_interrupted_goes_on(
    engines: Callable[[str], Engine], path: Path, name: str
) -> None:
    space = replace(load_space(path), sampler=SAMPLERS[name][0](), pruner=pruners.NopPruner())
    study = open_study("sqlite:///studies.db", "s", space)
    study.enqueue_trial({"x": 0.5, "y": 1})  # which Optuna's grid knows nothing of
    first = run(engines("inline"), space, "s", 4).study
    interrupted = first.ask()
    space.suggest(interrupted)
    driver = run(engines("inline"), space, "s", 20)
    trials = driver.study.get_trials()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert {*map(point, trials)} == {(x, y) for x in GRID["x"] for y in GRID["y"]}
    assert len(trials) == (7 if name == "Grid" else 6)
    assert trials[4].params == interrupted.params
    again = run(engines("inline"), space, "s", 20)
    assert again.finished
    assert len(again.study.trials) == len(trials)


def free(trial: Trial) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0, 1), "y": 0, "poor": trial.number >= 3, "epochs": 6}


@pytest.mark.whole
def test_a_long_closing_is_said_and_a_seeded_sampler_goes_on(engines: Callable[[str], Engine], path: Path) -> None:
    said: list[str] = []
    seeded = partial(replace, load_space(path), space=free, pruner=pruners.ThresholdPruner(lower=0.5))
    run(engines("inline"), seeded(sampler=samplers.RandomSampler(seed=7)), "s", 3)
    (path.parent / "closing").touch()
    try:
        driver = run(engines("tune"), seeded(sampler=samplers.RandomSampler(seed=7)), "s", 6, said.append)
    finally:
        (path.parent / "closing").unlink()
    assert [trial.state.name for trial in driver.study.get_trials()] == ["COMPLETE"] * 3 + ["PRUNED"] * 3
    assert len({trial.params["x"] for trial in driver.study.get_trials()}) == 6  # it does not repeat its first three
    assert set(said) == {
        f"trial {number}: closing its train(): took longer than 1 s, and its process was ended" for number in (3, 4, 5)
    }
