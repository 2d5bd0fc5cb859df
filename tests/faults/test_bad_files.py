"""Best configs, baselines, notes and storages that are wrong, through the command: one line, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from conftest import Cli
from optuna.trial import create_trial
from refusals import GOOD, refused

from search.study.attributes import ranked, value_of
from search.study.storage import open as storages
from search.study.study import load_study

pytestmark = pytest.mark.usefixtures("sys_path")

BEST = """\
config:
  model: cnn
  dataset: digits
  weights: null
  epochs: 1
  batch_size: 64
  lr: 0.1
  momentum: 0.9
  weight_decay: 0.0
  step_size: 1
  gamma: 0.5
  frozen: []
  precision: fp32
  seed: 0
study: s
trial: 0
metric: val_acc
value: 0.5
ran_on: {}
"""
LINES = "lr: 0.1\n"
BOMB = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))

CONFIGS: dict[str, tuple[bytes | str, str]] = {
    # what it is: the whole file, or what stands in place of its learning rate; and what is said
    "empty": (b"", "b.yaml: no best-config YAML: it has no 'config'"),
    "a list": (b"- 1\n", "b.yaml: no best-config YAML"),
    "not UTF-8": (b"config: \xff", "b.yaml: cannot be read: 'utf-8' codec"),
    "NUL": (b"config: \0", "b.yaml:"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "b.yaml: cannot be read"),
    "larger than any": (b"a: 1\n" * 300_000, "b.yaml: no best-config YAML: it has more than 1048576 bytes"),
    "ten thousand keys": (b"".join(b"%d: 1\n" % i for i in range(10_000)), "b.yaml: no best-config YAML"),
    "deep": (b"config: " + b"[" * 5000, "b.yaml: no valid YAML: RecursionError"),
    "a bomb": (BOMB.encode(), "b.yaml:2: no valid YAML: aliases are not used here"),
    "a document too many": (BEST.encode() + b"---\na: 1\n", "b.yaml:"),
    "an object": ("lr: !!python/object/apply:os.mkdir [pwned]\n", "b.yaml:7: no valid YAML: could not determine"),
    "a name of Python's": ("lr: !!python/name:os.system\n", "b.yaml:7: no valid YAML: could not determine"),
    "a module": ("lr: !!python/module:os\n", "no valid YAML: could not determine a constructor"),
    "a tag of its own": ("lr: !mine 3\n", "no valid YAML: could not determine a constructor for the tag '!mine'"),
    "a key twice": ("lr: 0.1\n  lr: 0.2\n", "b.yaml:2: no valid YAML: the key 'lr' stands twice"),
    "a key that is a list": ("lr: 0.1\n  ? [a]\n  : 1\n", "no valid YAML: found unhashable key"),
    "a huge number": (f"lr: {'9' * 5000}\n", "b.yaml: no valid YAML: ValueError"),
    "an infinite number": ("lr: 1e999\n", "b.yaml: config: lr=inf: input should be a finite number"),
    "no number": ("lr: .nan\n", "b.yaml: config: lr=nan: input should be"),
    "a word": ("lr: fast\n", "b.yaml: config: lr='fast': input should be a valid number"),
    "a date": ("lr: 2001-01-01\n", "b.yaml: config: lr=datetime.date(2001, 1, 1): input should be a valid number"),
    "bytes": ("lr: !!binary aGVsbG8=\n", "b.yaml: config: lr=b'hello': input should be a valid number"),
    "an unknown field": ("lr: 0.1\n  learn_rate: 1\n", "b.yaml: config: unknown field 'learn_rate'"),
    "a field of no text": ("lr: 0.1\n  3: 1\n", "b.yaml: config: unknown field '3'"),
    "a field less": ("", "b.yaml: config: the field 'lr' is missing (learning rate that"),
    "colours": ("lr: \"\\e[31m\"\n", r"lr='\x1b[31m': input should be a valid number"),
    "epochs past every storage": ("lr: 0.1\n  cached_views: 0\n", "cached_views=0: input should be greater"),
    "a trial below 0": ("lr: 0.1\ntrial: -1\n#", "b.yaml"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), CONFIGS.values(), ids=CONFIGS)
def test_a_best_config_that_is_none(cli: Cli, content: bytes | str, said: str) -> None:
    assert BEST.count(f"  {LINES}") == 1
    line = f"  {content!s}" if content else ""
    whole = content if isinstance(content, bytes) else BEST.replace(f"  {LINES}", line).encode()
    Path("b.yaml").write_bytes(whole)
    assert said in refused(cli, "train", "b.yaml")
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("trial: 0", "trial: -1", "b.yaml: trial = -1; trials are counted from 0"),
        ("value: 0.5", f"value: {'9' * 400}", "b.yaml: 'value' is no measurement: it has 400 digits"),
        ("study: s", "study: [s]", "b.yaml: 'study' is of the wrong type"),
        ("ran_on: {}", "ran_on: []", "b.yaml: 'ran_on' is of the wrong type"),
        ("ran_on: {}", "ran_on: {device: [1]}", "device [1]: cpu or cuda"),
        ("ran_on: {}", "ran_on: {threads: 100000}", "threads=100000: a number from 1 to 4096"),
        ("model: cnn", "model: none.py:f", "b.yaml names code that would run as you"),
        ("dataset: digits", 'dataset: "imagefolder:\\0"', "imagefolder"),
        ("weights: null", "weights: ../../etc/passwd", "no such file"),
    ],
)
def test_a_best_config_of_odd_words(cli: Cli, old: str, new: str, said: str) -> None:
    assert BEST.count(old) == 1
    Path("b.yaml").write_text(BEST.replace(old, new))
    assert said in refused(cli, "train", "b.yaml")


def test_a_best_config_that_needs_more_memory_than_there_is(cli: Cli) -> None:
    Path("b.yaml").write_text(BEST.replace("model: cnn", "model: mlp\n  hidden: [100000000000]"))
    assert "b.yaml: oom: " in refused(cli, "train", "b.yaml", status=1)


HEAD = (
    "name,model,pretrained,trained_layers,lr,momentum,weight_decay,num_epochs,step_size,gamma,"
    "training_loss_at_last_step,validation_acc,testing_acc"
)
ROW = "Base,alexnet,true,all,0.001,0.9,5e-5,30,20,0.1,4.25,0.086,0.5"
TABLES: dict[str, tuple[str, str, str]] = {
    # what it is: the text in the row, what stands in its place, and what is said
    "a word": ("0.001", "fast", "rows.csv:2: lr = 'fast' is no float"),
    "no number": ("0.001", "nan", "rows.csv:2: lr=nan: input should be a finite number"),
    "an infinite number": ("0.001", "1e999", "rows.csv:2: lr=inf: input should be a finite number"),
    "a rate of 0": ("0.001", "0", "rows.csv:2: lr=0.0: input should be greater than 0"),
    "momentum above 1": ("0.9", "1.5", "rows.csv:2: momentum=1.5: input should be less than 1"),
    "half an epoch": (",30,", ",30.5,", "rows.csv:2: num_epochs = '30.5' is no int"),
    "no epoch": (",30,", ",0,", "rows.csv:2: epochs=0: input should be greater than or equal to 1"),
    "a percentage": ("0.086", "8.6", "rows.csv:2: validation_acc = '8.6' is not an accuracy, as a fraction"),
    "no accuracy": ("0.086", "nan", "rows.csv:2: validation_acc = 'nan' is not an accuracy"),
    "an accuracy less": ("0.086", "", "rows.csv:2: validation_acc = '' is no float"),
    "a test accuracy below 0": ("0.5", "-0.5", "rows.csv:2: testing_acc = '-0.5' is not an accuracy"),
    "a loss without end": ("4.25", "inf", "rows.csv:2: training_loss_at_last_step = 'inf' is not a loss"),
    "no truth": ("true", "yes", "rows.csv:2: pretrained = 'yes'; it must be true or false"),
    "other layers": ("all", "some", "rows.csv:2: trained_layers = 'some'; known are all, classifier, features"),
    "a cell more": (ROW, f"{ROW},1", "rows.csv:2: more cells than the first line has names"),
    "a cell less": (",0.086,0.5", ",0.086", "rows.csv:2: fewer cells than the first line has names"),
    "a column twice": ("name,", "name,name,", "rows.csv: two columns 'name'"),
    "a column less": (",gamma", "", "rows.csv: no column 'gamma'"),
    "a cell without end": ("Base", "x" * 200_000, "rows.csv: the baselines cannot be read: field larger than"),
    "nothing": (f"{HEAD}\n{ROW}\n", "", "rows.csv: no column 'name'"),
}  # fmt: skip


def write_spoiled(file: str, text: str, old: str, new: str) -> None:
    assert text.count(old) == 1
    Path(file).write_text(text.replace(old, new))


@pytest.mark.parametrize(("old", "new", "said"), TABLES.values(), ids=TABLES)
def test_baselines_that_are_none(cli: Cli, old: str, new: str, said: str) -> None:
    write_spoiled("rows.csv", f"{HEAD}\n{ROW}\n", old, new)
    Path("s.py").write_text(f"{GOOD}baselines = 'rows.csv'\n")
    assert said in refused(cli, "run", "s.py", "--engine", "inline", "--trials", 1)


def test_what_excel_writes_is_read(cli: Cli) -> None:
    Path("rows.csv").write_bytes(b"\xef\xbb\xbf" + f"{HEAD}\r\n{ROW}\r\n".encode())
    Path("s.py").write_text(f"{GOOD}baselines = 'rows.csv'\n")
    assert "unknown setting" in refused(cli, "run", "s.py", "--set", "nope=1")


COLUMNS = "| Model | Epochs | LR | Momentum | WD | Step size | Gamma | Val acc |"
UNDER = "|---|---|---|---|---|---|---|---|"
CELLS = "| cnn | 30 | 0.1 | 0.9 | 0 | 20 | 0.1 | 50% |"
NOTES: dict[str, tuple[str, str, str]] = {
    "a cell less": (" 50% |", "", "n.md:3: 7 cells under 8 columns"),
    "a cell more": ("50% |", "50% | 1 |", "n.md:3: 9 cells under 8 columns"),
    "no number": ("| 0.1 | 0.9", "| fast | 0.9", "n.md:3: LR = 'fast' is no number"),
    "an infinite number": ("| 0.1 | 0.9", "| 1e999 | 0.9", "n.md:3: LR = '1e999' is no number"),
    "a power without end": ("| 0.1 | 0.9", "| 10^99999 | 0.9", "n.md:3: LR = '10^99999' is no number"),
    "nothing": ("| 0.1 | 0.9", "| | 0.9", "n.md:3: LR = '' is no number"),
    "dots": ("| 0.1 | 0.9", "| 1.2.3 | 0.9", "n.md:3: LR = '1.2.3' is no number"),
    "half an epoch": ("| 30 |", "| 30.5 |", "n.md:3: Epochs = '30.5' is no whole number"),
    "epochs without end": ("| 30 |", "| 1e999 |", "n.md:3: Epochs = '1e999' is no number"),
    "an accuracy above all": ("50%", "150%", "n.md:3: Val acc = '150%' is no accuracy"),
    "two columns alike": ("| Gamma |", "| LR |", "n.md:1: two columns for lr"),
    "a column less": ("| Gamma |", "| Other |", "n.md:1: no column for gamma; it may be called gamma"),
    "a cell without end": ("cnn", "x" * 10_000, "n.md:3: a cell of more than 500 characters"),
    "brackets without end": ("LR", "(" * 200_000, "n.md:1: no column for lr"),
    "dashes without end": (UNDER, "|" + "-" * 200_000 + "x|", "n.md: no Markdown table with"),
    "no row": (f"\n{CELLS}", "", "n.md: no Markdown table with a column for validation accuracy and a row below it"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), NOTES.values(), ids=NOTES)
def test_notes_that_are_not_understood(cli: Cli, old: str, new: str, said: str) -> None:
    write_spoiled("n.md", f"{COLUMNS}\n{UNDER}\n{CELLS}", old, new)
    assert said in refused(cli, "import", "n.md")
    assert not Path("n.csv").exists()


STORAGES: dict[str, str] = {
    "": "storage  cannot be reached",
    "studies.db": "storage studies.db cannot be reached",
    "sqlite:": "cannot be reached",
    "sqlite://": "a study needs a file, such as sqlite:///studies.db",
    "sqlite:///:memory:": "a study needs a file",
    "sqlite:///s.py": "s.py is no SQLite file",
    "sqlite:///.": "is a folder",
    "sqlite:////": "is a folder",
    "sqlite:///none/s.db": "none is no folder that can be written to",
    "sqlite:///" + "x" * 300: "File name too long",
    "mysql://u:sesame@127.0.0.1:1/s": "storage mysql://u:***@127.0.0.1:1/s cannot be reached",
    "postgresql://u:sesame@127.0.0.1:1/s": "storage postgresql://u:***@127.0.0.1:1/s cannot be reached",
    "postgresql://u:sesame@127.0.0.1:port/s": "storage postgresql://... cannot be reached",
    "postgresql://u:sesame@127.0.0.1:999999/s": "storage postgresql://",
    "postgresql://127.0.0.1:1/s?password=sesame": "storage postgresql://127.0.0.1:1/s cannot be reached",
    "postgresql+nodriver://u:sesame@127.0.0.1:1/s": "cannot be reached",
    "redis://:sesame@127.0.0.1:1/0": "storage redis://:***@127.0.0.1:1/0 cannot be reached: ",
    "http://u:sesame@127.0.0.1:1": "cannot be reached",
    "://": "cannot be reached",
    "two\nlines://u:sesame@h": r"storage two\nlines://",
    "u:sesame@host": "storage ... cannot be reached",
    "\udcff://u:sesame@h": r"storage \udcff://",
}


@pytest.mark.parametrize("url", STORAGES, ids=lambda url: ascii(url)[:50])
def test_a_storage_that_is_none_keeps_its_password(cli: Cli, url: str) -> None:
    Path("s.py").write_text(GOOD)
    line = refused(cli, "run", "s.py", "--engine", "inline", "--trials", 1, "--storage", url)
    assert STORAGES[url] in line
    assert "sesame" not in line


def test_what_is_not_finite_leads_no_ranking() -> None:
    storage = storages.connect("sqlite:///studies.db")
    study = optuna.create_study(storage=storage, study_name="s", direction="minimize")
    for value in (float("-inf"), 0.5, float("inf")):
        study.add_trial(create_trial(value=value))
    loaded = load_study("sqlite:///studies.db", "s")
    assert [trial.number for trial in ranked(loaded)] == [1, 0, 2]
    assert [value_of(trial) for trial in ranked(loaded)] == [0.5, None, None]
