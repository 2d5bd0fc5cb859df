"""Space files, and each way in which one can be wrong: through the real command, where it ends as one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import refusals
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial
from refusals import GOOD, OWN

from search.errors import SearchError
from search.space.file import SpaceFile, load_space, load_train

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]

RUN = """\
def space(trial):
    return dict(
        model="cnn", dataset="digits", epochs=2,
        lr=trial.suggest_float("lr", 1e-3, 0.1), step_size=1, gamma=0.1
    )
"""

WRONG: list[tuple[str, str, str, str]] = [
    # what it is, the text, what stands in its place, what is said
    ("syntax", "    epochs=2,", "    epochs=,", "s.py:6: invalid syntax: epochs=,"),
    ("null byte", "    epochs=2,", "    \0", "s.py: source code string cannot contain null bytes"),
    ("name", "=Int(", "=Integer(", "s.py:8: step_size=Integer(1, 3),: NameError: name 'Integer' is not defined"),
    ("import", "from search import", "import nowhere\nfrom search import", "s.py:1: import nowhere: Module"),
    ("exit", "space = ", "raise SystemExit(3)\nspace = ", "s.py:3: raise SystemExit(3): SystemExit: 3"),
    ("two lines", "space = ", "raise OSError('a\\nb')\nspace = ", "s.py:3: raise OSError('a\\nb'): OSError: a"),
    ("no space", "space = ", "spaces = ", "s.py: no space; a space file says `space = SearchSpace(...)`"),
    ("kind", "space = SearchSpace(", "space = dict(", "s.py: space is a dict; it must be a SearchSpace or a function"),
    ("train", "space = ", "train = 3\nspace = ", "s.py: train is a int; it must be a generator function"),
    ("misspelt", "    epochs=2,", "    epoch=2,", "s.py:6: unknown setting 'epoch'; did you mean 'epochs'?"),
    ("strange", "    epochs=2,", "    zzz=2,", "s.py:6: unknown setting 'zzz'; known are augment, batch_size"),
    ("in a branch", "(0.1, 0.5)", "(a=dict(gama=1))", "s.py:9: unknown setting 'gama'; did you mean 'gamma'?"),
    ("missing", "    epochs=2,\n", "", "s.py: the setting 'epochs' is missing (passes over the training split)"),
    ("a branch misses", "gamma=Choice(0.1, 0.5)", "g=Choice(a=dict(gamma=1.0), b=dict())", "s.py: the setting 'gamma'"),
    ("no step", "    step_size=Int(1, 3),\n", "", "s.py: the setting 'step_size' is missing (epochs between"),
    ("no step, the way out", "    step_size=Int(1, 3),\n", "", "): schedule='step' needs it, and another, such as"),
    ("step is None", "Int(1, 3)", "None", "s.py: the setting 'step_size' is missing (epochs between two decays"),
    ("one option steps", "    step_size=Int(1, 3),\n", "    schedule=Choice('cosine', 'step'),\n", "'step_size' is"),
    ("no dropout", "    epochs=2,", "    epochs=2, dropout=0.5,", "s.py: dropout=0.5: cnn has no dropout layer"),
    ("reversed", "Float(1e-3, 1e-1", "Float(1e-1, 1e-3", "s.py:7: lr=Float(1e-1, 1e-3, log=True),: ValueError: "),
    ("log of zero", "Float(1e-3", "Float(0", "s.py:7: lr=Float(0, 1e-1, log=True),: ValueError: "),
    ("empty range", "Int(1, 3)", "Int(3, 1)", "s.py:8: step_size=Int(3, 1),: ValueError: "),
    ("empty choice", "Choice(0.1, 0.5)", "Choice()", "s.py:9: gamma=Choice(),: ValueError: Choice() needs"),
    ("twice", "Choice(0.1, 0.5)", "Choice(0.1, 0.1)", "s.py:9: gamma=Choice(0.1, 0.1),: ValueError: Choice has two"),
    ("out of bounds", "Int(1, 3)", "Int(0, 3)", "s.py:8: step_size=0: input should be greater than or equal to 1"),
    ("upper bound", "Choice(0.1, 0.5)", "Float(0.1, 2)", "s.py:9: gamma=2.0: input should be less than or equal to 1"),
    ("type", "epochs=2", "epochs='2'", "s.py:6: epochs='2': input should be a valid integer"),
    ("option", "Choice(0.1, 0.5)", "Choice(0.1, 5)", "s.py:9: gamma=5: input should be less than or equal to 1"),
    ("model", '"cnn"', '"alexnett"', "s.py: unknown model 'alexnett'; did you mean 'alexnet'?"),
    ("no model", '"cnn"', '"qqq"', "s.py: unknown model 'qqq'; known are alexnet, cnn, convnext_base, "),
    ("data set", '"digits"', '"digit"', "s.py: unknown dataset 'digit'; did you mean 'digits'?"),
    ("no data set", '"digits"', '"qqq"', "s.py: unknown dataset 'qqq'; known are caltech101, cifar10, cifar100"),
    ("no data", '"digits"', '"caltech101"', "s.py: no Caltech-101 in "),
    ("late option", '"cnn"', 'Choice("cnn", "alexnett")', "s.py: unknown model 'alexnett'"),
    ("frozen", "    epochs=2,", "    epochs=2, frozen=('9',),", "s.py: frozen='9' matches no parameter of the model"),
    ("all frozen", "    epochs=2,", "    epochs=2, frozen=('0', '1', '2'),", "s.py: frozen='0,1,2' freezes the whole"),
    ("weights", "    epochs=2,", "    epochs=2, weights='none.pth',", "s.py: weights='none.pth': no such file; "),
    ("no weights", "    epochs=2,", "    epochs=2, weights='DEFAULT',", "s.py: weights='DEFAULT': 'cnn' has no"),
    ("trials", "space = ", "trials = 0\nspace = ", "s.py: trials = 0; it must be 1 or more"),
    ("trials kind", "space = ", "trials = True\nspace = ", "s.py: trials = True; it must be of type int"),
    ("metric", "space = ", "metric = 'val_ac'\nspace = ", "s.py: metric = 'val_ac' is not measured; did"),
    ("direction", "space = ", "direction = 'up'\nspace = ", "s.py: direction = 'up'; it must be 'minimize' or"),
    ("pruner", "space = ", "pruner = ASHA\nspace = ", "it must be of type BasePruner"),
    ("no pruner", "space = ", "pruner = None\nspace = ", "optuna.pruners.NopPruner() prunes nothing"),
    ("pruner value", "space = ", "pruner = ASHA(0)\nspace = ", "s.py:3: pruner = ASHA(0): ValueError: min_resource=0"),
    ("resources", "space = ", "resources = dict(cpu=2)\nspace = ", "s.py: resources = {'cpu': 2}; it must be like"),
    ("baselines", "space = ", "baselines = 'no.csv'\nspace = ", "no.csv: the baselines cannot be read: "),
]  # fmt: skip


def test_a_schedule_without_steps_needs_none(write: Write) -> None:
    text = GOOD.replace("    step_size=Int(1, 3),\n", "").replace("gamma=Choice(0.1, 0.5)", "SCHEDULE")
    load_space(write("s.py", text.replace("SCHEDULE", "schedule='cosine'")))
    branches = "schedule=Choice(cosine=dict(schedule='cosine'), step=dict(schedule='step', step_size=2, gamma=0.1))"
    path = write("s.py", text.replace("SCHEDULE", branches))
    assert load_space(path, ["schedule=cosine"]).suggest(FixedTrial({"lr": 0.1}))["schedule"] == "cosine"
    path = write("s.py", text.replace("SCHEDULE", "schedule='one_cycle'"))
    with pytest.raises(SearchError, match="the setting 'step_size' is missing"):
        load_space(path, ["schedule=step"])
    load_space(path, ["schedule=step", "step_size=2", "gamma=0.1"])  # whatever comes first
    assert load_space(path, ["augment=none"]).suggest(FixedTrial({"lr": 0.1}))["augment"] == "none"
    assert load_space(path, ["dropout=none"]).suggest(FixedTrial({"lr": 0.1}))["dropout"] is None


def refused(cli: Callable[..., Any], *words: object) -> str:
    """The one line with which `search run` refuses."""
    return refusals.refused(cli, "run", *words, "--engine", "inline", "--trials", 1)


@pytest.mark.parametrize(("old", "new", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_space_file_is_one_line_that_names_the_place(
    cli: Callable[..., Any], write: Write, old: str, new: str, said: str
) -> None:
    assert GOOD.count(old) == 1
    assert said in refused(cli, write("s.py", GOOD.replace(old, new)))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lr", "search: --set lr: write it as name=value"),
        ("=1", "search: --set =1: write it as name=value"),
        ("lrr=1", "search: --set lrr=1: unknown setting 'lrr'; did you mean 'lr'?"),
        ("gamma=0.3", "search: --set gamma=0.3: gamma is one of 0.1, 0.5"),
        ("lr=fast", "search: --set lr=fast: lr='fast': input should be a valid number"),
        ("lr=-1", "search: --set lr=-1: lr=-1: input should be greater than 0"),
        ("lr={[]:1}", "search: --set lr={[]:1}: lr='{[]:1}': input should be a valid number"),
        ("epochs=1.5", "search: --set epochs=1.5: epochs=1.5: input should be a valid integer"),
        ("model=cnnn", "s.py: unknown model 'cnnn'; did you mean 'cnn'?"),
        ("frozen=0.9", "s.py: frozen='0.9' matches no parameter of the model; did you mean '"),
        ("weights=3in.pth", "s.py: weights='3in.pth': no such file"),
    ],
)
def test_a_wrong_set_is_one_line(cli: Callable[..., Any], write: Write, word: str, said: str) -> None:
    assert said in refused(cli, write("s.py", GOOD), "--set", word)


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (RUN, ("--set", "lrr=1"), "--set lrr=1: unknown setting 'lrr'; did you mean 'lr'?"),
        (RUN, ("--epochs", "0"), "s.py: space(trial): epochs=0: input should be greater than or equal to 1"),
        (RUN.replace("dict(", "list("), (), "s.py: space(trial) raised TypeError: "),
        ("def space(trial):\n    return 3", (), "s.py: space(trial) returned a int; it must be a dict of settings"),
        ("def space(trial):\n    return 3", ("--epochs", "3"), "s.py: space(trial) returned a int"),
        ("def space(trial):\n    raise OSError('a\\nb')", (), "s.py: space(trial) raised OSError: a"),
        (RUN.replace("model=", "modl="), (), "s.py: space(trial): the setting 'model' is missing"),
        (OWN, ("--set", "y=1"), "--set y=1: unknown setting 'y'"),
    ],
)
def test_wrong_functions_and_free_names(
    cli: Callable[..., Any], write: Write, text: str, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(cli, write("s.py", text), *words)


def test_a_missing_file_says_which_are_there(cli: Callable[..., Any], write: Write) -> None:
    write("here/a.py", GOOD)
    assert refused(cli, "here/b.py") == "search: here/b.py: no such space file; here are here/a.py"
    assert refused(cli, "nowhere/b.py") == "search: nowhere/b.py: no such space file"
    assert refused(cli, "here") == "search: here: no such space file"


def test_a_space_file_and_what_it_leaves_out(write: Write) -> None:
    loaded = load_space(write("my_search.py", GOOD))
    assert (loaded.name, loaded.trials, loaded.metric, loaded.direction) == ("my_search", 64, "val_acc", "maximize")
    assert (loaded.train, loaded.sampler, loaded.pruner, loaded.baselines, loaded.resources) == (
        None,
        None,
        None,
        (),
        {},
    )


def test_a_space_file_and_what_it_may_say(write: Write) -> None:
    more = (
        "from helper import SEED\nfrom optuna.samplers import RandomSampler\nsampler = RandomSampler(seed=SEED)\n"
        "trials, metric, pruner, resources = 5, 'val_loss', ASHA(2, 3), dict(cpus=2, gpus=0.5)\n"
    )
    write("helper.py", "SEED = 3")
    loaded = load_space(write("s.py", GOOD + more))
    assert (loaded.trials, loaded.metric, loaded.direction) == (5, "val_loss", "minimize")  # a loss: less is better
    assert repr(loaded.pruner) == "ASHA(min_resource=2, reduction_factor=3)"
    assert isinstance(loaded.sampler, optuna.samplers.RandomSampler)
    assert loaded.resources == {"cpus": 2, "gpus": 0.5}
    assert load_space(write("s.py", f"{GOOD}resources = dict(gpus='auto')")).resources == {"gpus": "auto"}


def test_a_latin_1_file_is_read_as_python_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    path.write_bytes(f"# coding: latin-1\n# é\n{GOOD}".replace("epochs=", "epoch=").encode("latin-1"))
    with pytest.raises(SearchError, match=r"s\.py:8: unknown setting 'epoch'"):
        load_space(path)


def test_set_fixes_settings_in_turn(write: Write) -> None:
    loaded = load_space(write("s.py", GOOD), ["gamma=0.5", "lr=0.01", "lr=0.02", "seed=7", "step_size=2"])
    settings = loaded.suggest(FixedTrial({}))
    assert settings == dict(model="cnn", dataset="digits", epochs=2, lr=0.02, step_size=2, gamma=0.5, seed=7)


def draw(loaded: SpaceFile) -> dict[str, Any]:
    return loaded.suggest(optuna.create_study(sampler=loaded.keep_fixed(RandomSampler(seed=0))).ask())


def test_set_fixes_what_a_function_asks_for_and_what_it_returns(write: Write) -> None:
    path = write("s.py", RUN)
    sampler = RandomSampler()
    assert load_space(path).keep_fixed(sampler) is sampler
    settings = draw(load_space(path, ["lr=0.05", "epochs=1"]))
    assert (settings["lr"], settings["epochs"], settings["gamma"]) == (0.05, 1, 0.1)


def test_set_does_not_take_the_label_of_a_functions_dimension_for_its_value(write: Write) -> None:
    text = "def space(trial):\n    return {'frozen': {'a': 1, 'b': 2}[trial.suggest_categorical('w', ['a', 'b'])]}"
    path = write("s.py", text.replace("frozen", "w"))
    assert draw(load_space(path, ["w=b"])) == {"w": 2}


def test_a_train_of_its_own_has_free_names(write: Write) -> None:
    path = write("s.py", OWN)
    loaded = load_space(path, ["epochs=5"])
    assert loaded.suggest(FixedTrial({"x": 0.5})) == {"x": 0.5, "epochs": 5}
    train = load_train(path)
    assert train is not None
    assert list(train({"x": 0.5})) == [{"score": 0.5}]
    assert load_train(write("t.py", GOOD)) is None


def test_two_functions_are_told_apart_by_their_source(write: Write) -> None:
    first = load_space(write("a.py", RUN)).describe()
    assert load_space(write("b.py", f'"""Words."""\n{RUN}trials = 3\n')).describe() == first
    assert load_space(write("c.py", RUN.replace("0.1)", "0.2)"))).describe() != first
    assert load_space(write("a.py", RUN), ["epochs=1"]).describe() != first
    made = "space = lambda trial: dict(lr={})"
    one, two = (load_space(write(f"{lr}.py", made.format(lr))).describe() for lr in (1, 2))
    assert one != two
