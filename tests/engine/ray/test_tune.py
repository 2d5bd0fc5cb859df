"""Real runs of `search run` on a real Ray, watched from outside: states, workers, sockets, dashboard, Ctrl-C."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from live import CORES, WAIT, Run, listening, loopback, until
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard import wsgi
from werkzeug.test import Client

from search.engine.base import EngineFailed
from search.engine.messages import WorkerConfig
from search.engine.processes.forkserver import ForkServer
from search.engine.processes.places import Resources
from search.engine.ray import tune
from search.study.storage import open as storages

pytestmark = pytest.mark.whole

KINDS = """
    import os, signal, time
    from pathlib import Path
    from search import ASHA

    kinds = "gated raises nan kills good poor good poor good torch good poor".split()
    metric, trials, pruner = "score", len(kinds), ASHA(1, 4)
    here = Path(__file__).parent

    def space(trial):
        return {"x": trial.suggest_float("x", 0, 1), "kind": kinds[trial.number], "epochs": 3}

    def train(config):
        kind = config["kind"]
        for epoch in range(1, 4):
            if epoch == 2 and kind == "raises":
                raise ValueError("no good")
            if epoch == 2 and kind == "kills" and not (here / "killed").exists():
                (here / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            while kind == "gated" and epoch > 1 and not (here / f"gate{epoch}").exists():
                time.sleep(0.05)
            while kind == "poor" and not (here / "gate2").exists():  # the gated one has reported by then
                time.sleep(0.05)
            score = 0.1 if kind == "poor" else [0.5, 0.9, 0.7][epoch - 1]
            score = float("nan") if kind == "nan" and epoch == 2 else score
            threads = 0
            if kind == "torch":
                import torch
                threads = torch.get_num_threads()
            yield {"score": score, "pid": os.getpid(), "threads": threads, "omp": int(os.environ["OMP_NUM_THREADS"])}
"""


@dataclass
class Watched:
    """What was seen of the run of KINDS while it ran, and what it left."""

    run: Run
    polls: list[list[dict[str, Any]]]
    processes: dict[int, str]
    temp: set[Path]
    listening: list[str]
    modes: list[str]
    refusal: str
    trials: list[FrozenTrial]


@pytest.fixture(scope="module")
def watched(folder: Callable[[str], Path]) -> Iterator[Watched]:
    run = Run(folder(KINDS), "--engine", "tune")
    try:
        until(run.started, "Ray")
        dashboard = Client(wsgi(storages.open_storage(f"sqlite:///{run.folder}/studies.db")))
        polls = [until(lambda: _poll(dashboard, 1), "the first epoch of trial 0 on the dashboard")]
        processes, temp = run.alive(), run.temp()
        heard = listening(set(processes))
        modes = [stat.filemode(path.stat().st_mode) for folder in temp for path in (folder, folder / "token")]
        refusal = _come_without_token(processes)
        (run.folder / "gate2").touch()  # trial 0 goes on only when its epoch was seen
        polls.append(until(lambda: _poll(dashboard, 2), "the second epoch of trial 0 on the dashboard"))
        (run.folder / "gate3").touch()
        assert run.process.wait(WAIT) == 0, run.output
        time.sleep(2)  # the dashboard reads the storage every two seconds
        polls.append(_poll(dashboard, 3))
        yield Watched(run, polls, processes, temp, heard, modes, refusal, run.trials())
    finally:
        run.end()


def _poll(dashboard: Client, points: int) -> list[dict[str, Any]]:
    """The study's trials as the dashboard serves them, once trial 0 has so many points; before, nothing."""
    trials: list[dict[str, Any]] = dashboard.get("/api/studies/1?after=0").get_json()["trials"]
    return trials if trials and len(trials[0]["intermediate_values"]) >= points else []


def _come_without_token(processes: dict[int, str]) -> str:
    """What Ray tells a stranger on this machine who knows where it listens: the first line of that one's log."""
    gcs = re.search(r"--gcs-address=(\S+)", " ".join(processes.values()))
    assert gcs is not None
    stranger = f"import ray; ray.init({gcs[1]!r}, logging_level=50); print('let in')"
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    with subprocess.Popen(
        [sys.executable, "-c", stranger], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as client:
        assert client.stdout is not None
        line = client.stdout.readline()
        client.kill()  # it would try again for 20 s
    return line


@pytest.mark.parametrize(
    ("cpus", "gpus", "trials", "slots", "threads"),
    [(16, 1, 1, 1, 16), (16, 1, 3, 3, 5), (16, 1, 6, 6, 2), (64, 8, 7, 56, 1), (480, 8, 60, 480, 1)],
)
def test_so_many_trials_share_each_gpu(
    monkeypatch: pytest.MonkeyPatch, cpus: int, gpus: int, trials: int, slots: int, threads: int
) -> None:
    """Whatever a part of a GPU is rounded to: Ray counts it in ten-thousandths."""
    there = {"CPU": cpus, "GPU": gpus}
    monkeypatch.setattr("ray.cluster_resources", lambda: there)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": there}])
    engine = tune.Tune(ForkServer(Path(), ""), WorkerConfig("data", "auto", 1), Resources(0, 0), 0)
    shared = engine.shared(None, trials)
    assert (shared.slots, shared.workplace.threads, shared.workplace.device) == (slots, threads, "cuda")
    assert round(shared.resources.gpus * 10_000) * trials <= 10_000
    assert shared.workplace.gpus == shared.resources.gpus
    assert shared.resources.cpus * slots <= cpus
    assert engine.cpus_a_gpu == cpus / gpus


@pytest.mark.parametrize(
    ("gpus", "own", "slots", "threads", "ranks"),
    [(2, None, 4, 4, 2), (8, None, 1, 16, 8), (1, None, 8, 2, 1), (0.5, None, 16, 1, 1), (2, "space.py", 4, 4, 1)],
)
def test_a_trial_with_several_gpus_has_a_process_for_each(
    monkeypatch: pytest.MonkeyPatch, gpus: float, own: str | None, slots: int, threads: int, ranks: int
) -> None:
    """Where the training is the built-in one. Ray is told of eight GPUs."""
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 16, "GPU": 8}}])
    engine = tune.Tune(ForkServer(Path(), ""), WorkerConfig("data", "auto", 1, own), Resources(0, 0), 0)
    place = (placed := engine.placed(None, gpus)).workplace
    assert (placed.slots, place.threads, place.gpus, place.ranks) == (slots, threads, gpus, ranks)


def of(watched: Watched, kind: str) -> list[FrozenTrial]:
    return [trial for trial in watched.trials if trial.user_attrs["config"]["kind"] == kind]


def test_states_and_curves_are_what_happened(watched: Watched) -> None:
    assert len(watched.trials) == 12
    for trial in of(watched, "good") + of(watched, "gated"):
        assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.7)  # the last epoch's, not the best's
        assert trial.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}
    for trial in of(watched, "poor"):
        assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.1})
    (raises,), (nan,) = of(watched, "raises"), of(watched, "nan")
    assert raises.state == nan.state == TrialState.FAIL
    assert raises.user_attrs["error"] == 'user_code: space.py:17: raise ValueError("no good"): ValueError: no good'
    assert nan.user_attrs["error"] == "diverged: score is nan at epoch 2"
    assert raises.intermediate_values == nan.intermediate_values == {1: 0.5}
    assert "[12/12]" in watched.run.output


def test_a_trial_whose_worker_was_killed_runs_again(watched: Watched) -> None:
    (killed,) = of(watched, "kills")
    assert (killed.number, killed.state, killed.value) == (3, TrialState.COMPLETE, 0.7)
    assert killed.user_attrs["attempts"] == 1
    assert killed.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}


def test_workers_stay_warm_and_share_the_cores(watched: Watched) -> None:
    found = re.search(r"(\d+) trials? side by side, CPU threads of each: (\d+)", watched.run.output)
    assert found is not None
    slots, threads = map(int, found.groups())
    epochs = [trial.user_attrs["epoch"] for trial in watched.trials]
    assert len({epoch["pid"] for epoch in epochs}) <= slots + 1  # one was killed
    assert slots * threads <= CORES
    assert {epoch["omp"] for epoch in epochs} == {threads}
    (torch,) = of(watched, "torch")
    assert torch.user_attrs["epoch"]["threads"] == threads


def test_nothing_listens_beyond_loopback(watched: Watched) -> None:
    assert len(watched.listening) >= 3  # Ray's control store and raylet, and some workers
    assert [address for address in watched.listening if not loopback(address)] == []


def test_ray_refuses_whoever_has_not_the_runs_token(watched: Watched) -> None:
    assert watched.modes == ["drwx------", "-rw-------"]
    assert "InvalidAuthToken" in watched.refusal


def test_ray_leaves_nothing_behind(watched: Watched) -> None:
    commands = " ".join(watched.processes.values())
    assert all(name in commands for name in ("gcs_server", "raylet", "ray::"))
    assert not any(name in commands for name in ("dashboard.py", "monitor.py"))  # they would only cost time
    until(lambda: not watched.run.alive(), "the end of every process")
    assert len(watched.temp) == 1
    assert not [path for path in watched.temp if path.exists()]


def test_the_dashboard_shows_a_live_run(watched: Watched) -> None:
    first, second, last = watched.polls
    assert (first[0]["state"], len(first[0]["intermediate_values"])) == ("Running", 1)
    assert (second[0]["state"], len(second[0]["intermediate_values"])) == ("Running", 2)
    assert last[0]["intermediate_values"] == [
        {"step": 1, "value": 0.5},
        {"step": 2, "value": 0.9},
        {"step": 3, "value": 0.7},
    ]
    poor = [trial.number for trial in of(watched, "poor")]
    assert [last[number]["state"] for number in poor] == ["Pruned"] * len(poor)


def test_a_ray_that_breaks_down_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    driver = SimpleNamespace(counts=Counter(), run=SimpleNamespace(say=said.append), orphaned=lambda: None)
    broken = iter([*[False] * 3, True, *[False] * 9])  # a trial ends before the fourth

    def breaks(self: tune.Tune, driver: Any) -> None:
        driver.counts["done"] += next(broken)
        raise EngineFailed("Ray's raylet died")

    monkeypatch.setattr(tune.Tune, "_fit", breaks)
    monkeypatch.setattr("search.engine.ray.cluster.restart", lambda folder, verbose: None)
    engine = tune.Tune(ForkServer(tmp_path, ""), WorkerConfig("data", "cpu", 1), Resources(1, 0), 1)
    with pytest.raises(EngineFailed, match=r"raylet died; that was 4 times in a row without a trial that ended$"):
        engine.run(driver)  # type: ignore[arg-type] # all that it is asked for
    assert said == ["Ray's raylet died; its trials go on in a new one"] * 6


def test_a_ray_that_a_stranger_crashes_is_started_anew_as_often_as_it_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said, marks, left = list[str](), list[bool](), iter(range(20))
    driver = SimpleNamespace(
        counts=Counter(), run=SimpleNamespace(say=said.append), orphaned=lambda blamed=True: marks.append(blamed)
    )
    log = tmp_path / "ray" / "session_1" / "logs" / "raylet.err"
    log.parent.mkdir(parents=True)
    log.write_text("(raylet) ray_syncer_server.cc:30:  An unexpected system state has occurred.")

    def breaks(self: tune.Tune, driver: Any) -> None:
        if next(left, None) is not None:
            raise EngineFailed("Ray's raylet died")

    monkeypatch.setattr(tune.Tune, "_fit", breaks)
    monkeypatch.setattr("search.engine.ray.cluster.restart", lambda folder, verbose: None)
    tune.Tune(ForkServer(tmp_path, ""), WorkerConfig("data", "cpu", 1), Resources(1, 0), 1).run(driver)  # type: ignore[arg-type]
    assert marks == [False] * 20
    (line,) = said
    assert line.startswith("a program without this Ray's token has crashed it")
