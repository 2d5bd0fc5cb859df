"""What a train() does that its user would not see: models that its trials share, settings that it never reads."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli

from search.engine.messages import Ended, Failed, Order, Report, WorkerConfig
from search.engine.worker import Worker
from search.space.file import load_space
from search.study.code import unread
from search.study.study import load_study

Write = Callable[[str, str], Path]
pytestmark = pytest.mark.usefixtures("sys_path")
HEAD = """
from torch import nn, optim
from search import Choice, Float, SearchSpace
space = SearchSpace(lr=Float(0, 1), opt=Choice(sgd=dict(momentum=Float(0, 1)), adam={}), act=Choice("a", "b"), seed=0)
metric, trials = "score", 2
"""


def test_a_model_that_trials_share_is_said(write: Write, cli: Cli) -> None:
    write(
        "main.py",
        "from torch import nn, optim\nnet, loss = nn.Linear(2, 2), nn.CrossEntropyLoss()\n"
        "frozen = nn.Linear(2, 2).requires_grad_(False)\noptimizer = optim.SGD(net.parameters(), 0.1)\n",
    )
    path = write(
        "space.py",
        f"{HEAD}\nimport main\nfrom main import frozen, loss\nmine = nn.Linear(1, 1)\n"
        "def train(config):\n    yield {'score': len(config), **dict(epoch=main.net is not None)}\n",
    )
    worker = Worker(WorkerConfig("data", "cpu", 1, str(path)))
    notes = []
    for _ in range(2):
        worker.start(Order(1, {}))
        message = worker.step()
        assert isinstance(message, Report)
        notes.append(message.notes)
    ends = "is made once, and every trial of a process trains it further: make it in train(), or copy it there"
    assert notes == [[f"space.py: mine {ends}", f"main.py: net {ends}", f"main.py: optimizer {ends}"], []]
    assert cli("run", "space.py", "--engine", "inline").out.count(f"trial 0: main.py: net {ends}\n") == 1


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("x = config['lr'], config.get('momentum', 0), 'act' in config, config['seed']", ""),
        ("x = config['lr'], config['act']", "the settings momentum, seed, so they have"),
        ("x = [config['lr'] for _ in config['act']], config['seed']", "the setting momentum, so it has"),
        ("x = dict(config)", ""),
        ("x = f'{config}'", ""),
        ("x = (lambda: config)()", ""),
        ("x = locals()", ""),
        ("x = [config[name] for name in ('lr', 'act')]", ""),
    ],
)
def test_a_setting_that_train_never_reads_is_said(write: Write, body: str, left: str) -> None:
    path = write("space.py", f"{HEAD}\ndef train(config):\n    {body}\n    yield {{'score': 1}}\n")
    said = unread(load_space(path))
    assert said == ([f"train() does not read {left} no effect on the training"] if left else [])


def test_it_is_said_by_a_run(write: Write, cli: Cli) -> None:
    write("space.py", f"{HEAD}\ndef train(config):\n    yield {{'score': config['lr']}}\n")
    out = cli("run", "space.py", "--engine", "inline").out
    assert out.splitlines()[1] == (
        "train() does not read the settings momentum, act, seed, so they have no effect on the training"
    )


def test_a_setting_of_a_function_that_train_never_reads_is_said(write: Write) -> None:
    text = """
metric = "score"
def space(trial):
    x = trial.suggest_float("x", 0, 1)
    return {"x": x, "lambda": trial.suggest_float("lambda", 0, 1), "twice": 2 * x, "epochs": 3}
def train(config):
    yield {"score": config["x"]}
"""
    assert unread(load_space(write("space.py", text))) == [
        "train() does not read the setting lambda, so it has no effect on the training"
    ]


def test_a_number_that_a_trial_leaves_to_the_next_is_said(write: Write, cli: Cli) -> None:
    write("main.py", "best_acc, steps, name = 0, 0, 'a'\n")
    text = """
import main
from search import Float, SearchSpace
space, metric, trials, seen = SearchSpace(x=Float(0.5, 1)), "acc", 3, False
def train(config):
    global seen
    seen = False
    main.best_acc = max(main.best_acc, config["x"])
    yield {"acc": main.best_acc}
"""
    write("space.py", text)
    out = cli("run", "space.py", "--engine", "inline").out
    (line,) = [line for line in out.splitlines() if "main.py" in line]
    assert line.startswith("trial 1: main.py: best_acc is 0.")
    assert line.endswith("when the trial begins, and 0 in the file: an earlier trial of the process has changed it")


@pytest.mark.parametrize(
    ("top", "changes", "said"),
    [
        ("state = {'best': 0.0}", "state['best'] += 1", "space.py: state['best'] is 1.0"),
        ("args = argparse.Namespace(opt='adam', lr=1)", "vars(args).update(opt='sgd')", "space.py: args.opt is 'sgd'"),
        ("class Stop:\n    best = 0\nstop = Stop()\nstop.best = 0", "stop.best = 3", "space.py: stop.best is 3"),
        ("import main", "main.meter.count += 1", "main.py: meter.count is 1"),
        ("class Net:\n    count = 0", "Net.count += 1", "space.py: Net.count is 1"),
        ("import collections\nseen = collections.Counter(a=0)", "seen['a'] += 1", "space.py: seen['a'] is 1"),
        ("best = {'score': {'v': 0}}", "best['score']['v'] = 2", "space.py: best['score']['v'] is 2"),
        ("def count():\n    pass\ncount.n = 0", "count.n += 1", "space.py: count.n is 1"),
        (
            "import main\nmain.meter.n = main.Meter()",
            "main.meter.n.count = 4",
            "main.py: meter.n.count is 4",
        ),
        ("args = argparse.Namespace(seen=[])", "args.seen.append(1)", ""),
        ("state = {'best': 0.0}", "state['new'] = 1", ""),
    ],
)
def test_so_is_one_in_a_dict_or_an_object(write: Write, top: str, changes: str, said: str) -> None:
    write("main.py", "class Meter:\n    def __init__(self):\n        self.count = 0\n\nmeter = Meter()\n")
    text = f"import argparse\n{top}\nspace = None\ndef train(config):\n    {changes}\n    yield {{'score': 1}}\n"
    assert notes_of(write("space.py", text)) == ([f"{said} {WHEN}"] if said else [])


def test_so_is_one_of_a_train_that_is_an_object(write: Write) -> None:
    text = """
import functools
space = None
class Train:
    def __init__(self): self.seen = 0
    def __call__(self, more, config):
        self.seen += more
        yield {"score": self.seen}
made = Train()
train = functools.partial(made, 2)
"""
    assert notes_of(write("space.py", text)) == [f"space.py: made.seen is 2 {WHEN}"]


WHEN = "when the trial begins, and {} in the file: an earlier trial of the process has changed it"


def notes_of(path: Path) -> list[str]:
    """What the second trial of a process says, without the value that the file has."""
    worker, notes = Worker(WorkerConfig("data", "cpu", 1, str(path))), list[str]()
    for _ in range(2):
        worker.start(Order(1, {}))
        message = worker.step()
        assert isinstance(message, Report)
        notes = message.notes
    return [re.sub(r"and \S+ in the file", "and {} in the file", note) for note in notes]


def test_each_trial_has_its_own_lists(write: Write, cli: Cli) -> None:
    """On both engines: settings travel to a process as a copy."""
    text = """
from search import Choice, Float, SearchSpace
space = SearchSpace(hidden=[16, 8], width=Choice(small=[4], big=[4, 4]), more={"a": [1]}, x=Float(0, 1))
metric, direction, trials = "layers", "minimize", 3
def train(config):
    config["hidden"].insert(0, 64)
    config["width"].append(10)
    config["more"]["a"].append(1)
    yield {"layers": len(config["hidden"]), "widths": len(config["width"]), "more": len(config["more"]["a"])}
"""
    write("space.py", text)
    assert cli("run", "space.py", "--engine", "inline").status == 0
    for trial in load_study("sqlite:///studies.db", "space").trials:
        epoch, config = trial.user_attrs["epoch"], trial.user_attrs["config"]
        assert (epoch["layers"], epoch["more"], config["hidden"]) == (3, 2, [16, 8])
        assert epoch["widths"] == len(config["width"]) + 1 in (2, 3)


THREAD = """
import threading
def train(config):
    def fit():
        if config["fails"]:
            raise RuntimeError("in the middle")
    thread = threading.Thread(target=fit)
    yield {"score": 1}
    thread.start()
    thread.join()
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_trial_whose_thread_raises_fails(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    worker = Worker(WorkerConfig("data", "cpu", 1, str(write("space.py", f"space = None\n{THREAD}"))))
    before, ends = threading.excepthook, []
    for fails in (True, False):
        worker.start(Order(1, {"fails": fails}))
        assert isinstance(worker.step(), Report)
        ends.append(worker.step())
        worker.close()
    line = 'space.py:7: raise RuntimeError("in the middle"): RuntimeError: in the middle (in a thread of train())'
    assert ends == [Failed(1, f"user_code: {line}"), Ended(1)]
    assert threading.excepthook is before
