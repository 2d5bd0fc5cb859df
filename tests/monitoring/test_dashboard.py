"""Notes and artifacts as the real optuna-dashboard serves them, over its JSON API."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.artifacts import FileSystemArtifactStore
from optuna.study import Study, create_study
from optuna.trial import TrialState, create_trial
from optuna_dashboard import get_note, save_note, wsgi

from search.analysis.view import StudyView
from search.monitoring import dashboard
from search.reporting import page
from search.study import study as studies
from search.study.storage import open as storages

Serve = Callable[..., bytes]
PAGE = Path("reports/made.md")


@pytest.fixture
def made() -> Study:
    return create_study(storage=storages.connect("sqlite:///studies.db"), study_name="made", direction="maximize")


def ask(app: Any, path: str, body: dict[str, Any] | None = None) -> bytes:
    """GET, or PUT where there is a body, from a WSGI application."""
    sent = json.dumps(body).encode() if body else b""
    environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "PUT" if body else "GET"}
    environ |= {"CONTENT_LENGTH": str(len(sent)), "CONTENT_TYPE": "application/json"}
    environ["wsgi.input"] = io.BytesIO(sent)
    setup_testing_defaults(environ)
    statuses: list[str] = []
    parts = app(environ, lambda status, headers, error=None: statuses.append(status))
    answer = b"".join(parts)
    if hasattr(parts, "close"):  # a file's
        parts.close()
    assert statuses[0].startswith("20"), (statuses, answer)
    return answer


@pytest.fixture
def serve(made: Study) -> Serve:
    """Ask the dashboard's own application."""
    return partial(ask, wsgi(made._storage, artifact_store=FileSystemArtifactStore(dashboard.ARTIFACTS)))


def shown(serve: Serve) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(serve("/api/studies/1"))
    return found


def publish(study: Study, *head: str, pictures: tuple[Path, ...] = ()) -> None:
    """Publish a report with these paragraphs and pictures."""
    dashboard.publish(StudyView(study), page.Report(PAGE, head, "", pictures))


def test_the_dashboard_serves_the_head_of_the_report(made: Study, serve: Serve) -> None:
    comment = "A comment. " + "x" * 5000  # more than one attribute holds
    publish(made, "# made", "Best: **0.9**.", comment)
    expected = f"# made\n\nBest: **0.9**.\n\n{comment}\n\nFrom `reports/made.md`."
    assert shown(serve)["note"] == {"version": 1, "body": expected}
    assert get_note(made) == expected
    publish(made, "# made", "Best: **0.9**.", comment)  # the same: nothing is written
    assert shown(serve)["note"]["version"] == 1
    publish(made, "# made", "Shorter.")
    assert shown(serve)["note"] == {"version": 2, "body": "# made\n\nShorter.\n\nFrom `reports/made.md`."}


def test_a_note_that_a_person_has_edited_stays(made: Study, serve: Serve) -> None:
    publish(made, "# made")
    serve("/api/studies/1/note", {"version": 2, "body": "mine"})
    publish(made, "# made anew")
    assert shown(serve)["note"] == {"version": 2, "body": "mine"}


def test_a_note_that_was_there_before_the_first_report_stays(made: Study, serve: Serve) -> None:
    save_note(made, "mine")
    publish(made, "# made")
    assert shown(serve)["note"]["body"] == "mine"


def test_a_long_table_is_cut_in_the_note() -> None:
    rows = "".join(f"\n| {i} |" for i in range(dashboard.ROWS + 5))
    text = dashboard.note(page.Report(PAGE, ("# made", f"| a |\n|---|{rows}", "after"), "", ()))
    assert f"| {dashboard.ROWS - 1} |\n\n5 more rows are in `reports/made.md`.\n\nafter" in text
    assert f"| {dashboard.ROWS} |" not in text
    short = ("# made", "| a |\n|---|\n| 1 |")
    assert dashboard.note(page.Report(PAGE, short, "", ())) == "\n\n".join(short) + "\n\nFrom `reports/made.md`."


def test_each_trial_has_its_config_and_why_it_failed(made: Study, serve: Serve) -> None:
    settings = {"lr": 0.1, "frozen": ["features"], "weights": None}
    first, second, third = (made.ask() for _ in range(3))
    dashboard.note_trial(made, first._trial_id, TrialState.COMPLETE, settings)
    dashboard.note_trial(made, second._trial_id, TrialState.FAIL, settings, "TypeError: __init__ (space.py:3)")
    dashboard.note_trial(made, third._trial_id, TrialState.PRUNED, {}, step=4, link="[its curves](/there)")
    notes = [trial["note"]["body"] for trial in shown(serve)["trials"]]
    config = '```yaml\nlr: 0.1\nfrozen: ["features"]\nweights: null\n```'
    assert notes == [
        config,
        f"FAIL\n\n```\nTypeError: __init__ (space.py:3)\n```\n\n{config}",
        "Pruned at epoch 4.\n\n[its curves](/there)",
    ]
    assert shown(serve)["note"]["version"] == 0


def test_what_a_person_wrote_while_the_trial_ran_stays(made: Study, serve: Serve) -> None:
    trial = made.ask()
    serve(f"/api/studies/1/{trial._trial_id}/note", {"version": 1, "body": "looks good"})
    dashboard.note_trial(made, trial._trial_id, TrialState.COMPLETE, {"lr": 0.1})
    assert shown(serve)["trials"][0]["note"]["body"] == "looks good"


def test_pictures_are_artifacts_uploaded_once_and_replaced_when_changed(made: Study, serve: Serve) -> None:
    confusion, gallery = Path("reports/made_files/confusion.png"), Path("reports/made_gallery/mistakes.png")
    for file in (confusion, gallery):
        file.parent.mkdir(parents=True)
        file.write_bytes(f"PNG of {file.name}".encode())
    publish(made, "# made", pictures=(confusion, gallery))
    before = {about["filename"]: about for about in shown(serve)["artifacts"]}
    assert list(before) == ["confusion.png", "mistakes.png"]
    assert before["confusion.png"]["mimetype"] == "image/png"
    assert serve(f"/artifacts/1/{before['mistakes.png']['artifact_id']}") == b"PNG of mistakes.png"

    confusion.write_bytes(b"another")
    publish(made, "# made", pictures=(confusion, gallery))
    after = {about["filename"]: about for about in shown(serve)["artifacts"]}
    assert after["mistakes.png"] == before["mistakes.png"]
    assert serve(f"/artifacts/1/{after['confusion.png']['artifact_id']}") == b"another"
    assert len(after) == len(shown(serve)["artifacts"]) == len(list(dashboard.ARTIFACTS.iterdir())) == 2

    for file in dashboard.ARTIFACTS.iterdir():  # somebody cleared the folder
        file.unlink()
    publish(made, "# made", pictures=(confusion, gallery))
    assert len(list(dashboard.ARTIFACTS.iterdir())) == len(shown(serve)["artifacts"]) == 2


def test_the_best_trial_has_the_pictures_that_show_it(made: Study, serve: Serve) -> None:
    files = [Path("reports/made_files/confusion.png"), Path("reports/made_files/history.png")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"PNG of {file.name}".encode())

    def pictured(*numbers: int) -> list[list[str]]:
        view = StudyView(made)
        vars(view)["ranked"] = [made.trials[number] for number in numbers]  # as if it had been read then
        dashboard.publish(view, page.Report(PAGE, ("# made",), "", tuple(files)))
        return [[about["filename"] for about in trial["artifacts"]] for trial in shown(serve)["trials"]]

    for value in (0.5, 0.6):  # all at once: the dashboard does not read them anew for each question
        made.add_trial(create_trial(value=value))
    assert pictured() == [[], []]
    assert pictured(0, 1) == [["confusion.png"], []] == pictured(0, 1)
    about = shown(serve)["trials"][0]["artifacts"][0]
    assert serve(f"/artifacts/1/1/{about['artifact_id']}") == b"PNG of confusion.png"
    assert pictured(1, 0) == [[], ["confusion.png"]]
    assert len(list(dashboard.ARTIFACTS.iterdir())) == 3  # two of the study, and the trial's


def test_a_run_and_a_report_write_them(cli: Any, write: Any, sys_path: None) -> None:
    text = """
        from search import Float, SearchSpace
        space, metric, trials = SearchSpace(x=Float(0, 1)), "score", 2
        def train(config):
            yield {"score": config["x"]}
    """
    write("space.py", text)
    status, out, _ = cli("run", "space.py", "--engine", "inline")
    assert status == 0
    assert "watch it     search dashboard space\n" in out
    study = studies.load_study("sqlite:///studies.db", "space")
    assert "| Rank" in get_note(study)
    served = json.loads(ask(wsgi(study._storage), "/api/studies/1"))
    assert all("```yaml\nx: 0." in trial["note"]["body"] for trial in served["trials"])
    again = cli("run", "space.py", "--engine", "inline", "--trials", 3, "--storage", "sqlite:///studies.db")
    assert "watch it     search dashboard space --storage sqlite:///studies.db\n" in again.out
    write("my url", "sqlite:///studies.db")
    again = cli("run", "space.py", "--engine", "inline", "--trials", 4, "--storage-file", "my url")
    assert "watch it     search dashboard space --storage-file 'my url'\n" in again.out
    assert cli("report", "space", "--reports", "elsewhere").status == 0
    assert "From `elsewhere/space.md`." in get_note(study)
