"""Whatever studies are called, none writes over another's files."""

from __future__ import annotations

from pathlib import Path

import optuna

from search import predictions
from search.analysis.view import StudyView
from search.commands.steps.export import write_best
from search.engine.retention import checkpoints_of, weights_of
from search.reporting import compare, page
from search.study.storage.open import connect
from search.study.study import load_study

URL = "sqlite:///studies.db"
LONG = "数" * 99
NAMES = [
    "a",
    "a.",
    "a ",
    " a",
    ".a",
    "..",
    "",
    "a/b",
    "a-b",
    "a\\b",
    "b",
    "b.",
    "a-vs-b",
    "b-vs-a",
    "a.-vs-b",
    "a-vs-b.",
]
NAMES += [f"{LONG}1", f"{LONG}2", "e\u0301", "é", "study", "con", "~", "a~b", "a\nb"]


def test_every_name_that_optuna_holds_has_files_of_its_own() -> None:
    storage, written = connect(URL), dict[Path, str]()
    for name in NAMES:
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        study.add_trial(optuna.create_trial(value=0.5))
    for name in NAMES:
        study = load_study(URL, name)
        for path in (page.write(StudyView(study), Path("reports")).path, write_best(study, Path("reports"))):
            assert path not in written, f"{name!r} writes over {written[path]!r}"
            written[path] = name
    for names in [("a", "b"), ("a", "b."), ("a", "b-vs-a"), ("a-vs-b", "a")]:
        views = [StudyView(load_study(URL, name)) for name in names]
        path, _ = compare.write(views, Path("reports"))
        assert path not in written, f"the comparison of {names} writes over {written[path]!r}"
        written[path] = " against ".join(names)
    assert {"a.md", "b.md", "a-b.md", "a-vs-b.md", "a.best.yaml"} <= {path.name for path in written}
    for place in (weights_of, checkpoints_of, predictions.place):
        assert len({place(name, 0) for name in NAMES}) == len(NAMES)
