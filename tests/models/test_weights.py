"""Weights from files: what comes along, and what is refused."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch
import torchvision.models
from conftest import save_weights

from search import models
from search.errors import SearchError
from search.models.efficientnet_lite import lite_file
from search.models.registry import family_of
from search.models.weights import check_published


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("squeezenet1_0", "classifier.1."),
        ("resnet18", "fc."),
        ("mobilenet_v3_small", "classifier.3."),
        ("mnasnet0_5", "classifier.1."),  # raises if a state dict does not carry its version
        ("cnn", "2."),
    ],
)
def test_all_but_the_head_come_from_the_file(tmp_path: Path, name: str, head: str, kind: str) -> None:
    torch.manual_seed(1)
    source = models.build(name, 5)
    file = save_weights(source, tmp_path / f"w.{kind}")
    torch.manual_seed(2)
    net, old, same = models.build(name, 7, weights=file), source.state_dict(), set()
    for key, value in net.state_dict().items():
        if value.shape == old[key].shape and torch.equal(value, old[key]):
            same.add(key)
    assert set(old) - same == {f"{head}weight", f"{head}bias"}
    assert net.state_dict()[f"{head}bias"].shape == (7,)


def test_a_head_of_the_same_width_comes_along(tmp_path: Path) -> None:
    source = models.build("cnn", 5)
    net = models.build("cnn", 5, weights=save_weights(source, tmp_path / "w.pth"))
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in net.state_dict().items())


def test_published_files_of_old_torch_are_read(tmp_path: Path) -> None:
    """DenseNet's names have a dot more there, and old batch normalisation did not count its batches."""
    source = models.build("densenet121", 5).state_dict()
    renamed = {}
    for key, value in source.items():
        if not key.endswith("num_batches_tracked"):
            layer, dot, rest = key.partition("denselayer")
            for part in ("norm", "conv"):
                for number in "12":
                    rest = rest.replace(f"{part}{number}", f"{part}.{number}")
            renamed[layer + dot + rest] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in renamed
    torch.save(renamed, tmp_path / "old.pth")
    net = models.build("densenet121", 7, weights=str(tmp_path / "old.pth")).state_dict()
    key = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(net[key], source[key])


def test_auxiliary_heads_in_the_file_are_left_out(tmp_path: Path) -> None:
    net = models.build("googlenet", 5)
    state = net.state_dict() | {"aux1.fc1.weight": torch.zeros(3), "aux2.fc1.weight": torch.zeros(3)}
    torch.save(state, tmp_path / "w.pth")
    models.build("googlenet", 7, weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pth", "resnet18", "not the weights of cnn: '"),
        ("w.safetensors", "resnet18", "not the weights of cnn: '"),
        (
            "w.pth",
            "wider",
            "not the weights of cnn: '0.0.weight' has the shape (64, 3, 3, 3) there and (32, 3, 3, 3) here; only the "
            "last layer may differ (4 of another shape; the file holds 6 tensors, such as '0.0.weight', the model 6)",
        ),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, name: str, content: object, message: str) -> None:
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "wider":
        torch.save({k: torch.cat([v, v]) for k, v in models.build("cnn", 5).state_dict().items()}, file)
    elif isinstance(content, str):
        save_weights(models.build(content, 5), file)
    else:
        torch.save(content, file)
    with pytest.raises(SearchError) as error:
        models.build("cnn", 10, weights=str(file))
    assert str(error.value).startswith(f"{file}: {message}")
    assert len(str(error.value).splitlines()) == 1


def test_a_file_is_read_by_its_content_whatever_its_ending(tmp_path: Path) -> None:
    source = models.build("cnn", 10)
    for made, called in (("a.safetensors", "a.pth"), ("b.pth", "b.safetensors")):
        Path(save_weights(source, tmp_path / made)).rename(tmp_path / called)
        net = models.build("cnn", 10, weights=str(tmp_path / called))
        assert torch.equal(next(net.parameters()), next(source.parameters()))


@pytest.mark.parametrize(("value", "said"), [(float("inf"), "NaN or infinite"), (-1.0, "variances below 0")])
def test_broken_statistics_of_batch_normalisation_are_refused(tmp_path: Path, value: float, said: str) -> None:
    state = models.build("resnet18", 5).state_dict()
    state["bn1.running_var"][3] = value
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(SearchError, match=rf"broken weights: 1 of the 64 values of 'bn1\.running_var' are {said}"):
        models.build("resnet18", 5, weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize("name", ["checkpoint", "squeezenet1_0-12345678.pth"])
def test_the_name_of_published_weights_says_what_is_in_the_file(tmp_path: Path, name: str) -> None:
    """Other names end as they like."""
    source = models.build("squeezenet1_0", 10)
    file = save_weights(source, tmp_path / "squeezenet1_0-b66bff10.pth")
    digits = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:8]
    said = f"whose SHA-256 begins with b66bff10; this one's begins with {digits}; download it again, or give weights"
    with pytest.raises(SearchError, match=re.escape(f"{file}: not the published file of that name, {said}")):
        models.build("squeezenet1_0", 10, weights=file)
    other = Path(file).rename(tmp_path / name)
    net = models.build("squeezenet1_0", 10, weights=str(other))
    assert torch.equal(next(net.parameters()), next(source.parameters()))


def test_published_files_carry_the_hash_of_their_content() -> None:
    """The one that a package carries, and the names of all that torchvision publishes."""
    check_published(lite_file(), [lite_file().name])
    models.build("efficientnet_lite0", 10, weights=str(lite_file()))
    for model in torchvision.models.list_models(module=torchvision.models):
        for name in family_of(model).files(model):
            assert re.search(r"-[0-9a-f]{8}([0-9a-f]{2})?\.pth$", name), name


def test_offline_the_error_says_which_file_to_put_where(offline: Path) -> None:
    with pytest.raises(SearchError) as error:
        models.build("squeezenet1_0", 10, weights="DEFAULT")
    said = str(error.value)
    assert said.startswith("the ImageNet weights of squeezenet1_0 cannot be downloaded (")
    assert f"put squeezenet1_0-b66bff10.pth into {offline}, or " in said
    assert 'weights="path/to/file.pth"' in said
    assert said.endswith("set={'weights': 'scratch'}")
    assert not list(offline.glob("*"))  # no half of a file that a second run would take for the whole


def test_a_file_that_was_put_there_is_used(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline.mkdir(parents=True)
    source = models.build("squeezenet1_0", 1000)
    made = Path(save_weights(source, offline / "squeezenet1_0-b66bff10.pth"))
    with pytest.raises(SearchError, match=r"b66bff10\.pth: not the published file of that name"):
        models.build("squeezenet1_0", 10, weights="DEFAULT")
    name = f"squeezenet1_0-{hashlib.sha256(made.read_bytes()).hexdigest()[:8]}.pth"
    made.rename(offline / name)
    weights = torchvision.models.SqueezeNet1_0_Weights.DEFAULT.value
    monkeypatch.setattr(weights, "url", f"https://download.pytorch.org/models/{name}")
    net = models.build("squeezenet1_0", 10, weights="DEFAULT")
    assert torch.equal(next(net.parameters()), next(source.parameters()))
