"""Dropout from coins: the same law as torch's, and torch's own where it is not one half."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from search.config import TrainConfig
from search.errors import SearchError
from search.models import build
from search.train.dropout import CoinDropout, set_dropout, toss_coins


def test_every_dropout_layer_is_set() -> None:
    def config(model: str, dropout: float | None) -> TrainConfig:
        return TrainConfig(model=model, dataset="digits", epochs=1, lr=0.1, schedule="constant", dropout=dropout)

    net = build("efficientnet_b0", 5)
    set_dropout(net, config("efficientnet_b0", 0.35))
    set_dropout(net, config("efficientnet_b0", None))
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.35]
    with torch.device("meta"):
        net = build("vit_b_16", 5)
    set_dropout(net, config("vit_b_16", 0.25))
    found = [m.p for m in net.modules() if isinstance(m, nn.Dropout)]
    assert len(found) == 1 + 3 * 12  # after the embedding; after each block's attention and both of its linear layers
    assert set(found) == {0.25}
    with torch.device("meta"):
        net = build("alexnet", 5)
    set_dropout(net, config("alexnet", 0.0))
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.0] * 2
    with pytest.raises(SearchError, match=r"dropout=0\.5: resnet18 has no dropout layer; leave the setting out"):
        set_dropout(build("resnet18", 5), config("resnet18", 0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_of_the_values_are_dropped_and_the_others_doubled(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(101, 997, dtype=dtype, requires_grad=True)
    out = CoinDropout()(x)
    assert out.dtype == dtype
    assert set(out.unique().tolist()) == {0.0, 2.0}
    kept = out.detach() > 0
    assert binomtest(int(kept.sum()), kept.numel()).pvalue > 0.001
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out)


def test_neighbours_rows_and_draws_are_independent() -> None:
    torch.manual_seed(0)
    layer, x = CoinDropout(), torch.ones(64, 4096)
    first, second = (layer(x) > 0 for _ in range(2))
    pairs = [(first[:, 1:], first[:, :-1]), (first[1:], first[:-1]), (first, second), (first[:, 64:], first[:, :-64])]
    for a, b in pairs:
        assert binomtest(int((a == b).sum()), a.numel()).pvalue > 0.001


def test_the_seed_decides() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        found: torch.Tensor = CoinDropout()(torch.ones(1000))
        return found

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_elsewhere_it_is_torchs(p: float) -> None:
    x = torch.ones(1000)
    coin, plain = CoinDropout(p), nn.Dropout(p)
    assert torch.equal(coin.eval()(x), x)
    torch.manual_seed(0)
    own = coin.train()(x)
    torch.manual_seed(0)
    assert torch.equal(own, plain(x)) == (p != 0.5)


def test_only_the_plain_layers_of_a_model_are_changed() -> None:
    model = nn.Sequential(build("alexnet", 5), nn.Dropout2d(), nn.AlphaDropout())
    toss_coins(model)
    kinds = [type(module) for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    assert kinds == [CoinDropout, CoinDropout, nn.Dropout2d, nn.AlphaDropout]
