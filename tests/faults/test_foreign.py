"""Storages that other programs wrote to, and names that would act in a terminal, on a page or in a table."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli
from markdown_it import MarkdownIt
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from search.analysis import comparison
from search.analysis.view import StudyView
from search.commands.steps.export import write_best
from search.errors import visible
from search.monitoring.dashboard import publish
from search.reporting import compare, data, page
from search.reporting.columns import code_span, escape_cell, unescaped
from search.reporting.rows import to_csv
from search.study import attributes
from search.study.lease import driver_of
from search.study.storage.open import open_storage

URL = "sqlite:///studies.db"
VALUES: list[Any] = [
    None,
    True,
    3,
    -1.5,
    "x",
    [],
    [1, "a"],
    {},
    {"a": 1},
    {"1": 3},
    {"1": {"test_acc": "x"}},
    {"0": {}},
]
HOSTILE = (
    "\x1b[31mred\x07\n<script>alert(1)</script> [a](javascript:alert(1)) |x| \u202e "
    r"\<script>alert(2)</script> [b]\(javascript:alert(2)) \|y [c\](javascript:alert(3)) "
    r"$\href{javascript:alert(4)}{z}$"
)
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def acting(markdown: str) -> list[str]:
    """The parts of a text that a reader of Markdown shows as HTML of its own or as links."""
    tokens = [inner for token in MARKDOWN.parse(markdown) for inner in (token, *(token.children or ()))]
    acts = [
        token.content or str(token.attrs)
        for token in tokens
        if token.type in ("html_block", "html_inline", "link_open")
    ]
    inline = [token.content for token in MARKDOWN.parse(markdown) if token.type == "inline"]  # and no fenced code
    return [*acts, *(formula for text in inline for formula in re.findall(r"(?<!\\)\$.*", text))]


def keys(record: type) -> list[str]:
    found = [value for owner in record.__mro__ for value in vars(owner).values() if isinstance(value, attributes._Key)]
    return [key._name for key in found]


def foreign(name: str, value: Any) -> Study:
    """A study of plain Optuna whose every attribute of ours is `value`."""
    study = optuna.create_study(storage=URL, study_name=name, direction="minimize")
    attrs = dict.fromkeys(keys(attributes.TrialRecord), value)
    for number, state in enumerate((TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL)):
        reached = None if state == TrialState.FAIL else float(number)
        ranges: dict[str, Any] = {"x": optuna.distributions.FloatDistribution(0, 1)}
        study.add_trial(
            create_trial(value=reached, state=state, params={"x": 0.5}, distributions=ranges, user_attrs=attrs)
        )
    for key in keys(attributes.StudyRecord):
        study.set_user_attr(key, value)
    study._storage.set_study_system_attr(study._study_id, "study:metric_names", value)
    return optuna.load_study(storage=URL, study_name=name)


def test_attributes_of_any_type_break_no_reader(cli: Cli) -> None:
    made = [foreign(f"s{place}", value) for place, value in enumerate(VALUES)]
    rows = data.status(open_storage(URL))
    assert [row["driver"] for row in rows] == [None] * len(VALUES)
    for study in made:
        view = StudyView(study)
        to_csv(data.report(view)["rows"])
        page._parts(view, "")
        comparison.rows([view, StudyView(made[0])])
        write_best(study, Path("reports"))
    written = page.write(StudyView(made[-1]), Path("reports"))
    publish(StudyView(made[-1]), written)
    compare.write([StudyView(study) for study in made[:2]], Path("reports"))
    for words in (["status"], ["status", "--json"], ["export", "s8"]):
        assert cli(*words).status == 0, words


@pytest.mark.parametrize("value", [*VALUES, {"host": "a"}, {"host": 1, "pid": 2, "token": "t", "beat": "now"}])
def test_a_driver_of_another_kind_is_nobody(value: Any) -> None:
    study = optuna.create_study()
    study.set_user_attr("driver", value)
    assert driver_of(attributes.StudyRecord(study).driver) is None


def test_a_hostile_text_is_one_line_without_html_or_a_link() -> None:
    cell = escape_cell(HOSTILE)
    assert cell.isprintable()
    assert cell.startswith(
        r"\x1b[31mred\x07 \<script>alert(1)\</script> [a\](javascript:alert(1)) \|x\| \u202e \\\<script>alert(2)\<"
    )
    assert acting(HOSTILE) != [] == acting(cell)
    texts = (r"a\b", "a\\", r"a\|", "c_$", "**a** `b` ~~c~~", "_d_ a_b __e__", "&lt; a&b a & b &#60;", "~1")
    cells = (
        *(r"a\b", r"a\\", r"a\\\|", r"c\_\$", r"\*\*a\*\* \`b\` \~~c\~~"),
        *(r"\_d\_ a_b \_\_e\_\_", r"\&lt; a&b a & b \&#60;", "~1"),
    )
    assert tuple(map(escape_cell, texts)) == cells
    for text in texts:
        shown = re.sub("<.*?>", "", MARKDOWN.enable("strikethrough").render(escape_cell(text)))
        assert html.unescape(shown) == f"{text}\n"
    assert [unescaped(cell) for cell in cells] == [*texts]
    assert [code_span(name) for name in ("a*b", "a`b", "``")] == ["`a*b`", "``a`b``", "``` `` ```"]


def test_no_medium_passes_on_what_acts(cli: Cli) -> None:
    study = optuna.create_study(storage=URL, study_name=HOSTILE, direction="minimize")
    study.set_user_attr("metric", f"loss {HOSTILE}")
    ranges: dict[str, Any] = {HOSTILE: optuna.distributions.CategoricalDistribution([HOSTILE, "=1+1"])}
    for value, choice in ((1.0, HOSTILE), (2.0, "=1+1")):
        study.add_trial(create_trial(value=value, params={HOSTILE: choice}, distributions=ranges))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"error": f"user_code: {HOSTILE}", "config": {}}))
    listed = cli("status").out
    written = page.write(StudyView(study), Path("reports"))
    for text in (listed, written.table, written.path.read_text()):
        assert all(line.isprintable() for line in text.split("\n"))
        assert acting(text) == []
    content = cli("report", HOSTILE, "--json").out
    assert all(line.isprintable() for line in content.split("\n"))
    assert json.loads(content)["study"] == HOSTILE
    rows = list(csv.DictReader(io.StringIO(to_csv(data.report(StudyView(study))["rows"]))))
    cells = next(row for row in rows if "2" in row["values"])
    assert "'=1+1" in cells.values()
    assert all(str(cell).isprintable() for cell in [*cells, *cells.values()])


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1", "'=1"), ("+cmd", "'+cmd"), ("@a", "'@a"), ("-2+3|x", "'-2+3|x"), ("-1.5", "-1.5"), ("a=b", "a=b")],
)
def test_a_cell_is_no_formula(text: str, cell: str) -> None:
    assert to_csv([{"name": text}]).splitlines()[1] == cell


ACTS = """
from search import Choice, SearchSpace
HOSTILE = {hostile!r}
space = {{}}
metric, trials = "score", 3
def space(trial):
    return {{"x": trial.suggest_categorical("<script>", ["[a](javascript:b)", HOSTILE]), HOSTILE: HOSTILE}}
def train(config):
    yield {{"score": 1.0, HOSTILE: 2.0, "text": HOSTILE, "a\\ud800": 3.0, "big": 10**300}}
    if config["x"] == HOSTILE:
        raise ValueError(HOSTILE.replace("\\n", " "))
"""


def test_a_run_passes_on_nothing_that_acts(cli: Cli, write: Callable[[str, str], Path]) -> None:
    write("space.py", ACTS.format(hostile=HOSTILE) + "from optuna.samplers import GridSampler\n"
          "sampler = GridSampler({'<script>': ['[a](javascript:b)', HOSTILE]})\n")  # fmt: skip
    done = cli("run", "space.py", "--engine", "inline", "--max-failures", 0)
    assert (done.status, done.err) == (0, ""), done
    page_text = Path("reports/space.md").read_text()
    for text in (done.out, page_text, Path("reports/space.best.yaml").read_text()):
        assert all(line.isprintable() for line in text.split("\n"))
    assert acting(page_text.partition("![")[0]) == []  # what follows shows our own pictures
    (study,) = optuna.get_all_study_summaries(URL)
    notes: dict[str, str] = {}
    for name, text in optuna.load_study(storage=URL, study_name="space")._storage.get_study_system_attrs(1).items():
        if ":note_str:" in name or name.startswith("dashboard:note_str"):
            notes[name.partition("note_str")[0]] = notes.get(name.partition("note_str")[0], "") + str(text)
    assert len(notes) == 3  # of the study and of its two trials
    assert study.n_trials == 2
    for note in notes.values():
        assert [act for act in acting(note) if not act.startswith("{'href': '/tensorboard/?runFilter=space/")] == []
        assert all(line.isprintable() for line in note.split("\n"))
    events = EventAccumulator("runs/space/tensorboard/trial-0000")
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {"score", visible(HOSTILE), "a\\ud800"}
    assert all(tag.isprintable() for tag in events.Tags()["scalars"])
    for words in (("report", "space", "--csv"), ("export", "space", "--format", "dict"), ("status",)):
        assert all(line.isprintable() for line in cli(*words).out.split("\n")), words
