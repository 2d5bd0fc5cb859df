"""Space files that nobody would write on purpose: one line before anything starts, or a FAIL with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from optuna.trial import TrialState
from refusals import GOOD, OWN, refused

from search.study.study import load_study

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]

RUN = ("run", "s.py", "--engine", "inline", "--trials", 1)
X = "Float(0, 1)"
METRIC = 'metric = "score"'
NAMED = "must be text that can be printed, of at most 200 characters"
VARIES = "only a Float, an Int or a Choice by itself varies"

FILES: dict[str, tuple[bytes, str]] = {
    # what it is: the whole file, and what is said
    "empty": (b"", "s.py: no space; a space file says `space = SearchSpace(...)`"),
    "not UTF-8": (b"space = '\xff'\n", "s.py:1: (unicode error) 'utf-8' codec can't decode"),
    "UTF-16": ("space = 1".encode("utf-16"), "s.py"),
    "an unknown encoding": (b"# coding: nonsense\n", "s.py: unknown encoding: nonsense"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "s.py"),
    "too deep to be parsed": (b"space = " + b"(" * 500 + b")" * 500, "s.py:1: too many nested parentheses"),
    "too deep to be compiled": (b"space = a" + b".a" * 20_000, "s.py: RecursionError: "),
    "huge": (GOOD.encode() + b"x = [" + b"1," * 50_000 + b"]\nspace.nothing\n", "s.py:12: space.nothing: Attribute"),
    "calls itself": (b"def f():\n    f()\nf()", "s.py:2: f(): RecursionError: "),
    "a generator's end": (b"raise GeneratorExit", "s.py:1: raise GeneratorExit: GeneratorExit: no message"),
    "cancelled": (b"import asyncio\nraise asyncio.CancelledError", "s.py:2: raise asyncio.CancelledError: Cancelled"),
    "an exit with a text": (b"import sys\nsys.exit('a\\nb')", "s.py:2: sys.exit('a\\nb'): SystemExit: a"),
    "no memory": (b"raise MemoryError", "s.py:1: raise MemoryError: MemoryError: no message"),
    "an error without words": (
        b"class E(Exception):\n    def __str__(self): raise KeyError\nraise E",
        "s.py:3: raise E: E: no message",
    ),
    "colours in the error": (b"raise ValueError('\\x1b[31mred')", r"ValueError: \x1b[31mred"),
    "many words in the error": (b"raise ValueError('a\\n' * 1000)", "s.py:1: raise ValueError('a\\n' * 1000): Value"),
    "another's class": (b"from search import SearchSpace as space", "s.py: space() must take one argument by position"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_space(cli: Cli, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "s.py").write_bytes(content)
    assert said in refused(cli, *RUN)


def test_a_folder_and_a_broken_link_in_a_space_files_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.py").mkdir()
    assert "s.py: no such space file" in refused(cli, *RUN)
    (tmp_path / "s.py").rmdir()
    (tmp_path / "s.py").symlink_to("/dev/null")  # no file that ends
    assert "s.py: no such space file" in refused(cli, *RUN)


SPACES: dict[str, tuple[str, str, str]] = {
    # what it is: the text in OWN, what stands in its place, and what is said
    "an end that is no number": (X, "Float(float('nan'), 1)", "s.py:2: x: a range has two ends"),
    "no upper end": (X, "Float(0, float('inf'))", "s.py:2: x: a range has two ends"),
    "no lower end": (X, "Float(float('-inf'), 1)", "s.py:2: x: a range has two ends"),
    "wider than numbers are": (X, "Float(-1.5e308, 1.5e308)", "s.py:2: x: a range has two ends"),
    "no step": (X, "Float(0, 1, step=0)", "s.py:2: space = SearchSpace(x=Float(0, 1, step=0)"),
    "a step back": (X, "Int(0, 4, step=-1)", "`step > 0` must hold"),
    "a step and a logarithm": (X, "Float(0.1, 1, step=0.1, log=True)", "s.py:2: "),
    "words for ends": (X, "Float('a', 'b')", "ValueError: could not convert string to float: 'a'"),
    "a word and a number": (X, "Int('1', 3)", "s.py:2: space = SearchSpace(x=Int('1', 3), epochs=3): TypeError: "),
    "an integer from no number": (X, "Int(1, float('nan'))", "cannot convert float NaN to integer"),
    "integers that storages round": (X, "Int(1, 2**53 + 1)", "x: a range has two ends, and integers at most 2**53"),
    "integers that are no floats": (X, "Int(1, 10**400)", "x: a range has two ends, and integers at most 2**53"),
    "the logarithm of 0": (X, "Int(0, 3, log=True)", "s.py:2: "),
    "Optuna's own choice": (X, "__import__('optuna').distributions.CategoricalDistribution([1])", VARIES),
    "a choice of choices": (X, "Choice(a=Choice(1, 2))", f"s.py:2: x: Choice(1=1, 2=2): {VARIES}"),
    "a choice of ranges": (X, "Choice(a=Float(0, 1))", VARIES),
    "a range in a list": (X, "[Float(0, 1)]", VARIES),
    "a range in a dict": (X, "{'a': Float(0, 1)}", VARIES),
    "a range in a list of a branch": (X, "Choice(a={'y': [Int(0, 1)]})", "s.py:2: x: {'y': [IntDistribution"),
    "an object": (X, "object()", "s.py:2: x=<object object at"),
    "an object as an option": (X, "Choice(object(), 1)", "s.py:2: x=<object object at"),
    "a function of no name": (X, "Choice(a=lambda: 1)", "s.py:2: x=<function <lambda> at"),
    "a lock": (X, "__import__('threading').Lock()", "a lock has no plain value that the record could keep; name it"),
    "a dict by pairs": (X, "{(1, 2): 3}", "keys are texts, and (1, 2) is none"),
    "a branch by numbers": (X, "Choice(a={1: 2})", f"s.py: the name 1 {NAMED}"),
    "a dict in itself": (X, "d)\nd['d'] = d\nspace = SearchSpace(x=d", "s.py: the space contains itself"),
    "a list in itself": (X, "l)\nl.append(l)\nspace = SearchSpace(x=l", "s.py: the space contains itself"),
    "a choice in itself": (X, "c)\nc.options['d'] = dict(x=c)\nspace = SearchSpace(x=c", "RecursionError"),
    "a space in itself": ("epochs=3)", "y=c)\nc.options['d'] = dict(x=c)", "s.py: the space contains itself"),
    "a name in a branch and beside it": (
        X,
        "Choice(a=dict(lr=Float(0, 1)), b=dict(m=0.9)),\n    lr=Float(1, 2)",
        "s.py:2 and 3: lr is set twice, in x=a and in the space, so that one of them has no effect: give each a name",
    ),
    "a fixed name in a branch and beside it": (X, "Choice(a=dict(epochs=4), b={})", "epochs is set twice, in x=a and"),
    "one name in two choices": (
        X,
        "Choice(big=dict(drop=Float(0, 0.1)), small={}),\n    z=Choice(large=dict(drop=Float(0.5, 1)), small={})",
        "s.py:2 and 3: drop is set twice, in x=big and in z=large, so that one of them has no effect",
    ),
    "a name deep inside and beside it": (
        X,
        "Choice(a=dict(y=Choice(b={'z': 1}, c={}), z=2), d={})",
        "s.py:2: z is set twice, in x=a, y=b and in x=a, so",
    ),
    "labels with dots that meet": (
        X,
        "Choice(**{'a.b': dict(q=Float(0, 1)), 'a': dict(y=Choice(b=dict(q=Float(2, 3)), c={}))})",
        "s.py:2: two settings have the dimension 'a.b.q': write labels without dots",
    ),
    "NUL in a name": ("epochs=3", "**{'a\\0b': 1}", rf"s.py:2: the name 'a\x00b' {NAMED}"),
    "an empty name": ("epochs=3", "**{'': Int(0, 1)}", f"s.py:2: the name '' {NAMED}"),
    "a name without end": ("epochs=3", "**{'a' * 600: Int(0, 1)}", NAMED),
    "half a character": ("epochs=3", "**{'\\udcff': Int(0, 1)}", rf"s.py:2: the name '\udcff' {NAMED}"),
    "NUL in a label": (X, "Choice(**{'a\\0': 1})", rf"s.py:2: x: the label 'a\x00' {NAMED}"),
    "a label of lines": (X, "Choice('a\\nb', 'c')", rf"s.py:2: x: the label 'a\nb' {NAMED}"),
    "a label without end": (X, "Choice('a' * 3000)", NAMED),
    "the same label twice": (X, "Choice(0.5, '0.5')", "ValueError: Choice has two options labelled '0.5'"),
    "a metric of no text": (METRIC, "metric = 'a\\0'", rf"s.py: the metric 'a\x00' {NAMED}"),
    "an empty metric": (METRIC, "metric = ''", f"s.py: the metric '' {NAMED}"),
    "trials in parts": (METRIC, "metric, trials = 's', 1.5", "s.py: trials = 1.5; it must be of type int"),
    "baselines of a number": (METRIC, "metric, baselines = 'score', 3", "s.py: baselines = 3; it must be the"),
    "baselines in a folder": (METRIC, "metric, baselines = 'score', '.'", "the baselines cannot be read"),
    "no CPUs at all": (METRIC, "metric, resources = 'score', dict(cpus=float('nan'))", "s.py: resources = "),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), SPACES.values(), ids=SPACES)
def test_a_space_that_cannot_be_searched(cli: Cli, write: Write, old: str, new: str, said: str) -> None:
    assert OWN.count(old) == 1
    head = "from search import Choice, Float, Int, SearchSpace; c, d, l = Choice(1, 2), {}, []"
    write("s.py", OWN.replace(old, new).replace("from search import Float, SearchSpace", head))
    assert said in refused(cli, *RUN)


FUNCTIONS: dict[str, tuple[str, str]] = {
    # what it is: what space(trial) does, and what is said
    "raises": ("raise ValueError('a\\nb')", "s.py: space(trial) raised ValueError: a"),
    "exits": ("raise SystemExit(4)", "s.py: space(trial) raised SystemExit: 4"),
    "prunes": ("import optuna; raise optuna.TrialPruned", "s.py: space(trial) pruned the point: no message"),
    "returns nothing": ("pass", "s.py: space(trial) returned a NoneType; it must be a dict of settings"),
    "returns a list": ("return [1]", "s.py: space(trial) returned a list; it must be a dict of settings"),
    "returns pairs": ("return {(1, 2): 3}", "that cannot be used: the record keeps a dict whose keys are"),
    "returns itself": ("d = {}; d['d'] = d; return d", "settings that cannot be used: the dict contains itself"),
    "returns an object": ("return {'x': object()}", "an object has no plain value that the record could keep"),
    "one name, two ranges": (
        "return {'x': trial.suggest_float('x', 0, 1), 'y': trial.suggest_float('x', 2, 3)}",
        'space(trial): inconsistent parameter values for distribution with name "x": a name has one range in a trial',
    ),
    "one name, two kinds": (
        "return {'x': trial.suggest_float('x', 0, 1), 'y': trial.suggest_int('x', 2, 3)}",
        "Cannot set different distribution kind to the same parameter name",
    ),
    "no end": ("return {'x': trial.suggest_float('x', 0, float('inf'))}", "s.py: space(trial) raised OverflowError: "),
    "reversed": ("return {'x': trial.suggest_int('x', 3, 1)}", "s.py: space(trial) raised ValueError: "),
    "a choice of nothing": ("return {'x': trial.suggest_categorical('x', [])}", "space(trial) raised ValueError: "),
    "a choice of lists": ("return {'x': trial.suggest_categorical('x', [[1]])}", "space(trial)"),
    "NUL in a name": ("return {'x': trial.suggest_float('a\\0b', 0, 1)}", rf"space(trial): the name 'a\x00b' {NAMED}"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_that_gives_no_settings(cli: Cli, write: Write, body: str, said: str) -> None:
    write("s.py", f"metric = 'score'\ndef space(trial):\n    {body}\ndef train(config):\n    yield {{'score': 1.0}}\n")
    assert said in refused(cli, *RUN)


def test_a_function_of_nothing_and_a_misspelt_word(cli: Cli, write: Write) -> None:
    text = "metric = 'score'\ndef space():\n    return {}\ndef train(config):\n    yield {'score': 1.0}\n"
    write("s.py", text)
    assert "s.py:2: space() must take one argument by position: space(trial)" in refused(cli, *RUN)
    write("s.py", text.replace("space()", "space(trial)").replace("{}", "{'width': 3}"))
    assert "--set widht=4: unknown setting 'widht'; did you mean 'width'?" in refused(cli, *RUN, "--set", "widht=4")


TRAINS: dict[str, tuple[str, str]] = {
    # what it is: what train(config) yields or does, and how the trial's reason begins
    "fine": ("{'score': 0.5}", ""),
    "raises": ("1 / 0", "{place}: yield 1 / 0: ZeroDivisionError: division by zero"),
    "raises lines": ("fails(ValueError('a\\nb'))", "user_code: s.py:"),
    "exits": ("fails(SystemExit(3))", "user_code: s.py:"),
    "raises what has no text": ("fails(Mute())", "user_code: s.py:"),
    "interrupts": ("fails(KeyboardInterrupt())", "user_code: s.py:"),
    "ends the generator": ("fails(GeneratorExit())", "user_code: s.py:"),
    "no dict": ("3", "{place}: train() yielded an int; it must yield a dict such as {'score': 0.5}"),
    "no metric": ("{'other': 1}", "{place}: the metric 'score' is missing from what train() yields: other"),
    "a word for the metric": ("{'score': '1'}", "{place}: train() yields the str '1' as the metric"),
    "None for the metric": ("{'score': None}", "{place}: train() yields None as the metric 'score', which must"),
    "a complex metric": ("{'score': 1j}", "{place}: train() yielded 'score' as a complex that the"),
    "no number": ("{'score': float('nan')}", "diverged: score is nan at epoch 1"),
    "infinite": ("{'score': float('-inf')}", "diverged: score is -inf at epoch 1"),
    "larger than numbers are": ("{'score': 10**400}", "{place}: train() yielded 'score' as an int that the record"),
    "an array": ("{'score': __import__('numpy').arange(3)}", "{place}: train() yielded 'score' as a ndarray"),
    "an object": ("{'score': 1, 'o': object()}", "{place}: train() yielded 'o' as an object that the record cannot"),
    "a dict in itself": ("{'score': 1, 'd': circle}", "{place}: train() yielded 'd' as a dict that the"),
    "a name of no text": ("{'score': 1, (1, 2): 3}", "{place}: train() yields the key (1, 2), a tuple"),
    "a word for seconds": ("{'score': 1, 'seconds': 'x'}", "{place}: train() yields 'x' as 'seconds', the time"),
    "no seconds": ("{'score': 1, 'seconds': float('nan')}", "{place}: train() yields nan as 'seconds', the"),
    "ended too early": ("next(iter([]))", "{place}: yield next(iter([])): StopIteration: next() of an"),
    "tells by another generator": ("from other()", "user_code: s.py:6: train() yields None as the metric 'score'"),
}  # fmt: skip
RETURNS: dict[str, tuple[str, str]] = {
    # the same of a train() that is no generator itself
    "a dict": ("{'score': 1}", "user_code: s.py:9: train() returned a dict where it must yield one an epoch: write"),
    "nothing": ("None", "user_code: s.py:9: train() returned None; it must yield a dict an epoch"),
    "a number": ("0.5", "user_code: s.py:9: train() returned a float; it must yield a dict an epoch"),
    "what waits": ("waits()", "user_code: s.py:9: train() is an async function, which nothing awaits here"),
    "a list": ("[1]", "user_code: s.py:9: train() yielded an int; it must yield a dict such as"),
    "no epochs": ("iter(())", "user_code: train() yielded nothing"),
}

ALL = """\
metric, trials = "score", {count}
def space(trial):
    return {{"kind": trial.number, "epochs": 1}}
def other():
    {{}}
    yield {{"score": None}}
async def waits():
    return {{"score": 1}}
def train(config):
{returns}
    return yields(config)
def yields(config):
{branches}
circle = {{}}
circle["d"] = circle
class Mute(RuntimeError):
    def __str__(self):
        raise ValueError("none")
def fails(error):
    raise error
"""


@pytest.mark.parametrize("engine", ["inline", "auto"])
def test_a_train_that_gives_no_measurement_is_a_fail_with_its_reason(cli: Cli, write: Write, engine: str) -> None:
    branches = [f"    if config['kind'] == {i}:\n        yield {code}" for i, (code, _) in enumerate(TRAINS.values())]
    returns = [
        f"    if config['kind'] == {len(TRAINS) + i}: return {code}" for i, (code, _) in enumerate(RETURNS.values())
    ]
    cases = [*TRAINS.items(), *RETURNS.items()]
    write("s.py", ALL.format(count=len(cases), branches="\n".join(branches), returns="\n".join(returns)))
    result = cli("run", "s.py", "--engine", engine, "--max-failures", 0)
    assert result.status == 0, result
    assert "Traceback" not in result.out + result.err
    trials = load_study("sqlite:///studies.db", "s").get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, *[TrialState.FAIL] * (len(cases) - 1)]
    for trial, (what, (_, reason)) in zip(trials[1:], cases[1:], strict=True):
        said, line = trial.user_attrs["error"], 2 * trial.number + 13 + len(RETURNS)
        assert said.startswith(reason.replace("{place}", f"user_code: s.py:{line}")), what
        assert said.isprintable()
