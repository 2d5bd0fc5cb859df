"""Which models torch must be strict with, and what happens where it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import alexnet, vit_b_16
from torchvision.models.vision_transformer import VisionTransformer

from search.train.device import Runtime, attends, make_repeatable

CPU = Runtime("cpu", "fp32", 1)


@pytest.fixture(autouse=True)
def lenient() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def vit() -> nn.Module:
    model: nn.Module = VisionTransformer(16, 8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8)
    return model


class Attention(nn.Module):
    """As timm writes it: without torch's own module. `put`: then does what torch has no repeatable form of."""

    def __init__(self, put: bool = False) -> None:
        super().__init__()
        self.scale, self.put = nn.Parameter(torch.ones(1)), put

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.scaled_dot_product_attention(x, x, x) * self.scale
        y: Tensor = x.clone().put_(torch.tensor([0]), torch.zeros(1)) if self.put else x
        return y


@pytest.mark.parametrize(("model", "side", "strict"), [(vit, 16, True), (Attention, 8, True), (alexnet, 64, False)])
def test_torch_is_strict_with_attention_only(model: Callable[[], nn.Module], side: int, strict: bool) -> None:
    made, image = model(), torch.rand(1, 3, side, side)
    assert attends(made, image) == strict
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    make_repeatable(made, CPU, image, None)
    assert torch.are_deterministic_algorithms_enabled() == strict
    assert torch.equal(torch.rand(2), expected)
    assert all(parameter.grad is None for parameter in made.parameters())


def test_what_has_no_repeatable_form_is_said() -> None:
    said: list[str] = []
    make_repeatable(Attention(put=True), CPU, torch.rand(1, 3, 8, 8), said.append)
    assert not torch.are_deterministic_algorithms_enabled()
    assert len(said) == 1
    assert said[0].startswith("two trainings with one seed may differ on this GPU: put_ ")


def test_the_whole_of_torchvisions_vit_attends() -> None:
    with torch.device("meta"):
        assert attends(vit_b_16(), torch.rand(1, 3, 224, 224))
