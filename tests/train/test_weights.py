"""A model on disk is the model."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model

from search.config import TrainConfig
from search.errors import SearchError
from search.models import build
from search.train.batches import load_data
from search.train.weights import load, save

CONFIG = TrainConfig(
    model="cnn", dataset="digits", epochs=1, lr=0.1, step_size=1, gamma=0.5, frozen=("0",), weights="Gewichte/ä.pth"
)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_round_trip(tmp_path: Path, layout: torch.memory_format) -> None:
    torch.manual_seed(1)
    model = build("cnn", 10).to(memory_format=layout)
    save(model, CONFIG, tmp_path / "new folder" / "model.safetensors")
    again = build("cnn", 10)
    load_model(again, tmp_path / "new folder" / "model.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_config_travels_with_it(tmp_path: Path) -> None:
    save(build("cnn", 10), CONFIG, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert TrainConfig.model_validate_json(file.metadata()["config"]) == CONFIG


def test_a_failure_leaves_nothing_and_spares_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(build("cnn", 10), CONFIG, path)
    before = path.read_bytes()
    with torch.device("meta"), pytest.raises(NotImplementedError):  # has no values to write
        save(build("cnn", 10), CONFIG, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        save(build("cnn", 10), CONFIG, tmp_path / "folder")
    assert not list(tmp_path.glob(".*.part"))


def test_a_full_disk_is_an_error_of_the_system_and_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))  # fails as a full disk does, in the same write
    try:
        with pytest.raises(OSError, match="too large"):
            save(build("cnn", 10), CONFIG, tmp_path / "model.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_weights_are_loaded_into_their_own_config_only(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = build("cnn", 10)
    save(model, CONFIG, path)
    again = build("cnn", 10)
    load(again, CONFIG, path)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    with pytest.raises(SearchError, match="the weights of another config"):
        load(again, CONFIG.model_copy(update={"lr": 0.2}), path)
    for content in (path.read_bytes()[:100], b""):
        path.write_bytes(content)
        with pytest.raises(SearchError, match=r"model\.safetensors: the weights cannot be read: "):
            load(again, CONFIG, path)
    path.unlink()
    with pytest.raises(SearchError, match="cannot be read"):
        load(again, CONFIG, path)


def test_weights_of_other_classes_or_other_images_are_refused(tmp_path: Path) -> None:
    (data,) = load_data("cnn", "digits", Path("data"), "cpu", ("test",))
    path, model = tmp_path / "model.safetensors", build("cnn", 10, 1, side=8)
    about = {"classes": list(data.classes), "input": data.spec.about()}
    save(model, CONFIG, path, about)
    load(model, CONFIG, path, data)
    save(model, CONFIG, path, about | {"classes": ["nought", *data.classes[1:]]})
    with pytest.raises(SearchError, match="other classes than the data set has now: 'nought' there, '0' here"):
        load(model, CONFIG, path, data)
    save(model, CONFIG, path, about | {"input": data.spec._replace(interpolation="bicubic").about()})
    with pytest.raises(SearchError, match="trained on other images: 8 x 8 px, bicubic there, 8 x 8 px, bilinear here"):
        load(model, CONFIG, path, data)
    save(model, CONFIG, path, about | {"data": data.identity.fingerprint})
    load(model, CONFIG, path, data)
    save(model, CONFIG, path, about | {"data": "0123456789abcdef"})
    with pytest.raises(SearchError, match="trained on other data than the data set has now"):
        load(model, CONFIG, path, data)
    save(model, CONFIG, path, about | {"test": data.identity.test})
    load(model, CONFIG, path, data)
    save(model, CONFIG, path, about | {"test": "0123456789abcdef"})
    with pytest.raises(SearchError, match="the pictures of the test split are others than when it was trained"):
        load(model, CONFIG, path, data)
    save(model, CONFIG, path)  # by an older version
    load(model, CONFIG, path, data)
    data.spec = data.spec._replace(interpolation="bicubic")
    with pytest.raises(SearchError, match="trained by an older version on images resized otherwise; train it again"):
        load(model, CONFIG, path, data)
    load_data.cache_clear()
