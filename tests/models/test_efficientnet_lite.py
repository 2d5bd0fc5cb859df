"""EfficientNet-Lite0: the published layers, and that its weights see."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import v2

from search import models
from search.data.caltech101 import Caltech101
from search.data.reading.pictures import read_picture
from search.errors import SearchError

WANTED = {"dalmatian": 251, "accordion": 401, "grand_piano": 579}
"""Classes of Caltech-101, and their numbers among ImageNet's."""


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> dict[str, Image.Image]:
    """Five pictures of each wanted class, by name; to read any of them is to unpack the whole archive."""
    names = {f"{name}/image_{i:04}.jpg" for name in WANTED for i in range(1, 6)}
    return {name: read_picture(data).image.convert("RGB") for name, data in Caltech101(shared_data).read(names)}


def test_efficientnet_lite0_is_the_published_network() -> None:
    """4.7 million parameters and 75.1% top-1, says tensorflow/tpu, models/official/efficientnet/lite/README.md."""
    net = models.build("efficientnet_lite0", 1000)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == 4.7
    assert not [name for name, _ in net.named_modules() if "_se_" in name]
    assert {type(m).__name__ for m in net.modules() if "Swish" in type(m).__name__} == set()
    spec = models.image_spec("efficientnet_lite0")
    assert spec is not None
    assert (spec.resize, spec.crop) == ((256, 256), (224, 224))
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


def test_efficientnet_lite0_knows_real_pictures(pictures: dict[str, Image.Image]) -> None:
    """The ImageNet head on three of Caltech's classes that ImageNet has, of which it has never been told."""
    net = models.build("efficientnet_lite0", 1000, weights="DEFAULT").eval()
    spec = models.image_spec("efficientnet_lite0")
    assert spec is not None
    labels = {name: WANTED[name.partition("/")[0]] for name in pictures}
    assert len(labels) == 15
    resize, crop = v2.Resize(spec.resize[0]), v2.CenterCrop(spec.crop)
    tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(spec.mean, spec.std)])
    with torch.no_grad():
        found = net(torch.stack([tensor(crop(resize(pictures[name]))) for name in labels])).argmax(1)
    assert (found == torch.tensor(list(labels.values()))).float().mean() > 0.9


@pytest.mark.parametrize("blocks", [5, 8, 11, 15])
def test_a_cut_is_the_whole_network_up_to_the_next_expansion(blocks: int, pictures: dict[str, Image.Image]) -> None:
    """On real pictures, to the bit: what the head sees is what the whole network has made by then."""
    whole = models.build("efficientnet_lite0", 7, weights="DEFAULT").eval()
    read: list[str] = []
    name = f"efficientnet_lite0_first{blocks}"
    net = models.build(name, 7, weights="DEFAULT", read=lambda loaded: read.append(loaded.said)).eval()
    assert f"the first {blocks} of its 16 blocks, and the expansion of the next; classifier.1 is new" in read[0]
    assert len([*net.get_submodule("features._blocks").children()]) == blocks
    block = whole.get_submodule(f"features._blocks.{blocks}")
    seen: list[torch.Tensor] = []
    block.get_submodule("_bn0").register_forward_hook(lambda *args: seen.append(args[2].clamp(0, 6).mean((2, 3))))
    resize, crop = v2.Resize(144), v2.CenterCrop(128)
    chosen = [pictures[f"dalmatian/image_{i:04}.jpg"] for i in range(1, 4)]
    x = torch.stack([v2.functional.to_image(crop(resize(picture))).float() / 128 - 1 for picture in chosen])
    with torch.no_grad():
        whole(x)
        found = net.get_submodule("features")(x)
    assert torch.allclose(found, seen[0], atol=1e-6)
    assert models.image_spec(name) == models.image_spec("efficientnet_lite0")


def test_a_cut_takes_its_own_weights_and_those_of_a_later_cut(tmp_path: Path) -> None:
    read: list[str] = []
    file = str(tmp_path / "own.safetensors")
    own = models.build("efficientnet_lite0_first8", 7, weights="DEFAULT").state_dict()
    save_file(own, file)
    again = models.build("efficientnet_lite0_first8", 7, weights=file, read=lambda loaded: read.append(loaded.said))
    assert all(torch.equal(value, own[name]) for name, value in again.state_dict().items())
    models.build("efficientnet_lite0_first5", 7, weights=file, read=lambda loaded: read.append(loaded.said))
    assert ["the first 5 of its 16 blocks" in said for said in read] == [False, True]
    for other in ("efficientnet_lite0", "efficientnet_lite0_first11"):
        with pytest.raises(SearchError, match=f"not the weights of {other}: "):
            models.build(other, 7, weights=file)
