"""Whatever ends a trial, its train() runs to its end or is closed: real runs of both engines, watched from outside."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live import CORES, WAIT, Run
from optuna.trial import FrozenTrial, TrialState

KINDS = """
    import atexit, multiprocessing, os, signal, subprocess, sys, time, warnings
    from pathlib import Path
    import optuna
    from search import ASHA

    kinds = "good moves long short stuck fails nan missing byhand logs shuts pool after poor".split() + {more}
    metric, trials, pruner = "score", len(kinds), ASHA(1, 4)
    here = Path(__file__).parent

    def space(trial):
        return {"x": trial.suggest_float("x", 0, 1), "kind": kinds[trial.number], "epochs": 2}

    def say(*words):
        with (here / "log").open("a") as file:
            print(*words, file=file)

    atexit.register(say, "exit", os.getpid())

    class Logger:
        def __init__(self):
            self.terminal, self.file = sys.stdout, (here / "logged").open("w")

        def write(self, text):
            self.terminal.write(text)
            self.file.write(text)

        def flush(self):
            self.file.flush()

    def handlers():
        return " ".join(str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))

    def stay():
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass

    def pool():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
        child = multiprocessing.get_context("fork").Process(target=stay)
        child.start()
        time.sleep(0.2)
        child.terminate()
        child.join(20)
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, handlers().encode())
            os._exit(0)
        echo = subprocess.run(["echo", "3"], capture_output=True, text=True).stdout
        return {"exit": child.exitcode, "handlers": os.read(read, 1000).decode(), "echo": echo.strip()}

    def train(config):
        kind = config["kind"]
        say("open", kind, os.getpid())
        if kind == "logs":
            sys.stdout = Logger()
        if kind != "short":
            print(f"printed by {kind}")
            warnings.warn(f"{kind} warns")
        try:
            more = pool() if kind == "pool" else {}
            score = 0.1 if kind in ("poor", "stuck") else 0.9
            try:
                yield {"wrong" if kind == "missing" else "score": score, "at": os.getcwd()}
            except GeneratorExit:
                if kind == "stuck":
                    yield {"score": 0.0}
                raise
            if kind == "exits":
                os._exit(3)
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "moves":
                os.chdir("/")
            if kind == "shuts":
                sys.stdout.close()
                sys.stderr.close()
            if kind == "fails":
                raise ValueError("no good")
            if kind == "byhand":
                raise optuna.TrialPruned("makes no sense")
            if kind == "short":
                return
            yield {"score": float("nan") if kind == "nan" else score, "at": os.getcwd(), **more}
            if kind == "long":
                yield {"score": 0.5}
                yield {"score": 0.6}
            if kind == "cuda":
                raise RuntimeError("CUDA error: device-side assert triggered")
            if kind == "after":
                raise RuntimeError("the model cannot be saved")
            say("after", kind)
        finally:
            say("close", kind, os.getpid())
"""


MORE = ["cuda", "exits", "killed", "last1", "last2", "last3"]
KILLED = {"exits", "killed"}
"""Kinds that end a process, which the inline engine has only one of; the errors of a GPU are faked."""


@dataclass
class Ended:
    """A run of KINDS that has ended."""

    run: Run
    trials: dict[str, FrozenTrial]
    log: list[list[str]]

    def said(self, word: str) -> list[str]:
        return [kind for found, kind, *_ in self.log if found == word]


def ran(path: Path, *words: str) -> Iterator[Ended]:
    run = Run(path, *words)
    try:
        assert run.process.wait(WAIT) == 0, run.output
        log = [line.split() for line in (run.folder / "log").read_text().splitlines()]
        yield Ended(run, {trial.user_attrs["config"]["kind"]: trial for trial in run.trials()}, log)
    finally:
        run.end()


@pytest.fixture(scope="module")
def inline(folder: Callable[[str], Path]) -> Iterator[Ended]:
    yield from ran(folder(KINDS.replace("{more}", "[]")), "--engine", "inline")


def side_by_side(folder: Path, engine: str) -> Iterator[Ended]:
    yield from ran(folder, "--engine", engine, "--cpus-per-trial", str(max(1, CORES // 2)))


@pytest.fixture(scope="module")
def auto(folder: Callable[[str], Path]) -> Iterator[Ended]:
    yield from side_by_side(folder(KINDS.replace("{more}", str(MORE))), "auto")


@pytest.fixture(scope="module")
def tune(folder: Callable[[str], Path]) -> Iterator[Ended]:
    yield from side_by_side(folder(KINDS.replace("{more}", str(MORE))), "tune")


@pytest.fixture(params=["inline", "auto", pytest.param("tune", marks=pytest.mark.whole)])
def ended(request: pytest.FixtureRequest) -> Ended:
    found: Ended = request.getfixturevalue(request.param)
    return found


def test_a_train_runs_to_its_own_end(ended: Ended) -> None:
    good, long, short, after = (ended.trials[kind] for kind in ("good", "long", "short", "after"))
    assert [good.state, long.state, short.state] == [TrialState.COMPLETE] * 3
    assert [good.value, long.value, short.value] == [0.9, 0.6, 0.9]
    assert long.intermediate_values == {1: 0.9, 2: 0.9, 3: 0.5, 4: 0.6}
    assert after.state == TrialState.FAIL
    assert after.user_attrs["error"].endswith("RuntimeError: the model cannot be saved")
    assert set(ended.said("after")) - {*MORE} == {"good", "moves", "long", "logs", "shuts", "pool"}
    (line,) = [line for line in ended.run.output.splitlines() if "epochs=2" in line]
    assert line.endswith(("more often than its setting epochs=2 says; the pruner is not asked after that", "otherwise"))


def test_a_train_is_closed_however_its_trial_ends(ended: Ended) -> None:
    states = {kind: trial.state.name for kind, trial in ended.trials.items()}
    failed = {"fails", "nan", "missing", "after", "cuda", *KILLED}
    assert {kind for kind, state in states.items() if state == "FAIL"} == failed & {*states}
    assert [kind for kind, state in states.items() if state == "PRUNED"] == ["stuck", "byhand", "poor"]
    opened, closed = (
        sorted(words[1:] for words in ended.log if words[0] == word and words[1] not in {*KILLED, "stuck"})
        for word in ("open", "close")
    )
    assert opened == closed  # each in its own process
    assert sorted(kind for kind, _ in opened) == sorted({*states} - KILLED - {"stuck"})


def test_a_train_that_yields_when_it_is_closed_is_left_there(ended: Ended) -> None:
    number = ended.trials["stuck"].number
    line = KINDS.splitlines().index('                    yield {"score": 0.0}') + 1
    said = f"trial {number}: closing its train(): space.py:{line}: it is closed and yields again, so it is left there"
    assert ended.run.output.count(said) == 1, ended.run.output
    if ended.trials.keys() & KILLED:  # of several processes, another takes the place of its one
        opened = [words[1:] for words in ended.log if words[0] == "open"]
        place = next(place for place, (kind, _) in enumerate(opened) if kind == "stuck")
        assert opened[place][1] not in {pid for _, pid in opened[place + 1 :]}


def test_a_trial_that_changes_the_working_directory_changes_it_for_itself(ended: Ended) -> None:
    found = {kind: trial.user_attrs.get("epoch", {}).get("at") for kind, trial in ended.trials.items()}
    assert found.pop("moves") == "/"
    assert {place for place in found.values() if place} == {str(ended.run.folder)}
    assert (ended.run.folder / "reports" / "space.md").is_file()


def test_what_a_train_prints_is_seen_or_kept(ended: Ended) -> None:
    shown = ended.run.output
    if "in this process" not in shown:  # several side by side
        assert "printed by" not in shown
        assert "\noutput       runs/space/output\n" in shown
        folder = ended.run.folder / "runs" / "space" / "output"
        kept = {trial.number: kind for kind, trial in ended.trials.items() if kind != "short"}
        assert sorted(path.name for path in folder.iterdir()) == [f"trial-{number:04d}.txt" for number in sorted(kept)]
        for number, kind in kept.items():
            text = (folder / f"trial-{number:04d}.txt").read_text()
            assert text.startswith(f"printed by {kind}\n")
            assert f"UserWarning: {kind} warns" in text
        return
    for kind in ended.trials.keys() - {"short"}:
        assert f"printed by {kind}\n" in shown
        assert f"UserWarning: {kind} warns\n" in shown


def test_a_train_that_replaces_or_closes_its_streams_keeps_ours_and_those_of_other_trials(ended: Ended) -> None:
    assert (ended.run.folder / "logged").read_text() == "printed by logs\n"
    assert {ended.trials[kind].state.name for kind in ("logs", "shuts")} == {"COMPLETE"}
    assert "\nreport       reports/space.md\n" in ended.run.output


def test_each_process_calls_what_atexit_has(ended: Ended) -> None:
    trained = {words[2]: words[1] for words in ended.log if words[0] == "open"}  # with its last
    assert {pid for pid, kind in trained.items() if kind not in KILLED} <= set(ended.said("exit"))


@pytest.mark.whole
def test_a_trial_whose_worker_dies_says_how(tune: Ended) -> None:
    for kind, how in (("exits", "exit status 3"), ("killed", "SIGKILL")):
        said = f"node_lost: its worker process died 3 times, the last time by {how}"
        assert tune.trials[kind].user_attrs["error"].startswith(said)
        assert tune.said("open").count(kind) == 3


@pytest.mark.whole
def test_a_process_whose_gpu_is_broken_trains_no_more(tune: Ended) -> None:
    opened = [words[1:] for words in tune.log if words[0] == "open"]
    (broken,) = (place for place, (kind, _) in enumerate(opened) if kind == "cuda")
    before, after = opened[:broken], opened[broken + 1 :]
    assert opened[broken][1] in {pid for _, pid in before}  # it was warm
    assert len(after) >= 6
    assert opened[broken][1] not in {pid for _, pid in after}


def test_what_a_train_forks_has_the_handlers_of_a_script(ended: Ended) -> None:
    pool = ended.trials["pool"]
    assert (pool.state, pool.user_attrs["epoch"]["exit"]) == (TrialState.COMPLETE, -signal.SIGTERM)
    default = f"{signal.default_int_handler} {signal.SIG_DFL!s} {signal.SIG_DFL!s}"
    assert pool.user_attrs["epoch"]["handlers"] == default
    assert "Traceback" not in ended.run.output


def test_a_trial_pruned_by_its_own_code_says_why(ended: Ended) -> None:
    trial = ended.trials["byhand"]
    assert (trial.user_attrs["pruned"], "error" in trial.user_attrs) == ("makes no sense", False)
    assert f"trial {trial.number} pruned: makes no sense" in ended.run.output
