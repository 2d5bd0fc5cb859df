"""What a train() does that its user would not see: models that its trials share, settings that it never reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli

from search.engine.messages import Order, Report, WorkerConfig
from search.engine.worker import Worker
from search.space.file import load_space
from search.study.code import unread

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
