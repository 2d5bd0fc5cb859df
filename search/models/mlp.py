"""A multi-layer perceptron, whose widths are the setting `hidden`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from search.models.base import Family, Task


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


class MLP(Family):
    """The model ``mlp``."""

    def names(self) -> Iterable[str]:
        return ("mlp",)

    def build(self, model: str, task: Task) -> nn.Module:
        return mlp(task.num_classes, task.channels * task.size[0] * task.size[1], task.hidden)
