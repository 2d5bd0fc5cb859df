"""Real runs of `search run` on a real Ray, watched from outside: states, workers, sockets, dashboard, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from search.engine import tune
from search.engine.nursery import Nursery
from search.engine.worker import Workplace
from search.errors import SearchError
from search.study import load_study

BIN = Path(sys.executable).parent
CORES = len(os.sched_getaffinity(0))
WAIT = 120.0
"""Seconds, for whatever must happen on a machine that may be busy."""


def until(ready: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WAIT
    while not (found := ready()):
        assert time.monotonic() < deadline, f"in vain waited for {what}"
        time.sleep(0.1)
    return found


class Run:
    """A `search run` in a session of its own, as in a terminal; whatever it starts belongs to that session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SEARCH_", "OMP_", "RAY_"))}
        with (folder / "output").open("w") as output:
            self.process = subprocess.Popen(
                [str(BIN / "search"), "run", "space.py"],
                cwd=folder,
                env=ours,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def trials(self) -> list[FrozenTrial]:
        try:
            return load_study(f"sqlite:///{self.folder}/studies.db", "space").get_trials()
        except SearchError:  # not yet
            return []

    def started(self) -> bool:
        assert self.process.poll() is None, self.output
        return "side by side" in self.output

    def alive(self) -> dict[int, str]:
        """The processes of the session that run, with their command lines."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            fields = _read(process / "stat").rpartition(")")[2].split()
            if fields and fields[0] not in "ZX" and int(fields[3]) == self.process.pid:
                found[int(process.name)] = _read(process / "cmdline").replace("\0", " ")
        return found

    def temp(self) -> set[Path]:
        """The folders that Ray's processes work in."""
        return {Path(found) for found in re.findall(r"/tmp/search-ray-\w+", " ".join(self.alive().values()))}

    def end(self) -> None:
        """Leave nothing, whatever the test found."""
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def make(space: str) -> Path:
        path = tmp_path_factory.mktemp("run")
        (path / "space.py").write_text(textwrap.dedent(space))
        return path

    return make


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
    trials: list[FrozenTrial]


@pytest.fixture(scope="module")
def watched(folder: Callable[[str], Path]) -> Iterator[Watched]:
    run = Run(folder(KINDS))
    dashboard = None
    try:
        until(run.started, "Ray")
        port = _free_port()
        storage = f"sqlite:///{run.folder}/studies.db"
        dashboard = subprocess.Popen([str(BIN / "optuna-dashboard"), storage, "--port", str(port), "--quiet"])
        polls = [until(lambda: _poll(port, 1), "the first epoch of trial 0 on the dashboard")]
        processes, temp = run.alive(), run.temp()
        listening = _listening(set(processes))
        (run.folder / "gate2").touch()  # trial 0 goes on only when its epoch was seen
        polls.append(until(lambda: _poll(port, 2), "the second epoch of trial 0 on the dashboard"))
        (run.folder / "gate3").touch()
        assert run.process.wait(WAIT) == 0, run.output
        time.sleep(2)  # the dashboard reads the storage every two seconds
        polls.append(_poll(port, 3))
        yield Watched(run, polls, processes, temp, listening, run.trials())
    finally:
        run.end()
        if dashboard is not None:
            dashboard.kill()
            dashboard.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _poll(port: int, points: int) -> list[dict[str, Any]]:
    """The study's trials as the dashboard serves them, once trial 0 has so many points; before, nothing."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=10) as reply:
            study = json.load(reply)["study_summaries"][0]["study_id"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies/{study}?after=0", timeout=10) as reply:
            trials: list[dict[str, Any]] = json.load(reply)["trials"]
    except OSError:  # it is starting
        return []
    return trials if trials and len(trials[0]["intermediate_values"]) >= points else []


def _listening(pids: set[int]) -> list[str]:
    """The addresses, in hexadecimal, of the TCP sockets on which the processes listen."""
    links = [str(fd.readlink()) for pid in pids for fd in _descriptors(pid)]
    mine = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for name in ("tcp", "tcp6") for line in _read(Path("/proc/net") / name).splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in mine]


def _descriptors(pid: int) -> list[Path]:
    try:
        return [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()]
    except OSError:
        return []


@pytest.mark.parametrize(
    ("cpus", "gpus", "trials", "slots", "threads"),
    [(16, 1, 1, 1, 16), (16, 1, 3, 3, 5), (16, 1, 6, 6, 2), (64, 8, 7, 56, 1), (480, 8, 60, 480, 1)],
)
def test_so_many_trials_share_each_gpu(
    monkeypatch: pytest.MonkeyPatch, cpus: int, gpus: int, trials: int, slots: int, threads: int
) -> None:
    """Whatever a part of a GPU is rounded to: Ray counts it in ten-thousandths."""
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": cpus, "GPU": gpus})
    engine = tune.Tune(Nursery(Path(), ""), Workplace("data", "auto", 1), tune.Resources(0, 0), 0)
    shared = engine.shared(None, trials)
    assert (shared.slots, shared.workplace.threads, shared.workplace.device) == (slots, threads, "cuda")
    assert round(shared.resources.gpus * 10_000) * trials <= 10_000
    assert shared.workplace.gpus == shared.resources.gpus
    assert shared.resources.cpus * slots <= cpus
    assert engine.cpus_a_gpu == cpus / gpus


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_auto_without_a_gpu_is_the_default_and_says_so(folder: Callable[[str], Path]) -> None:
    run = Run(folder(AUTO))
    try:
        assert run.process.wait(WAIT) == 0, run.output
    finally:
        run.end()
    assert "--gpus-per-trial auto: no GPU here to share\nno GPU: training on" in run.output
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETE]


AUTO = """
    from search import Float, SearchSpace

    space = SearchSpace(model="cnn", dataset="digits", epochs=1, lr=Float(0.01, 0.3), step_size=1, gamma=0.1)
    trials, resources = 1, dict(gpus="auto")
"""


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
    assert raises.user_attrs["error"] == "ValueError: no good (space.py:17)"
    assert nan.user_attrs["error"] == "diverged: score is nan at epoch 2"
    assert raises.intermediate_values == nan.intermediate_values == {1: 0.5}
    assert "[12/12]" in watched.run.output


def test_a_trial_whose_worker_was_killed_runs_again(watched: Watched) -> None:
    (killed,) = of(watched, "kills")
    assert (killed.number, killed.state, killed.value) == (3, TrialState.COMPLETE, 0.7)
    assert killed.user_attrs["attempts"] == 1
    assert killed.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}


def test_workers_stay_warm_and_share_the_cores(watched: Watched) -> None:
    found = re.search(r"(\d+) trials side by side, CPU threads of each: (\d+)", watched.run.output)
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
    assert [address for address in watched.listening if not _loopback(address)] == []


def _loopback(address: str) -> bool:
    return (
        address.endswith("7F") if len(address) == 8 else address in (f"{0:024x}01000000", f"{0:016x}FFFF00000100007F")
    )


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


def test_ctrl_c_while_ray_starts_is_one_line_and_leaves_nothing(folder: Callable[[str], Path]) -> None:
    run = Run(folder(SLOW))
    try:
        temp = until(run.temp, "the nursery")
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.wait(WAIT) == 130, run.output
        until(lambda: not run.alive(), "the end of every process")
    finally:
        run.end()
    assert run.output == "interrupted before the first trial; to go on: search run space.py\n"
    assert not [path for path in temp if path.exists()]
    assert run.trials() == []


def test_a_killed_run_leaves_no_process_and_no_folder(folder: Callable[[str], Path]) -> None:
    run = Run(folder(SLOW))
    try:
        until(lambda: [trial for trial in run.trials() if trial.last_step], "an epoch")
        temp = run.temp()
        run.process.kill()
        until(lambda: not run.alive(), "the end of every process")
        assert len(temp) == 1
        until(lambda: not [path for path in temp if path.exists()], "the end of its folder")
    finally:
        run.end()


SLOW = """
    import time
    from pathlib import Path
    from search import Float, SearchSpace
    from optuna.pruners import NopPruner

    space = SearchSpace(x=Float(0, 1), epochs=600)
    metric, trials, pruner = "score", 4, NopPruner()

    def train(config):
        began = time.time()
        for epoch in range(config["epochs"]):
            hurry = (Path(__file__).parent / "hurry").exists()
            time.sleep(0 if hurry else 0.2)
            yield {"score": config["x"], "began": began}
            if hurry and epoch > 10:
                return
"""


def test_ctrl_c_puts_trials_back_and_the_same_command_goes_on(folder: Callable[[str], Path]) -> None:
    run = Run(folder(SLOW))
    try:
        until(run.started, "Ray")
        until(lambda: [trial for trial in run.trials() if trial.last_step and trial.last_step > 1], "two epochs")
        temp = run.temp()
        began = time.monotonic()
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.wait(WAIT) == 130, run.output
        until(lambda: not run.alive(), "the end of every process")
        assert time.monotonic() - began < 5
    finally:
        run.end()
    assert len(temp) == 1
    assert not [path for path in temp if path.exists()]
    assert "interrupted; 0 of 4 trials are done; to go on: search run space.py\n" in run.output
    assert "Traceback" not in run.output
    before = run.trials()
    assert {trial.state for trial in before} == {TrialState.WAITING}
    assert any(len(trial.intermediate_values) >= 2 for trial in before)

    (run.folder / "hurry").touch()
    again = Run(run.folder)
    try:
        assert again.process.wait(WAIT) == 0, again.output
    finally:
        again.end()
    after = again.trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 4
    for old, new in zip(before, after, strict=False):
        assert (new.number, new.params) == (old.number, old.params)
        assert new.intermediate_values.items() >= old.intermediate_values.items()
    assert f"interrupted trials that go on first: {len(before)}\n" in again.output
