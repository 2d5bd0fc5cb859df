from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from search import models
from search.errors import SearchError

SAMPLE = [
    "cnn", "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16", "vit_h_14", "wide_resnet50_2",
]  # fmt: skip


def test_every_dropout_layer_is_set() -> None:
    net = models.build("efficientnet_b0", 5)
    models.set_dropout(net, "efficientnet_b0", 0.35)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.35]
    with torch.device("meta"):
        net = models.build("vit_b_16", 5)
    models.set_dropout(net, "vit_b_16", 0.25)
    found = [m.p for m in net.modules() if isinstance(m, nn.Dropout)]
    assert len(found) == 1 + 3 * 12  # after the embedding; after each block's attention and both of its linear layers
    assert set(found) == {0.25}
    with pytest.raises(SearchError, match=r"dropout=0\.5: resnet18 has no dropout layer; leave the setting out"):
        models.set_dropout(models.build("resnet18", 5), "resnet18", 0.5)


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


@pytest.mark.parametrize("name", SAMPLE)
def test_a_model_takes_its_images_and_has_a_head_of_the_right_width(name: str) -> None:
    spec = models.image_spec(name)
    size = spec.crop if spec else 8
    with torch.device("meta"):  # shapes alone, so that the largest takes no time
        out = models.build(name, 7).eval()(torch.empty(2, 3, size, size))
    assert out.shape == (2, 7)


def test_a_regnet_has_a_head_of_the_right_width() -> None:
    # It reads the widths that it computes, so that it cannot be built on the meta device.
    assert models.build("regnet_y_400mf", 7).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 64])
def test_the_small_cnn_takes_grey_and_coloured_images_of_any_size(channels: int, size: int) -> None:
    assert models.build("cnn", 10, channels)(torch.zeros(2, channels, size, size)).shape == (2, 10)


def test_every_classifier_of_torchvision_is_a_name() -> None:
    assert len(models.names()) >= 80
    assert set(SAMPLE) <= set(models.names())
    assert not {name for name in models.names() if "rcnn" in name or "raft" in name or "quantized" in name}


def test_what_a_model_wants_to_see() -> None:
    assert models.image_spec("cnn") is None
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert models.image_spec("alexnet") == (256, 224, *imagenet)
    assert models.image_spec("inception_v3") == (342, 299, *imagenet)


def test_the_global_generator_decides_the_initial_values() -> None:
    def first(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return next(models.build("cnn", 10).parameters())

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def save(net: nn.Module, file: Path) -> str:
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(net.state_dict(), file)
    return str(file)


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
    file = save(source, tmp_path / f"w.{kind}")
    torch.manual_seed(2)
    net, old, same = models.build(name, 7, weights=file), source.state_dict(), set()
    for key, value in net.state_dict().items():
        if value.shape == old[key].shape and torch.equal(value, old[key]):
            same.add(key)
    assert set(old) - same == {f"{head}weight", f"{head}bias"}
    assert net.state_dict()[f"{head}bias"].shape == (7,)


def test_a_head_of_the_same_width_comes_along(tmp_path: Path) -> None:
    source = models.build("cnn", 5)
    net = models.build("cnn", 5, weights=save(source, tmp_path / "w.pth"))
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
        ("w.pth", b"no weights at all", "no state dict can be read from it ("),
        ("w.safetensors", b"no weights at all", "no state dict can be read from it ("),
        ("w.pth", b"", "no state dict can be read from it ("),
        ("w.pth", [1, 2], "no state dict can be read from it ("),
        ("w.pth", {}, "not the weights of cnn: '0.0.bias' does not fit"),
        ("w.pth", "wider", "not the weights of cnn: '0.0' does not fit"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, name: str, content: object, message: str) -> None:
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "wider":
        torch.save({k: torch.cat([v, v]) for k, v in models.build("cnn", 5).state_dict().items()}, file)
    elif isinstance(content, str):
        save(models.build(content, 5), file)
    else:
        torch.save(content, file)
    with pytest.raises(SearchError) as error:
        models.build("cnn", 10, weights=str(file))
    assert str(error.value).startswith(f"{file}: {message}")
    assert len(str(error.value).splitlines()) == 1


def test_no_file_no_model_and_no_pretrained_weights() -> None:
    with pytest.raises(SearchError, match=r"weights='none.pth': no such file; DEFAULT, or a path to"):
        models.build("alexnet", 10, weights="none.pth")
    with pytest.raises(SearchError, match=r"'cnn' has no pretrained weights; --set weights=scratch goes without"):
        models.build("cnn", 10, weights="DEFAULT")
    with pytest.raises(SearchError, match=r"unknown model 'alexnett'; did you mean 'alexnet'\?"):
        models.build("alexnett", 10)
    with pytest.raises(SearchError, match=r"unknown model 'qqqq'; known are alexnet, cnn, convnext_base"):
        models.check_name("qqqq")


def test_offline_the_error_says_which_file_to_put_where(offline: Path) -> None:
    with pytest.raises(SearchError) as error:
        models.build("squeezenet1_0", 10, weights="DEFAULT")
    said = str(error.value)
    assert said.startswith("the ImageNet weights of squeezenet1_0 cannot be downloaded (")
    assert f"put squeezenet1_0-b66bff10.pth into {offline}, or " in said
    assert 'weights="path/to/file.pth"' in said
    assert said.endswith("--set weights=scratch")
    assert not list(offline.glob("*"))  # no half of a file that a second run would take for the whole


def test_a_file_that_was_put_there_is_used(offline: Path) -> None:
    offline.mkdir(parents=True)
    source = models.build("squeezenet1_0", 1000)
    save(source, offline / "squeezenet1_0-b66bff10.pth")
    net = models.build("squeezenet1_0", 10, weights="DEFAULT")
    assert torch.equal(next(net.parameters()), next(source.parameters()))
