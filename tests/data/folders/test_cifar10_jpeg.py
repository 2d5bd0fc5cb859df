"""60,000 real JPEGs of 32 px, in train and test: as the archive that they come in, and as the folder in it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO, Cli
from PIL import Image

from search.data import cache
from search.data.base import Split
from search.data.folders.imagefolder import ImageFolder

SPLITS: tuple[Split, ...] = ("train", "val", "test")
SPACE = """
from search import Float, SearchSpace

space = SearchSpace(dataset="imagefolder:DATA", model="mlp", hidden=(16,), epochs=1, batch_size=256, subset=2000,
                    schedule="constant", lr=Float(0.01, 0.1))
"""


@pytest.fixture
def archive() -> Path:
    path = REPO.parent / "shared" / "data" / "cifar10" / "cifar10-jpeg.tar.gz"
    if not path.is_file():
        pytest.skip(f"the real CIFAR-10 is not at {path}: this test did NOT run")
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("sys_path", "torch_threads")
def test_the_archive_and_its_folder_are_one_data_set(
    archive: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "cifar", filter="data")
    loose, packed = ImageFolder(tmp_path / "cifar"), ImageFolder(archive)
    classes, items = packed.splits()
    assert loose.splits() == (classes, items)
    assert classes[0] == "airplane"
    assert [len(items[split]) for split in SPLITS] == [40_000, 10_000, 10_000]
    one, other = (cache.load(source, None, SPLITS) for source in (loose, packed))
    for first, second in zip(one, other, strict=True):
        assert first.pixels.shape[1:] == (32, 32, 3)
        assert np.array_equal(first.pixels, second.pixels)
        assert np.array_equal(first.labels, second.labels)
        assert first.identity == second.identity
    for row in range(0, 40_000, 4001):
        with Image.open(tmp_path / "cifar" / one[0].names[row]) as picture:
            assert np.array_equal(one[0].pixels[row], np.asarray(picture))
    for name in (str(archive), str(tmp_path / "cifar")):
        Path("s.py").write_text(SPACE.replace("DATA", name))
        done = cli("run", "s.py", "--engine", "inline", "--trials", 1, "--name", Path(name).name)
        assert done.status == 0, done
        assert f"{Path(name).name}: 10 classes, 40,000 + 10,000 + 10,000 images\n" in done.out
        assert "mlp sees imagefolder:" + name + " at 32 x 32 px" in done.out
