from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms import v2

from search import models
from search.data.datasets import Caltech101, decode
from search.errors import SearchError

SAMPLE = [
    "cnn", "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16", "vit_h_14", "wide_resnet50_2",
    "mlp", "efficientnet_lite0",
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
        out = models.build(name, 7, side=size).eval()(torch.empty(2, 3, size, size))
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


def kinds(net: nn.Module) -> list[str]:
    return [type(module).__name__ for module in net.children()]


def test_mlp_drops_out_after_the_relu_and_narrows_where_it_is_told() -> None:
    net = models.build("mlp", 10, 3, side=32, hidden=(512, 64, 512))
    assert kinds(net) == ["Flatten", *["Linear", "ReLU", "Dropout"] * 3, "Linear"]
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(3 * 32 * 32, 512), (512, 64), (64, 512), (512, 10)]
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert kinds(models.build("mlp", 10, 1, side=8, hidden=())) == ["Flatten", "Linear"]


def test_efficientnet_lite0_is_the_published_network() -> None:
    """4.7 million parameters and 75.1% top-1, says tensorflow/tpu, models/official/efficientnet/lite/README.md."""
    net = models.build("efficientnet_lite0", 1000)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == 4.7
    assert not [name for name, _ in net.named_modules() if "_se_" in name]
    assert {type(m).__name__ for m in net.modules() if "Swish" in type(m).__name__} == set()
    spec = models.image_spec("efficientnet_lite0")
    assert spec is not None
    assert (spec.resize, spec.crop) == (256, 224)
    assert spec.mean == pytest.approx((127 / 255,) * 3)
    assert spec.std == pytest.approx((128 / 255,) * 3)


def test_efficientnet_lite0_takes_all_but_the_head_from_its_package() -> None:
    torch.manual_seed(0)
    file = torch.load(models.weights_file("efficientnet_lite0", "DEFAULT"), weights_only=True)
    net = models.build("efficientnet_lite0", 7, weights="DEFAULT").state_dict()
    head = {"classifier.1.weight", "classifier.1.bias"}
    assert {f"features.{name}" for name in file if not name.startswith("_fc.")} == set(net) - head
    assert all(torch.equal(net[f"features.{name}"], file[name]) for name in file if not name.startswith("_fc."))
    assert net["classifier.1.weight"].shape == (7, 1280)
    scratch = models.build("efficientnet_lite0", 7).state_dict()
    assert not torch.equal(scratch["features._conv_stem.weight"], net["features._conv_stem.weight"])


def test_efficientnet_lite0_knows_real_pictures(shared_data: Path) -> None:
    """The ImageNet head on three of Caltech's classes that ImageNet has, of which it has never been told."""
    net = models.build("efficientnet_lite0", 1000, weights="DEFAULT").eval()
    spec = models.image_spec("efficientnet_lite0")
    assert spec is not None
    source, wanted = Caltech101(shared_data), {"dalmatian": 251, "accordion": 401, "grand_piano": 579}
    labels = {f"{name}/image_{i:04}.jpg": index for name, index in wanted.items() for i in range(1, 6)}
    pictures = {name: decode(data).convert("RGB") for name, data in source.read(set(labels))}
    resize, crop = v2.Resize(spec.resize), v2.CenterCrop(spec.crop)
    tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(spec.mean, spec.std)])
    with torch.no_grad():
        found = net(torch.stack([tensor(crop(resize(pictures[name]))) for name in labels])).argmax(1)
    assert (found == torch.tensor(list(labels.values()))).float().mean() > 0.9


@pytest.mark.parametrize("model", ["efficientnet_lite0", "timm/resnet18"])
def test_a_missing_extra_is_named(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    extra = "timm" if model.startswith("timm") else "lite"
    with pytest.raises(SearchError, match=rf"is not installed; .* pip install -e '\.\[{extra}\]'"):
        models.build(model, 10)


def test_timm_says_what_its_models_want_and_gives_them_a_head() -> None:
    pytest.importorskip("timm", reason="timm is an extra: this test did NOT run")
    assert models.image_spec("timm/resnet18.tv_in1k") == models.image_spec("resnet18")
    spec = models.image_spec("timm/tf_efficientnet_lite0.in1k")
    assert spec is not None
    assert (spec.resize, spec.crop, spec.mean) == (256, 224, (0.5, 0.5, 0.5))
    assert models.build("timm/resnet18", 7).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    with pytest.raises(SearchError, match=r"unknown model 'timm/resnet81'; did you mean 'timm/resnet"):
        models.check_name("timm/resnet81")
    with pytest.raises(SearchError, match=r"'timm/resnet18\.nonsense' cannot be used: Invalid pretrained tag"):
        models.check_name("timm/resnet18.nonsense")


def test_timm_reads_a_file_and_offline_says_so(tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm", reason="timm is an extra: this test did NOT run")
    source = models.build("timm/resnet18", 5)
    net = models.build("timm/resnet18", 7, weights=save(source, tmp_path / "w.safetensors"))
    assert torch.equal(net.state_dict()["conv1.weight"], source.state_dict()["conv1.weight"])
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with pytest.raises(SearchError, match=r"the weights of timm/resnet18 cannot be had .*--set weights=scratch"):
        models.build("timm/resnet18", 7, weights="DEFAULT")


OWN = """\
from torch import nn
def flat(num_classes, channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, num_classes))
def wrong(num_classes, channels): return 3
def broken(num_classes, channels): return nn.Linear(channels, nonsense)
"""


def test_a_function_of_ones_own_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    assert models.build("mine.py:flat", 7, 1)(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    assert models.image_spec(f"{tmp_path}/mine.py:flat") is None


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("none.py:flat", r"model='none.py:flat': no file none.py; write it as path/to/file.py:function"),
        ("mine.py:flatt", r"mine.py: no function 'flatt'; did you mean 'flat'\?"),
        ("mine.py:wrong", r"mine.py:wrong returned a int; it must be a torch.nn.Module"),
        ("mine.py:broken", r"mine.py:broken: NameError: name 'nonsense' is not defined"),
        ("bad.py:flat", r"bad.py: ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
    ],
)
def test_a_wrong_function_is_named(model: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "bad.py").write_text("import nothing_of_the_kind\n")
    with pytest.raises(SearchError, match=f"^{says}$"):
        models.build(model, 10)


@pytest.mark.parametrize("model", ["mlp", "mine.py:flat"])
def test_a_model_of_the_house_has_no_pretrained_weights(model: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    with pytest.raises(SearchError, match="has no pretrained weights"):
        models.build(model, 10, weights="DEFAULT")
