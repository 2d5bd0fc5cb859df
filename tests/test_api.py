"""The commands as functions: the same words and defaults, and the examples of docs/python.md."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import REPO, SPACES
from live import until
from typer.main import get_command

import search
from search.api import run as run_
from search.cli import app

pytestmark = pytest.mark.usefixtures("sys_path", "torch_threads")
Write = Callable[[str, str], Path]
PAGE = (REPO / "docs" / "python.md").read_text(encoding="utf-8")
OWN = """
    from search import Float, SearchSpace
    space = SearchSpace(x=Float(0, 1), epochs=1)
    metric, trials = "score", 2
    def train(config):
        yield {"score": config["x"]}
"""


@pytest.mark.whole
def test_the_examples_of_the_page_run_as_a_script(tmp_path: Path) -> None:
    """As a script of its own, with Ray, without a main guard. The notebook's cells, which test_notebook.py starts Ray
    for, run inline here.
    """
    shutil.copytree(SPACES, tmp_path / "spaces")
    digits = tmp_path / "spaces" / "digits.py"
    digits.write_text(digits.read_text(encoding="utf-8").replace("batch_size=32", "batch_size=256"), encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 6
    script = "\n".join(examples)
    assert script.count("trials=5)") == 1
    (tmp_path / "script.py").write_text(script.replace("trials=5)", 'trials=5, engine="inline")'))
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=240, check=False)
    said = done.stderr.splitlines()
    assert (done.returncode, said) == (0, [])
    lines = done.stdout.splitlines()
    assert lines[-1] in PAGE
    assert lines[-1] == "set={'lrr': '0.1'}: unknown setting 'lrr'; did you mean 'lr'?"
    assert sum(line.startswith("[3/3] trial ") for line in lines) == 1
    assert sum(line.startswith("[4/4] trial ") for line in lines) == 1
    assert re.match(r"0 COMPLETE 0\.\d+ 0\.\d+$", lines[-4]), lines[-4]
    assert Path(lines[-5]).is_file()
    assert len(list(Path("kept/from_a_file/weights").glob("*.safetensors"))) == 1
    assert lines[-6].startswith("Best val_acc: **0.")
    assert "LATENCY (MS)" in Path("reports/from_python.md").read_text()


def test_a_run_returns_the_study_and_goes_on(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("own.py", OWN)
    study = search.run(path, engine="inline")
    assert isinstance(study, optuna.Study)
    assert (study.study_name, len(study.trials)) == ("own", 2)
    study = search.run(str(path), engine="inline", trials=50, patience=1)
    assert 2 <= len(study.trials) < 50
    assert search.load_study("own").best_value == study.best_value
    assert search.report(study) == search.report("own") == Path("reports/own.md")
    assert search.export(study, trial=1) == Path("reports/own.trial-1.yaml")
    assert "to go on, change patience= in: the same call" in capsys.readouterr().out


def test_a_run_in_a_thread_needs_no_signals(write: Write) -> None:
    path, found = write("own.py", OWN), []
    thread = threading.Thread(target=lambda: found.append(search.run(path, engine="inline")))
    thread.start()
    thread.join(60)
    assert [len(study.trials) for study in found] == [2]


def test_what_is_wrong_is_a_search_error(write: Write) -> None:
    space = search.SearchSpace(model="cnn", dataset="digits", epochs=1, lr=0.1, step_size=1, gamma=0.1)
    anything: Any = 3
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: search.run("none.py"), "none.py: no such space file"),
        (lambda: search.run(space), r"a SearchSpace has no file to name its study after: give it a name="),
        (lambda: search.run(anything, name="s"), "or the path of a space file, not a int"),
        (lambda: search.run(search.SearchSpace(lrr=0.1), name="s"), "space: unknown setting 'lrr'; did you mean 'lr'"),
        (lambda: search.run(space, name="s", timeout="soon"), "timeout=soon: write a time such as"),
        (lambda: search.run(space, name="s", trials=0), "trials=0: it must be a whole number"),
        (lambda: search.run(space, name="s", set={"subset": -1}), r"set=\{'subset': '-1'\}: subset=-1"),
        (lambda: search.run(space, name="s", address="ray://head:10001"), "go there and say auto"),
        (lambda: search.load_study("s"), "no storage sqlite:///studies.db"),
        (lambda: search.confirm(optuna.create_study()), "no storage that other processes can open"),
    ]
    for call, message in calls:
        with pytest.raises(search.SearchError, match=message):
            call()
    assert not Path("studies.db").exists()


def test_an_interrupted_run_is_a_keyboard_interrupt_and_the_same_call_goes_on(write: Write) -> None:
    write("own.py", OWN.replace("        yield", "        import time; time.sleep(0.5)\n        yield"))
    write(
        "script.py",
        """
        import search
        try:
            search.run("own.py", trials=1000, engine="inline")
        except KeyboardInterrupt as stop:
            print("stopped", type(stop).__name__)
        """,
    )
    process = subprocess.Popen([sys.executable, "script.py"], stdout=subprocess.PIPE, text=True)
    try:
        until(Path("runs").exists, "an epoch")
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=240)
    finally:
        process.kill()
    assert "to go on: the same call\n" in out
    assert out.endswith("stopped Interrupted\n")


@pytest.mark.parametrize("verb", ["run", "confirm", "check", "export", "predict", "report"])
def test_a_function_has_the_options_of_its_command(verb: str) -> None:
    """With the same defaults; what only the command has is about printing."""
    mine = inspect.signature(getattr(search, verb)).parameters
    its = {param.name: param for param in get_command(app).commands[verb].params}  # type: ignore[attr-defined] # of many: a group
    only_here = {"train", "metric", "direction", "sampler", "pruner", "callbacks"}
    for name, parameter in list(mine.items())[2 if verb == "predict" else 1 :]:
        if name in only_here:
            continue
        assert parameter.kind == inspect.Parameter.KEYWORD_ONLY
        theirs = its.pop(name).default
        assert (parameter.default or None) == (theirs or None), name
    assert set(its) <= {"space", "study", "model", "images", "json", "csv", "format", "out"}


def test_help_shows_every_option_with_its_type_default_and_text() -> None:
    signature, text = str(inspect.signature(search.run)), inspect.getdoc(search.run) or ""
    assert "timeout: str | float | None = None" in signature
    assert "max_failures: int = 10" in signature
    assert text.startswith("Run the search that a space file describes")
    assert "timeout: Stop after so long: 90s, 30m, 2h." in text


def test_the_verbs_can_be_called_whatever_was_imported_before(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import search, search.commands.steps.confirm, search.commands.steps.export; print(callable(search.report))"
    code += "; from search import check, confirm, export; print(callable(check), callable(confirm), callable(export))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout == "True\nTrue True True\n"


def test_the_import_loads_nothing_heavy_and_every_name_is_there() -> None:
    code = "import sys, search; print({'torch', 'ray', 'optuna', 'pandas', 'numpy', 'typer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout == "set()\n"
    for name in search.__all__:
        found: Any = getattr(search, name)
        assert callable(found), name
    assert search.run is run_
