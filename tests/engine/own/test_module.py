"""A space file is a module: what works in a script works in its train(), on both engines."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from live import CORES
from refusals import OWN, refused

from search.space.file import load_space, load_train
from search.study.study import load_study

Write = Callable[[str, str], Path]
pytestmark = pytest.mark.usefixtures("sys_path")

SPACE = """
from __future__ import annotations
import io, multiprocessing, pickle, sys, typing
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
import helper
from torch import nn, load, save
from torch.utils.data import DataLoader, Dataset

metric, trials = "rmse", 9

class Colour(Enum):
    RED = "red"

@dataclass
class Options:
    lr: float
    colour: Colour = Colour.RED

class Net(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)

class Numbers(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, place):
        return square(place)

def square(v: float) -> float:
    return v * v

def asked(connection, options: Options):
    connection.send((square(options.lr), options.colour is Colour.RED, helper.WORD))

def space(trial):
    return {"kind": trial.number, "options": Options(0.5), "colour": Colour.RED, "words": {"d", "c", "b", "a"}}

def pool(config):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(square, [1.0, 2.0])) == 5.0

def spawned(config):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=asked, args=(there, config["options"]))
    process.start()
    answer = here.recv()
    process.join()
    return answer == (0.25, True, "beside") and process.exitcode == 0

def local(config):
    @dataclass
    class Inner:
        lr: float
        name: str = "a"
    return Inner(0.1).lr == 0.1

def hints(config):
    return typing.get_type_hints(Options)["colour"] is Colour and typing.get_type_hints(asked)["options"] is Options

def same(config):
    options = pickle.loads(pickle.dumps(config["options"]))
    alike = isinstance(options, Options) and options.colour is Colour.RED is config["colour"]
    return alike and len(fields(options)) == 2

def saved(config):
    file = io.BytesIO()
    save(Net(), file)
    file.seek(0)
    return isinstance(load(file, weights_only=False), Net)

def loader(config):
    return [int(x) for batch in DataLoader(Numbers(), 2, num_workers=1) for x in batch] == [0, 1, 4, 9]

def importable(config):
    return sys.modules[Options.__module__].Options is Options and sys.modules["helper"] is helper

def found(config):
    return Path(__file__).is_absolute() and Path(__file__).name == "space.py" and __name__ == "space"

KINDS = [pool, spawned, local, hints, same, saved, loader, importable, found]

def train(config):
    kind = KINDS[config["kind"]]
    if not kind(config):
        raise ValueError(kind.__name__)
    yield {"rmse": 10.0 - config["kind"]}

if __name__ == "__main__":
    raise SystemExit("this file was not imported")
"""


@pytest.mark.whole
@pytest.mark.parametrize("engine", ["inline", "auto"])
def test_what_works_in_a_script_works_in_train(cli: Cli, write: Write, engine: str) -> None:
    write("helper.py", 'WORD = "beside"')
    write("space.py", SPACE)
    one = ("--cpus-per-trial", CORES) if engine == "auto" else ()  # process, as each has to import torch
    result = cli("run", "space.py", "--engine", engine, "--max-failures", 0, *one)
    trials = load_study("sqlite:///studies.db", "space").get_trials()
    assert [trial.user_attrs.get("error") for trial in trials] == [None] * 9, result
    assert trials[0].user_attrs["config"] == {
        "kind": 0,
        "options": {"lr": 0.5, "colour": "red"},
        "colour": "red",
        "words": ["a", "b", "c", "d"],
    }
    assert result.out.startswith("minimise rmse\n")
    assert load_study("sqlite:///studies.db", "space").best_trial.number == 8
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL  # which Tune takes


def test_train_is_the_function_of_the_module_that_was_read(write: Write) -> None:
    path = write("space.py", f"made = []\nmade.append(1)\n{OWN}")
    first = load_space(path)
    assert load_train(path) is first.train  # the file is not run a second time
    assert load_space(path).train is not first.train
    write("space.py", OWN.replace("score", "loss"))
    assert load_train(path) is not first.train  # it was edited


def test_what_lies_beside_is_read_afresh_and_is_the_files_own(write: Write) -> None:
    text = f"import helper\n{OWN}direction = helper.WAY"
    write("helper.py", "WAY = 'minimize'")
    one = write("space.py", text)
    write("other/helper.py", "WAY = 'maximize'  # of another folder")
    two = write("other/space.py", text)
    assert [load_space(path).direction for path in (one, two, one)] == ["minimize", "maximize", "minimize"]
    assert sys.path.count(str(one.parent)) == 1
    assert str(two.parent) not in sys.path
    write("helper.py", "WAY = 'maximize'  # edited")
    assert load_space(one).direction == "maximize"
    a, b = write("a.py", f"import helper\n{OWN}"), write("b.py", f"import helper\n{OWN}")
    load_space(a)
    load_space(b)
    assert load_train(a) is not None


@pytest.mark.parametrize("name", ["random.py", "search.py", "yaml.py", "conftest.py"])
def test_a_file_that_hides_a_module_is_refused(cli: Cli, write: Write, name: str) -> None:
    write(name, OWN)
    said = refused(cli, "run", name, "--engine", "inline")
    assert said.startswith(f"search: {name}: the file hides ")
    assert said.endswith(f"module {Path(name).stem!r} from all that imports it: rename the file")


def test_a_neighbour_of_a_name_that_is_taken_is_refused(cli: Cli, write: Write) -> None:
    write("refusals.py", "X = 1")
    write("space.py", f"import refusals\n{OWN}")
    said = refused(cli, "run", "space.py", "--engine", "inline")
    assert said.startswith("search: space.py:1: refusals is another module in this process, ")


def test_a_file_with_dots_or_called_like_ours_is_named_by_its_line(cli: Cli, write: Write) -> None:
    assert load_space(write("v1.2-b.py", OWN)).name == "v1.2-b"
    write("space.py", "from search import SearchSpace\nspace = SearchSpace(x=1\n)\nspace.fix('y', '1')")
    said = refused(cli, "run", "space.py", "--engine", "inline")
    assert said.startswith("search: set={'y': '1'}: unknown") or "--set y=1: unknown setting 'y'" in said
    write("space.py", "from search import Choice, SearchSpace\n\nspace = SearchSpace(\n    x=Choice(1, 1))")
    said = refused(cli, "run", "space.py", "--engine", "inline")
    assert said == "search: space.py:4: x=Choice(1, 1)): ValueError: Choice has two options labelled '1'"
