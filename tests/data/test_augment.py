"""Random changes of batches: by seed, image by image, and nothing but what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gpu import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc
from torch import Tensor

from search.data.augment import Augment, Mix, Policy, crop_flip, drawing_from, make_augment

KINDS = ["crop_flip", "randaugment", "trivialaugment"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, side: int, channels: int = 3) -> Tensor:
    """(count, side, side, channels), uint8: noise, so that no two places look alike."""
    noise = np.random.default_rng(0).integers(1, 256, (count, side, side, channels), dtype=np.uint8)
    return torch.from_numpy(noise)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("side", "crop", "channels"), [(20, 16, 3), (8, 8, 1)])
def test_by_seed_and_each_image_its_own(kind: str, side: int, crop: int, channels: int) -> None:
    same = pictures(1, side, channels).expand(32, -1, -1, -1).contiguous()
    before = same.clone()
    one, two = Augment(kind, seeded(7)), Augment(kind, seeded(7))
    size = (crop, crop)
    first, second = one(same, size), one(same, size)
    assert first.shape == (32, crop, crop, channels)
    assert first.dtype == torch.uint8
    assert torch.equal(first, two(same, size))
    assert torch.equal(second, two(same, size))
    assert not torch.equal(first, second)  # the seed's sequence goes on
    assert not torch.equal(first, Augment(kind, seeded(8))(same, size))
    assert len({image.numpy().tobytes() for image in first}) > 5  # of 32 equal images
    assert torch.equal(same, before)


def test_the_name_none_changes_nothing_and_others_draw_from_the_generator() -> None:
    assert make_augment("none", seeded()) is None
    same, made = pictures(8, 20), make_augment("crop_flip", seeded(7))
    assert made is not None
    assert torch.equal(made(same, (16, 16)), Augment("crop_flip", seeded(7))(same, (16, 16)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_global_generator_is_left_alone(kind: str) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Augment(kind, seeded())(pictures(2, 10), (8, 8))
    Mix(0.2, 1.0, 3, seeded())(torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]))
    assert torch.equal(torch.rand(4), expected)


def test_a_generator_continues_where_it_was() -> None:
    generator, other = seeded(), seeded()
    with drawing_from(generator):
        first = torch.rand(3)
    with drawing_from(generator):
        second = torch.rand(3)
    assert torch.equal(torch.cat([first, second]), torch.cat([torch.rand(3, generator=other) for _ in range(2)]))


@given(seed=st.integers(0, 2**31), crop=st.integers(2, 9), margin=st.integers(1, 4))
@settings(deadline=None)
def test_a_crop_is_a_window_of_its_image_perhaps_mirrored(seed: int, crop: int, margin: int) -> None:
    whole = pictures(5, crop + margin)
    with drawing_from(seeded(seed)):
        cut = crop_flip(whole, (crop, crop))
    for image, window in zip(whole, cut, strict=True):
        windows = [
            image[top : top + crop, left : left + crop] for top in range(margin + 1) for left in range(margin + 1)
        ]
        assert any(torch.equal(window, w) or torch.equal(window, w.flip(1)) for w in windows)


def test_images_that_are_not_square_stay_so() -> None:
    whole = torch.arange(1, 49, dtype=torch.uint8).view(1, 6, 8, 1).expand(200, -1, -1, -1)
    for kind in (*KINDS, "flip"):
        assert Augment(kind, seeded())(whole, (5, 4)).shape == (200, 5, 4, 1)
    cut = crop_flip(whole, (5, 4))
    tops, lefts = (cut[:, 0].amin(dim=(1, 2)) - 1) // 8, cut[:, 0].amin(dim=(1, 2)) % 8
    assert set(tops.tolist()) == {0, 1}
    assert set(lefts.tolist()) == {1, 2, 3, 4, 5}
    assert crop_flip(whole, (6, 8)).shape == (200, 6, 8, 1)  # padded first


def test_crops_and_flips_are_evenly_spread() -> None:
    whole = torch.arange(9, dtype=torch.uint8).view(1, 3, 3, 1).expand(4000, -1, -1, -1)
    with drawing_from(seeded()):
        cut = crop_flip(whole, (2, 2))[..., 0].long()
    flipped = cut[:, 0, 0] > cut[:, 0, 1]
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.04)
    corner = cut[:, 0].min(dim=1).values
    for place in (0, 1, 3, 4):
        assert (corner == place).float().mean().item() == pytest.approx(0.25, abs=0.04)


def test_images_without_a_margin_are_padded_with_black() -> None:
    """32 pixels by 4, as is usual for CIFAR: each crop is then one of 9 x 9 windows of the padded image."""
    whole = pictures(50, 32)
    with drawing_from(seeded()):
        cut = crop_flip(whole, (32, 32))
    padded = torch.zeros(50, 40, 40, 3, dtype=torch.uint8)
    padded[:, 4:36, 4:36] = whole
    for image, window in zip(padded, cut, strict=True):
        black = (window == 0).all(dim=2)
        rows, columns = black.all(dim=1), black.all(dim=0)
        assert rows.sum() <= 4
        assert columns.sum() <= 4
        assert any(
            torch.equal(window, w) or torch.equal(window, w.flip(1))
            for w in (image[a : a + 32, b : b + 32] for a in range(9) for b in range(9))
        )


@given(seed=st.integers(0, 2**31), alpha=st.floats(1e-3, 50), count=st.integers(1, 20))
@settings(deadline=None)
def test_mixup_mixes_pixels_as_it_mixes_labels(seed: int, alpha: float, count: int) -> None:
    """Each image is one class and one colour, its class, so that the mixed colour tells what the label must be."""
    y = torch.arange(count)
    x = torch.nn.functional.one_hot(y, count).float()[:, :, None, None].expand(-1, -1, 3, 3)
    mixed, labels = Mix(alpha, 0, count, seeded(seed))(x, y)
    assert mixed.shape == x.shape
    assert torch.allclose(mixed, labels[:, :, None, None].expand_as(mixed), atol=1e-6)
    assert torch.allclose(labels.sum(1), torch.ones(count))
    assert ((labels > 0).sum(1) <= 2).all()


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_mixed_where_it_is_as_on_the_host(device: str) -> None:
    x, y = torch.rand(16, 3, 9, 8, generator=seeded()), torch.arange(16) % 5
    here, labels = Mix(0.4, 1.0, 5, seeded(2))(x, y)
    mixed, shares = Mix(0.4, 1.0, 5, seeded(2))(x.to(device), y.to(device))
    assert mixed.device.type == shares.device.type == device
    assert torch.allclose(mixed.cpu(), here, atol=1e-6)
    assert torch.allclose(shares.cpu(), labels, atol=1e-6)


@given(seed=st.integers(0, 2**31), alpha=st.floats(1e-3, 50), height=st.integers(1, 9), width=st.integers(1, 9))
@settings(deadline=None)
def test_cutmix_pastes_a_box_and_its_share_of_the_label(seed: int, alpha: float, height: int, width: int) -> None:
    count = 6
    y = torch.arange(count)
    x = torch.nn.functional.one_hot(y, count).float()[:, :, None, None].expand(-1, -1, height, width)
    mixed, labels = Mix(0, alpha, count, seeded(seed))(x, y)
    assert set(mixed.unique().tolist()) <= {0.0, 1.0}  # each pixel is of one image
    assert torch.allclose(mixed.mean(dim=(2, 3)), labels, atol=1e-6)
    for i in range(count):
        foreign = mixed[i, i] == 0
        rows, columns = foreign.any(dim=1), foreign.any(dim=0)
        assert torch.equal(foreign, rows[:, None] & columns[None, :])  # a box, unbroken:
        for line in (rows, columns):
            places = line.nonzero().flatten().tolist()
            assert places == list(range(places[0], places[-1] + 1)) if places else True


def test_mixing_weights_are_beta_distributed_image_by_image() -> None:
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1))."""
    count = 4000
    x = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1)
    for alpha in (0.2, 1.0):
        _, labels = Mix(alpha, 0, 2, seeded())(x, torch.arange(count) % 2)
        own = labels[torch.arange(count), torch.arange(count) % 2]
        weights = own[own < 1].double()  # mixed with an image of the other class
        assert len(weights.unique()) > count / 4
        assert weights.mean().item() == pytest.approx(0.5, abs=0.03)
        assert weights.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


@pytest.mark.parametrize("alpha", [0.09, 0.01, 1e-3, 1e-6, 1e-9])
def test_the_smaller_alpha_the_less_is_mixed(alpha: float) -> None:
    """Beta(a, a) has its mass at 0 and 1: P(min(w, 1 - w) > 0.01) is about a ln(99) for a small a (2a ln(99) / 2)."""
    count = 20_000
    x = torch.zeros(count, 1, 1, 1)
    _, labels = Mix(alpha, 0, 2, seeded())(x, torch.arange(count) % 2)
    own = labels[torch.arange(count), torch.arange(count) % 2].double()
    assert torch.isfinite(labels).all()
    mixed = ((own > 0.01) & (own < 0.99)).double().mean().item()
    expected = float(betainc(alpha, alpha, 0.99) - betainc(alpha, alpha, 0.01)) / 2  # half meet their own class
    assert mixed == pytest.approx(expected, rel=0.15, abs=5e-4)
    replaced = (own < 0.01).double().mean().item()
    assert replaced == pytest.approx(float(betainc(alpha, alpha, 0.01)) / 2, rel=0.1)


def test_both_toss_a_coin_for_each_image() -> None:
    x = torch.rand(400, 1, 16, 16, generator=seeded(1)) + 1
    mixed, labels = Mix(1.0, 1.0, 400, seeded())(x, torch.arange(400))
    pasted = sum(bool((mixed[i] == x[i]).any()) for i in range(400))  # mixup leaves no pixel as it was
    assert 130 < pasted < 270
    assert torch.allclose(labels.sum(1), torch.ones(400))


def test_a_batch_keeps_its_memory_format() -> None:
    x = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    mixed, _ = Mix(0.2, 1.0, 4, seeded())(x, torch.arange(4))
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("kind", "side", "channels"), [("randaugment", 24, 3), ("trivialaugment", 17, 1)])
def test_a_policy_gives_each_image_what_torchvision_would_give_it_alone(
    kind: str, side: int, channels: int, device: str
) -> None:
    whole = pictures(200, side, channels).to(device)
    policy = Policy(kind)
    torch.manual_seed(1)
    alone = [policy._policy(image).permute(1, 2, 0) for image in whole.permute(0, 3, 1, 2)]
    torch.manual_seed(1)
    far = (policy(whole).int() - torch.stack(alone).int()).abs().max().item()
    assert far <= (device == "cuda")  # whose sums over a group may be rounded otherwise


def test_the_images_that_draw_the_same_change_are_changed_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, seen = Policy("randaugment"), list[int]()
    changed = policy._changed

    def counted(images: Tensor, name: str, magnitude: float) -> Tensor:
        seen.append(len(images))
        return changed(images, name, magnitude)

    monkeypatch.setattr(policy, "_changed", counted)
    policy(pictures(500, 8))
    assert len(seen) <= 2 * 22  # thirteen changes, nine of them with either sign, twice
    assert sum(seen) > 900
