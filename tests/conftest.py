"""What every test gets: an empty working directory, a cache of its own, no setting of the caller's."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

# Several tests run at a time, and a thread that spins while it waits for its share takes a core from another test.
# Before torch is imported: the OpenMP library reads both names once.
os.environ |= {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}
import numpy as np
import optuna
import pytest
import torch
from optuna.study import Study
from optuna.trial import create_trial
from optunas import migrations, same_draws
from quick import blank_pictures, pytest_collection_modifyitems
from safetensors.torch import save_file
from torch import nn

from search import cli as command
from search import predictions
from search.predictions import Predictions

if TYPE_CHECKING:  # only some tests need a database or a bucket, and not every machine has the libraries
    from postgres import Postgres
    from s3 import Store

__all__ = ["blank_pictures", "migrations", "pytest_collection_modifyitems", "same_draws"]  # of every test
REPO = Path(__file__).resolve().parent.parent
SPACES = REPO / "spaces"
gc.set_threshold(50_000, 20, 20)  # what a test leaves is little, and a search for it after every 700 objects is not
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores Ctrl-C
with suppress(ImportError):  # a machine with a GPU may lack it
    from hypothesis import settings

    settings.register_profile("busy", deadline=None)  # any machine is slow for once
    settings.load_profile("busy")


@pytest.hookimpl(optionalhook=True)  # a machine with a GPU may lack pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: every third second of a test it waits for a process that it started."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu`, only the files with such tests are read: others import what a machine with a GPU may lack."""
    if config.getoption("markexpr") != "gpu" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8") if collection_path.is_file() else "mark.gpu"
    return None if "mark.gpu" in text or "from gpu import" in text else True


def pytest_collection_finish() -> None:
    """What was imported stays: Python's garbage collector need not look through it in every test."""
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image cache for the whole test run, away from the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "an earlier test has left a handler of signals behind"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    for name in ("SEARCH_STORAGE", "SEARCH_DATA_ROOT", "SEARCH_CACHE_SIZE", "SEARCH_NOTIFY", "SEARCH_AUTH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL for the whole test run; who stops it starts it again."""
    from postgres import server

    with server() as found:
        yield found


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres.database("studies")


@pytest.fixture(scope="session")
def s3() -> Iterator[Store]:
    """A real S3 server for the whole test run."""
    from s3 import server

    with server() as found:
        yield found


@pytest.fixture
def bucket(s3: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty S3 bucket, which the environment says how to reach."""
    from s3fs import S3FileSystem

    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    yield s3.bucket()
    S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty storage, of each kind that is documented."""
    return "sqlite:///studies.db" if request.param == "sqlite" else str(request.getfixturevalue("database"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real Caltech-101; skips, loudly, where it is missing."""
    root = REPO.parent / "shared" / "data"
    if not (root / "caltech101" / "101_ObjectCategories.tar.gz").is_file():
        pytest.skip(f"the real Caltech-101 is not in {root}: this test did NOT run")
    return root


class Result(NamedTuple):
    status: int
    out: str
    err: str


Cli = Callable[..., Result]
"""The `search` command, called with words."""


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run the `search` command in this process: ``cli("run", "space.py", "--trials", 3)``."""

    def call(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["search", *map(str, words)])
        capfd.readouterr()
        try:
            command.main()
            status: object = 0
        except SystemExit as end:
            status = end.code
        out, err = capfd.readouterr()
        assert isinstance(status, int)
        return Result(status, out, err)

    return call


@pytest.fixture(scope="session")
def _ran() -> dict[object, tuple[Result, Path]]:
    """By words and files: what a command printed, and the folder as it left it."""
    return {}


@pytest.fixture
def once(
    cli: Cli, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, _ran: dict[object, tuple[Result, Path]]
) -> Cli:
    """`cli` for what several tests begin with: where it was run before among the same files, its own are copied."""

    def call(*words: object) -> Result:
        files = {str(p.relative_to(tmp_path)): p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}
        key = (*map(str, words), *files.items())
        if key in _ran:
            result, left = _ran[key]
            shutil.copytree(left, tmp_path, dirs_exist_ok=True)
        else:
            result = cli(*words)
            _ran[key] = result, shutil.copytree(tmp_path, tmp_path_factory.mktemp("ran"), dirs_exist_ok=True)
        return result

    return call


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a file of the test's own, dedented: ``write("space.py", "space = ...")``."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return make


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """Takes back the number of threads that training in this process sets."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread(torch_threads: None) -> None:
    """Tensors as small as the tests' are faster so, most of all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forgets the modules that lie beside a test's space file: another test has others of the same names."""
    before, folder = set(sys.modules), str(tmp_path_factory.getbasetemp())
    yield
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(folder):
            del sys.modules[name]


@pytest.fixture
def sys_path() -> Iterator[None]:
    """Takes back what loading a space file adds to the import path."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture
def thin_vits(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's vision transformers with one layer of their twelve, which are 86 million weights."""
    from torchvision.models import vision_transformer  # late: it takes half a second

    make = vision_transformer._vision_transformer
    monkeypatch.setattr(vision_transformer, "_vision_transformer", lambda **how: make(**how | {"num_layers": 1}))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub folder, and a network on which every connection is refused at once."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def add_seeds(study: Study, of: int | str, val: list[float], test: list[float], baseline: str | None = None) -> None:
    """Write to the study that confirms `study` what its seeds 1, 2, ... gave for the trial or hand-tuned row `of`."""
    name = f"{study.study_name}.confirm"
    made = optuna.create_study(study_name=name, storage=study._storage, direction=study.direction, load_if_exists=True)
    made.set_user_attr("confirms", study.study_name)
    config = study.trials[of].user_attrs["config"] if isinstance(of, int) else {}
    for seed, (val_acc, test_acc) in enumerate(zip(val, test, strict=True), 1):
        attrs = {"of": of, "config": {**config, "seed": seed}, "epoch": {"val_acc": val_acc}}
        attrs |= {"test": {"test_acc": test_acc, "images": 450}} | ({"baseline": baseline} if baseline else {})
        made.add_trial(create_trial(value=val_acc, user_attrs=attrs))


def add_predictions(study: str, trial: int, right: Iterable[bool]) -> None:
    """Write the predictions of a trial that gets these of its validation images right."""
    wrong = 1 - np.array([*right], dtype=np.int64)
    made = Predictions(np.zeros_like(wrong), wrong, np.full(len(wrong), 0.5), ("a", "b"), "gone/val")
    predictions.write(study, trial, predictions.pack(made))


def save_weights(net: nn.Module, file: Path) -> str:
    """Write the weights of `net` to `file`, in the format of its ending; the path as text."""
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(net.state_dict(), file)
    return str(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A new folder with a space file of the test's own, for a run that may outlive one test."""

    def make(space: str) -> Path:
        path = tmp_path_factory.mktemp("run")
        (path / "space.py").write_text(textwrap.dedent(space))
        return path

    return make
