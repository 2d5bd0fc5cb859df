"""Every option of every verb with values that it cannot have. An option without a case here fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli
from optuna.trial import create_trial
from PIL import Image
from refusals import ADDRESS, GOOD, LONG, NAMES, NO_SPACE, NO_STUDY, Cases, refused
from typer.main import get_command

from search.cli import app
from search.study.storage import open as storages

pytestmark = pytest.mark.usefixtures("sys_path")

VERBS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined] # of many: a group

WORDS: dict[str, list[str]] = {
    "run": ["s.py", "--engine", "inline", "--trials", "1"],
    "confirm": ["s"],
    "check": ["s.py"],
    "train": ["best.yaml"],
    "predict": ["s", "a.jpg"],
    "report": ["s"],
    "status": [],
    "compare": ["s", "t"],
    "import": ["notes.md"],
    "export": ["s"],
    "dashboard": ["s"],
    "up": [],
    "submit": ["s.py", "--in", "/none"],
    "jobs": [],
    "logs": ["job"],
    "stop": ["job"],
}
"""What each verb is called with beside the bad word, and would take."""

OWN = "the study 's' has a train() of its own, so that there is no model of ours"
WHOLE = "valid integer"
NUMBER = "valid number"
TIME = "write a time such as 90s, 30m or 2h"
DEVICES = "write a time of devices such as 4gpuh, 90gpum or 16cpuh"
BAD: dict[str, Cases] = {
    # of a command and its option, or of every command with that option: the value, and what is said
    "--trials": [("0", "'--trials': it should be"), ("-3", "greater"), ("x", WHOLE), ("1.5", WHOLE), ("", WHOLE)],
    "--epochs": [("0", "epochs=0: input should be greater"), ("x", WHOLE), ("1.5", WHOLE), ("9" * 20, "less than")],
    "--subset": [("0", "subset=0: input should be greater"), ("x", WHOLE), ("", WHOLE)],
    "--set": [
        ("", "--set : write it as name=value"),
        ("lr", "--set lr: write it as name=value"),
        ("=1", "--set =1: write it as name=value"),
        ("lrr=1", "--set lrr=1: unknown setting 'lrr'; did you mean 'lr'?"),
        ("lr=", "--set lr=: lr='': input should be a valid number"),
        ("lr=nan", "lr='nan': input should be a valid number"),
        ("lr=1e999", "lr=inf: input should be a finite number"),
        ("gamma=0.3", "--set gamma=0.3: gamma is one of 0.1, 0.5"),
        ("lr=a\nb", r"--set lr=a\nb: "),
        ("lr=" + "(" * 500, "input should be a valid number"),
        ("lr=__import__('os').mkdir('pwned')", "input should be a valid number"),
        ("epochs=" + "9" * 5000, "epochs"),
    ],
    "--name": NAMES,
    "--from": [("none", "no study 'none' in sqlite:///studies.db; known are s, t"), ("s", "--from s: that is")],
    "--timeout": [("0", "it must be more than 0")]
    + [(text, TIME) for text in ("", "soon", "-5", "5d", "1h30m", "nan", "inf", "1e3", "a\nb", "٣s")],
    "--budget": [(text, DEVICES) for text in ("", "4", "0gpuh", "-1cpuh", "4gpud", "1h", "nan", "9" * 400, "٣cpuh")],
    "--until": [
        *[(text, "write a number such as 0.95") for text in ("nan", "inf", "-1e999")],
        *[(text, NUMBER) for text in ("", "95%")],
        ("95", "--until 95: val_acc is a fraction, at most 1; write 95% as 0.95"),
    ],
    "--notify": [
        ("nonsense://secret", "--notify nonsense://...: apprise cannot read this address"),
        ("secret", "--notify ...: apprise cannot read this address"),
    ],
    "--patience": [(text, "from 1 on, or auto") for text in ("0", "x", "1.5", "-3", "", "9" * 20, "²", "Auto")],
    "--trial-timeout": [
        ("0s", "it must be more than 0"),
        *[(text, TIME) for text in ("", "soon", "9" * 400)],
        ("3s", "--trial-timeout ends a worker's process, and --engine inline has none"),
    ],
    "--max-failures": [("-1", "greater"), ("x", WHOLE), ("1e3", WHOLE)],
    "run --gpus-per-trial": [
        ("0.00001", "the least"),
        *((text, "or auto") for text in ("x", "-1", "inf", "nan", "1e9", "9" * 400, "", "½")),
    ],
    "confirm --trial": [("x", "valid int"), ("-1", "write a trial's number, such as 7")],
    "confirm --gpus-per-trial": [("x", NUMBER), ("-1", "greater"), ("inf", "less"), ("nan", "than"), ("9e9", "less")],
    "--cpus-per-trial": [("x", NUMBER), ("-1", "greater"), ("inf", "less"), ("nan", "than"), ("1e999", "less")],
    "--engine": [("x", "'x' is not one of"), ("", "is not one of"), ("Tune", "is not one of")],
    "run --address": ADDRESS,
    "confirm --address": ADDRESS,
    "--run-dir": [("s.py", "--run-dir s.py: s.py is no folder that can be written to"), (LONG, "File name too long")],
    "--address": [(text, "write it as http://HEAD:8265") for text in ("x", "head:8265", "http://a b")],
    "--in": [(text, "a job's folder is an absolute path") for text in ("", "here", "~/x")],
    "--audit": [("-0.1", "greater"), ("1.1", "less than"), ("nan", "than"), ("x", NUMBER), ("5%", NUMBER)],
    "--storage": [
        ("", "cannot be reached: "),
        ("studies.db", "storage studies.db cannot be reached: "),
        ("sqlite:///none/s.db", "none/s.db"),
    ],  # test_bad_storage.py has more
    "--storage-file": [
        ("none.url", "--storage-file none.url: cannot be read: "),
        ("s.py", "--storage-file s.py: it shall hold one storage URL"),
        ("", "cannot be read: "),
        (LONG, "File name too long"),
    ],
    "--data-root": [("s.py", "--data-root s.py: that is a file; name the folder"), (LONG, "File name too long")],
    "--reports": [
        ("s.py", "--reports s.py: s.py is no folder that can be written to"),
        ("s.py/x", "--reports s.py/x: "),
        (LONG, "File name too long"),
    ],
    "--cache-size": [(text, "write a size such as 500M") for text in ("", "G", "-1", "1e9", "nan", "9" * 400, "٣")],
    "--top": [("0", "greater"), ("x", WHOLE), ("-1", "greater")],
    "--seeds": [("0", "greater"), ("x", WHOLE), ("9" * 30, "less than"), ("1001", "less than")],
    "--columns": [("nope", "--columns nope: no such column; known are"), ("latencies", "did you mean 'latency'?")],
    "--trial": [("-1", "greater"), ("x", WHOLE), ("99", "the study 's' has no trial 99"), ("9" * 30, "no trial")],
    "--format": [("xml", "is not one of"), ("", "is not one of"), ("YAML", "is not one of")],
    "--onnx": [
        (".", "--onnx .: that is a folder; name the file to write"),
        ("s.py/m.onnx", "--onnx s.py: s.py is no folder that can be written to"),
        ("m.onnx", OWN),
    ],
    "--out": [
        (".", "--out .: that is a folder; name the file to write"),
        ("s.py/x.csv", "--out s.py: s.py is no folder"),
        ("notes.md", "the CSV would replace the table itself"),
    ],
    "--host": [*[(host, f"--host {host}: ") for host in ("none.invalid", "", LONG)], ("0.0.0.0", "a secret")],
    "--port": [("-1", "greater"), ("65536", "less"), ("x", WHOLE), ("", WHOLE)],
    "--jobs-port": [("0", "greater"), ("65536", "less"), ("x", WHOLE), ("", WHOLE)],
    "--auth": [("none", "--auth: there is no such file"), (".", "no such file"), ("s.py", "--auth: one line")],
    "--allowed-host": [(text, "write a name alone, such as") for text in ("", "a b", "http://a", "a:80", "*", "a\nb")],
    # arguments
    **{f"{verb} space": NO_SPACE for verb in ("run", "submit", "check")},
    "logs job": [(text, "write the name that `search submit` printed") for text in ("", "a b", "a\nb", "../x")],
    "stop job": [(text, "write the name that `search submit` printed") for text in ("", "a b", "a;b")],
    **{f"{verb} study": NO_STUDY for verb in ("confirm", "report", "export", "status", "dashboard")},
    "compare studies": [("t", "the study 't' is named twice"), ("none", "no study 'none' in sqlite:///studies.db")],
    "--threshold": [("-0.1", "greater"), ("1.1", "less than"), ("nan", "than"), ("x", NUMBER)],
    "--device": [("x", "is not one of"), ("", "is not one of")],
    "--contact-sheet": [("none/sheet.png", OWN)],
    "predict --out": [(".", "--out .: that is a folder; name the file to write"), ("s.py/x.csv", "s.py is no folder")],
    "predict --run-dir": [("s.py", OWN), ("s3:/x", "a URL is text with two slashes")],
    "predict --reports": [("s.py", OWN)], "export --run-dir": [("s3:/x", "a URL is text with two slashes")],
    "export --model": [("s.py", "--model s.py: s.py is no folder that can be written to")],
    "confirm --space": [("none.py", "the study 's' was not made by `search run`")],
    **{f"predict {name}": [("none.jpg", "none.jpg: no such file or folder")] for name in ("model", "images")},
    "--code": [(text, "no such file; name the Python file itself") for text in ("none.py", ".", "")],
    "--int8": [("x", "is not one of")],
    "train best": [
        *[(name, f"{name}: cannot be read: ") for name in ("none.yaml", ".")],
        ("s.py", "s.py: no best-config YAML: it has no 'config'"),
        (f"{LONG}.yaml", "File name too long"),
    ],
    "import table": [
        *[(name, f"{name}: cannot be read: ") for name in ("none.md", ".")],
        ("s.py", "s.py: no Markdown table with a column for validation accuracy"),
        ("notes.csv", "the CSV would replace the table itself"),
        (f"{LONG}.md", "File name too long"),
    ],
}  # fmt: skip


def parameters() -> Iterator[tuple[str, Any, str]]:
    """Every option and argument of every verb, and its key above."""
    for verb, described in VERBS.items():
        for param in described.params:
            option = param.opts[0]
            if option != "--help":
                yield verb, param, next((key for key in (f"{verb} {option}", option) if key in BAD), "")


def is_flag(param: Any) -> bool:
    return bool(getattr(param, "is_flag", False))


def cases() -> Iterator[Any]:
    """Words, and what is said of them."""
    for verb, param, key in parameters():
        option = param.opts[0]
        if is_flag(param):
            yield pytest.param(
                [verb, *WORDS[verb], f"{option}=yes"], "does not take a value", id=f"{verb} {option}=yes"
            )
        for value, said in BAD.get(key, ()):
            words = [*WORDS[verb], f"{option}={value}"] if option.startswith("--") else [*WORDS[verb][1:], "--", value]
            yield pytest.param([verb, *words], said, id=f"{verb} {option} {value}"[:60])


def test_every_option_and_argument_has_a_bad_value() -> None:
    assert set(WORDS) == set(VERBS)
    without = [f"{verb} {param.opts[0]}" for verb, param, key in parameters() if not key and not is_flag(param)]
    assert without == []
    assert {key for _, _, key in parameters()} >= set(BAD)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the good words name."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "s.py").write_text(GOOD)
    (folder / "best.yaml").write_text("config: {}\n")
    for file in ("notes.md", "notes.csv"):
        (folder / file).write_text(
            "| model | epochs | lr | momentum | wd | step size | gamma | val acc |\n"
            "|---|---|---|---|---|---|---|---|\n| cnn | 1 | 0.1 | 0.9 | 0 | 1 | 0.1 | 50% |\n"
        )
    Image.new("RGB", (9, 9)).save(folder / "a.jpg")
    for name in ("s", "t"):
        storage = storages.connect(f"sqlite:///{folder}/studies.db")
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        study.set_user_attr("metric", "val_acc")
        study.add_trial(create_trial(value=0.5, user_attrs={"config": {"x": 1}}))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)


@pytest.mark.usefixtures("here", "one_thread")
@pytest.mark.parametrize(("words", "said"), list(cases()))
def test_a_bad_value_is_one_line(cli: Cli, words: list[str], said: str) -> None:
    assert said in refused(cli, *words)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "no such command 'nonsense'; `search --help` says what there is"),
        (["--nonsense"], "no such option: --nonsense; `search --help`"),
        (["\x1b[2J"], "no such command"),
        (["run"], "missing argument 'SPACE'; `search run --help` says what there is"),
        (["run", "s.py", "more"], "unexpected extra argument"),
        (["run", "s.py", "--trial", "3"], "no such option: --trial"),
        (["run", "s.py", "--trials"], "option '--trials' requires an argument"),
        *(([*verb, "--json", "--csv"], "one of them at a time") for verb in (["report", "s"], ["status"])),
        (["compare", "s"], "one study is not compared with anything"),
        (["compare"], "missing argument"),
    ],
)
def test_words_that_do_not_fit_together(cli: Cli, words: list[str], said: str) -> None:
    assert said in refused(cli, *words)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SEARCH_STORAGE", "nonsense", "storage nonsense cannot be reached"),
        ("SEARCH_DATA_ROOT", "s.py", "--data-root s.py: that is a file"),
        ("SEARCH_CACHE_SIZE", "much", "--cache-size much: write a size such as 500M or 20G"),
    ],
)
def test_a_bad_value_in_the_environment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert said in refused(cli, "run", *WORDS["run"])
