"""What TensorBoard reads back from the event files of a run."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from driving import Driven, ask
from optuna.trial import TrialState
from PIL import Image
from tensorboard import context as tensorboard_context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from search import ASHA, Choice, Float, SearchSpace, predictions
from search.engine.driver import Driver
from search.engine.messages import Failed, Report
from search.engine.rules import Rules, Run
from search.monitoring.tensorboard import KeepPredictions, TensorBoard
from search.space.file import SpaceFile
from search.study.study import open_study

PACKED = b"as the trainer packed it"


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value), as TensorBoard itself reads them."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_on_a_full_disk_the_curves_have_gaps_and_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    space = SpaceFile(
        Path("space.py"), "space", SearchSpace(x=Float(0, 1), epochs=40), lambda config: iter(()), metric="score"
    )
    said: list[str] = []
    board = TensorBoard(Path("runs"), "score")
    driver = Driven(
        open_study("sqlite:///studies.db", "s", space), space, Rules(trials=1), [board], Run(say=said.append)
    )
    job = driver.next()
    assert job is not None
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(1, 41):
        if number == 10:  # as if the disk were full: in the middle of a record
            (file,) = Path("runs/trial-0000").iterdir()
            full = file.stat().st_size + 20
            monkeypatch.setattr("search.engine.driver.record", lambda *_: None)
            monkeypatch.setattr(job.trial, "should_prune", lambda: False)
            resource.setrlimit(resource.RLIMIT_FSIZE, (full, before[1]))
        try:
            driver.receive(job, Report(0, {"score": number / 100, "seconds": 2.0}, 0, last=False))
        finally:
            if number == 30:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(said) == 1
    assert "the run goes on without what it cannot write" in said[0]
    assert [step for step, _ in curves(Path("runs/trial-0000"))["score"]] == [*range(1, 10), *range(31, 41)]


def test_each_trials_epochs_are_curves_of_its_own() -> None:
    space = SpaceFile(
        Path("space.py"), "space", SearchSpace(x=Float(0, 1), epochs=2), lambda config: iter(()), metric="score"
    )
    driver = Driven(
        open_study("sqlite:///studies.db", "s", space), space, Rules(trials=3), [TensorBoard(Path("runs"), "score")]
    )
    first, second, failed = driver.next(), driver.next(), driver.next()
    assert first is not None
    assert second is not None
    assert failed is not None
    for score, last in ((0.5, False), (0.75, True)):
        driver.receive(first, Report(0, {"epoch": 1, "score": score, "note": "text", "seconds": 2.0}, 0, last=last))
    driver.receive(second, Report(0, {"score": 0.25, "seconds": 1.0}, 0, last=True))
    driver.receive(failed, Failed(0, "no"))  # before its first epoch: no folder
    driver.catch_up()

    assert sorted(path.name for path in Path("runs").iterdir()) == ["trial-0000", "trial-0001"]
    assert curves(Path("runs/trial-0000")) == {
        "score": [(1, 0.5), (2, 0.75)],
        "seconds": [(1, 2.0), (2, 2.0)],
        "machine_seconds": [(1, 2.0), (2, 4.0)],
        "final/score": [(2, 0.75)],
    }
    assert curves(Path("runs/trial-0001"))["score"] == [(1, 0.25)]
    assert driver.counts == {TrialState.COMPLETE: 2, TrialState.FAIL: 1}


def test_predictions_are_kept_at_the_last_epoch() -> None:
    space = SpaceFile(
        Path("space.py"), "space", SearchSpace(x=Float(0, 1), epochs=2), lambda config: iter(()), metric="score"
    )
    driver = Driven(open_study("sqlite:///studies.db", "s", space), space, Rules(trials=2), [KeepPredictions("s")])
    first, second = driver.next(), driver.next()
    assert first is not None
    assert second is not None
    driver.receive(first, Report(0, {"score": 0.5, "seconds": 1.0}, 0, last=False))
    assert not Path("runs").exists()
    last = Report(0, {"score": 0.5, "seconds": 1.0}, 0, last=True, val_images=4, predictions=PACKED)
    driver.receive(first, last)
    driver.receive(second, Report(0, {"score": 0.5, "seconds": 1.0}, 0, last=True))  # a train() in the space file
    assert [trial.user_attrs.get("val_images") for trial in driver.study.get_trials()] == [4, None]
    assert predictions.place("s", 0).read_bytes() == PACKED
    assert not predictions.place("s", 1).exists()


OWN = SearchSpace(x=Float(0, 1), kind=Choice("plain", none=None), epochs=2)


def watched(board: TensorBoard, **wanted: Any) -> Driver:
    space = SpaceFile(Path("space.py"), "space", OWN, lambda config: iter(()), metric="score", **wanted)
    return Driven(open_study("sqlite:///studies.db", "s", space), space, Rules(trials=9), [board])


def test_each_layer_group_has_its_rate() -> None:
    driver = watched(TensorBoard(Path("runs"), "score"))
    job = ask(driver)
    for top in (0.1, 0.01):
        rates = {"conv1+bn1": top / 2, "fc": top}
        measured = {"score": 0.5, "lr": top, "seconds": 1.0}
        driver.receive(job, Report(0, measured, 0, last=top == 0.01, rates=rates))
    found = curves(Path("runs/trial-0000"))
    assert [rate for _, rate in found["lr/conv1+bn1"]] == pytest.approx([0.05, 0.005])
    assert [rate for _, rate in found["lr/fc"]] == pytest.approx([0.1, 0.01])
    assert found["lr/fc"] == found["lr"]


def test_the_hparams_tab_has_a_row_a_trial() -> None:
    """As TensorBoard's plugin answers the browser: all trials, their settings, the final metric of COMPLETE ones."""
    driver = watched(TensorBoard(Path("runs/s/tensorboard"), "score"), pruner=ASHA(1, 2))
    jobs = [ask(driver) for _ in range(3)]
    for score, last in ((0.5, False), (0.9, True)):
        driver.receive(jobs[0], Report(0, {"score": score, "seconds": 1.0}, 0, last=last))
    driver.receive(jobs[1], Report(0, {"score": 0.25, "seconds": 1.0}, 0, last=False))
    assert driver.counts[TrialState.PRUNED] == 1
    driver.receive(jobs[2], Report(0, {"score": 0.5, "seconds": 1.0}, 0, last=False))
    driver.receive(jobs[2], Failed(0, "no"))
    driver.catch_up()
    rows = {row["name"]: row for row in hparams_rows(Path("runs"))}
    assert list(rows) == [f"s/tensorboard/trial-000{i}" for i in range(3)]
    for job, status in zip(jobs, ("STATUS_SUCCESS", "STATUS_SUCCESS", "STATUS_FAILURE"), strict=True):
        row = rows[f"s/tensorboard/trial-000{job.number}"]
        assert row["hparams"] == {"x": job.trial.params["x"], "kind": str(job.trial.params["kind"])}
        assert row["status"] == status
    assert [row["metrics"].get("final/score") for row in rows.values()] == [pytest.approx(0.9), None, None]


def hparams_rows(logdir: Path) -> list[dict[str, Any]]:
    """The sessions that TensorBoard's HPARAMS tab lists for a log folder."""
    events = EventMultiplexer().AddRunsFromDirectory(str(logdir))
    events.Reload()
    context = base_plugin.TBContext(
        logdir=str(logdir), multiplexer=events, data_provider=MultiplexerDataProvider(events, str(logdir))
    )
    backend = Context(context)
    request_context = tensorboard_context.RequestContext()
    columns = backend.experiment_from_metadata(
        request_context, "", True, backend.hparams_metadata(request_context, ""), []
    )
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=99, allowed_statuses=api_pb2.Status.values())
    for about in columns.hparam_infos:
        request.col_params.add(hparam=about.name)
    for metric in columns.metric_infos:
        request.col_params.add().metric.CopyFrom(metric.name)
    handler = Handler(request_context, backend, "", request)
    return [
        {
            "name": session.name,
            "status": api_pb2.Status.Name(session.status),
            "hparams": {
                name: value.number_value if value.HasField("number_value") else value.string_value
                for name, value in group.hparams.items()
            },
            "metrics": {"/".join(filter(None, [m.name.group, m.name.tag])): m.value for m in session.metric_values},
        }
        for group in handler.run().session_groups
        for session in group.sessions
    ]


def test_pictures_are_images_and_replace_the_earlier_ones() -> None:
    board, files = TensorBoard(Path("runs"), "score"), [Path("a.png"), Path("b.png")]
    for side, file in zip((8, 12), files, strict=True):
        Image.new("RGB", (side, 4)).save(file)
    for pictures in (files, files[:1]):
        board.show(pictures)
        events = EventAccumulator("runs/report")
        events.Reload()
        assert events.Tags()["images"] == [file.stem for file in pictures]
    (image,) = events.Images("a")
    assert (image.width, image.height) == (8, 4)
    assert image.encoded_image_string == Path("a.png").read_bytes()
    board.show([])
    assert list(Path("runs/report").iterdir()) == []
