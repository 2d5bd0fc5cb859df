"""A folder and a bucket keep the same promises; the bucket is of a real S3 server on this machine."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from conftest import Cli
from live import Run, free_port, until
from optuna.trial import TrialState
from s3 import Store
from s3fs import S3FileSystem

from search.commands import units
from search.errors import SearchError
from search.files import locations
from search.files.locations import Where

pytestmark = pytest.mark.usefixtures("torch_threads", "sys_path")


@pytest.fixture(params=["folder", "bucket"])
def where(request: pytest.FixtureRequest) -> Where:
    return Path("x/y") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/x/y"


def put(where: Where, name: str, content: bytes) -> None:
    def fill(file: BinaryIO) -> str:
        file.write(content)
        return name

    locations.place(where).write(fill)


def read(where: Where, name: str) -> bytes:
    with locations.place(where).open(name) as file:
        return file.read()


def test_what_is_written_is_listed_read_and_deleted(where: Where) -> None:
    there = locations.place(where)
    assert there.names() == []
    for name, content in (("b", b"1"), ("a", b"2" * 1000), ("b", b"3")):
        put(where, name, content)
    assert there.names() == ["a", "b"]
    assert read(where, "b") == b"3"
    there.delete("a", "none")
    assert there.names() == ["b"]
    with pytest.raises(OSError, match="a"):
        there.open("a")


def test_a_write_that_breaks_off_leaves_nothing_and_spares_what_was_there(where: Where) -> None:
    put(where, "a", b"1")

    def fill(file: BinaryIO) -> str:
        file.write(b"2")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        locations.place(where).write(fill)
    assert locations.place(where).names() == ["a"]
    assert read(where, "a") == b"1"


def test_a_folder_goes_with_what_it_holds_and_its_namesakes_stay(where: Where) -> None:
    for name in ("1", "1/2", "10"):
        put(locations.under(where, name.replace("/", "/sub/")), "file", b"")
    locations.place(where).delete_folder("1")
    locations.place(where).delete_folder("none")
    assert locations.place(where).names() == ["10"]


def test_whole_files_go_there_and_come_back(where: Where) -> None:
    file = locations.under(where, "new", "weights")
    assert not locations.is_file(file)
    locations.write(file, lambda part: part.write_bytes(b"1"))
    with pytest.raises(ZeroDivisionError):
        locations.write(file, lambda part: part.write_bytes(b"2") / 0)
    with locations.fetched(file) as here:
        assert here.read_bytes() == b"1"
    assert locations.is_file(file)


def test_what_other_processes_write_is_seen(s3: Store, bucket: str) -> None:
    there = locations.place(f"{bucket}/x")
    put(f"{bucket}/x", "1", b"")
    assert there.names() == ["1"]
    s3.put(f"{bucket.removeprefix('s3://')}/x/2", b"")
    assert there.names() == ["1", "2"]
    assert locations.is_file(f"{bucket}/x/2")


def test_a_place_that_will_do_is_left_as_it_was(where: Where) -> None:
    locations.check(where)
    assert locations.place(where).names() == []
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("gs://b/x", "run_dir=gs://b/x: Python's package gcsfs is missing; pip install gcsfs"),
        ("nosuch://b/x", "run_dir=nosuch://b/x: Protocol not known: nosuch"),
        ("s3://none/x", "run_dir=s3://none/x: The specified bucket does not exist"),
        ("s3://", "run_dir=s3://: name a folder of an object store"),
        ("memory://x", "run_dir=memory://x: name a folder of an object store"),
        ("simplecache::s3://b/x", "name a folder of an object store"),
        ("s3:/b/x", "run_dir=s3:/b/x: a URL is text with two slashes"),
        (Path("s3://b/x"), "run_dir=s3:/b/x: a URL is text with two slashes"),
        ("s3://me:sesame@b/x", r"run_dir=s3://me:\*\*\*@\.\.\.: no password and no \? in it; the environment has"),
        ("s3://b/x?key=sesame", r"run_dir=s3://\.\.\.: no password and no \? in it"),
        ("sftp://me:sesame@b/x?y", r"run_dir=sftp://me:\*\*\*@\.\.\.: no password"),
    ],
)
def test_what_will_not_do_is_refused_before_anything_is_made(bucket: str, word: str | Path, says: str) -> None:
    with pytest.raises(SearchError, match=f"^.*{says}") as refused:
        locations.check(units.run_dir(word, "run_dir"))
    assert "sesame" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(Path().iterdir())


def test_a_store_that_is_away_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(SearchError, match=f"run_dir={bucket}/x: Could not connect to the endpoint URL"):
        locations.check(f"{bucket}/x")


def test_a_folder_may_be_written_as_a_url() -> None:
    assert units.run_dir("file:///shared/x", "run_dir") == Path("/shared/x")
    assert units.run_dir("x/y", "run_dir") == units.run_dir(Path("x/y"), "run_dir") == Path("x/y")
    assert units.run_dir("s3://b/x/", "run_dir") == "s3://b/x"


SPACE = """
    from search import Float, SearchSpace

    space = SearchSpace(
        model="cnn", dataset="digits", subset=300, epochs=5, batch_size=64, lr=Float(0.05, 0.1), step_size=4, gamma=0.5
    )
    trials = 1
"""
HELD = """
from time import sleep
from search.cli import main
from search.train import checkpoints

write = checkpoints.Checkpoints._write

def held(self, epoch, state):
    write(self, epoch, state)
    sleep(1000 if epoch == 3 else 0)

checkpoints.OFTEN, checkpoints.Checkpoints._write = 0.0, held
main()
"""
"""The command, with a checkpoint after every epoch, and no end after the third."""


@pytest.mark.whole
def test_a_killed_run_goes_on_from_the_bucket_and_leaves_the_winner_there(
    bucket: str, write: Callable[[str, str], Path], cli: Cli
) -> None:
    home = write("space.py", SPACE).parent
    words = ("--engine", "inline", "--run-dir", f"{bucket}/runs")
    checkpoints = locations.place(f"{bucket}/runs/space/checkpoints/0")
    run = Run(home, *words, program=[sys.executable, "-c", HELD])
    try:
        until(lambda: [name[:6] for name in checkpoints.names()] == ["000002", "000003"], "the third checkpoint")
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
    finally:
        run.end()
    done = cli("run", "space.py", *words)
    assert done.status == 0, done
    assert "test accuracy 0." in done.out
    (trial,) = run.trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["resumed_after"] == [3]
    assert checkpoints.names() == []
    assert locations.place(f"{bucket}/runs/space/weights").names() == ["0.safetensors"]
    assert not list((home / "runs" / "space").glob("[wc][eh]*"))  # weights, checkpoints
    done = cli("train", home / "reports" / "space.best.yaml", "--verify")
    assert (done.status, "reproduced: val_acc" in done.out) == (0, True), done
