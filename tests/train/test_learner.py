"""What a step of the trainer does with each technique, against the same step written out or seen from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from train.test_trainer import batches, config, digits, initial, moody, numbers, run

from search.errors import SearchError
from search.models import MODELS
from search.train.batches import load_data
from search.train.device import Runtime, resolve_runtime
from search.train.evaluate import evaluate
from search.train.learner import Learner

pytestmark = pytest.mark.usefixtures("torch_threads")


def learner(**changed: Any) -> Learner:
    runtime = resolve_runtime("fp32", "cpu", 1)
    made = config(**changed)
    (data,) = load_data(made.model, made.dataset, Path("data"), "cpu", ("train",))
    return Learner(made, data, runtime)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_the_defaults_are_plain_sgd_with_step_decay_to_the_bit() -> None:
    """The trainer's loop as it was before it knew anything else."""
    epochs, model = run(config(epochs=3, step_size=2, momentum=0.9, weight_decay=0.01))
    (data,) = load_data("cnn", "digits", Path("data"), "cpu", ("train",))
    mine = initial()
    optimizer = torch.optim.SGD(mine.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    order = torch.Generator().manual_seed(0)
    for epoch in epochs:
        assert epoch.lr == optimizer.param_groups[0]["lr"]
        assert epoch.rates == {}
        named = 0
        for index in torch.randperm(len(data), generator=order).split(32):
            x, y = data.batch(index, torch.contiguous_format)
            logits = mine(x)
            named += int((logits.argmax(1) == y).sum())
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        assert epoch.last_step_loss == loss.item()
        assert epoch.train_acc == named / len(data)
        schedule.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), mine.parameters(), strict=True))


def test_gradual_unfreezing_epoch_by_epoch() -> None:
    """One more group from the top each epoch; what is not yet thawed does not move, not even by weight decay."""
    made = learner(epochs=4, gradual_unfreeze=True, weight_decay=0.1)
    thawed = [{"2"}, {"2", "1"}, {"2", "1", "0"}, {"2", "1", "0"}]
    for number, names in enumerate(thawed, 1):
        made.begin(number)
        before = weights(made.model)
        for index in batches(0, 300):
            made.step(index)
        for name, parameter in made.model.named_parameters():
            assert torch.equal(parameter, before[name]) == (name[0] not in names), (number, name)


@pytest.mark.parametrize("decays", [True, False])
def test_each_layer_group_that_trains_has_its_rate(decays: bool) -> None:
    made = config(
        epochs=3, layer_decay=2.0, gradual_unfreeze=True, step_size=2, weight_decay=0.1, decay_norms_and_biases=decays
    )
    first, second, third = run(made)[0]
    assert first.rates == {"2": 0.05}
    assert second.rates == {"1.0": 0.025, "2": 0.05}
    assert third.rates == pytest.approx({"0.0": 0.00125, "1.0": 0.0025, "2": 0.005})
    assert "rates" not in first.model_dump()  # the storage has no use for them


@pytest.mark.parametrize("mix", [{"mixup": 0.4}, {"cutmix": 0.4}])
def test_the_training_accuracy_of_mixed_images_counts_the_larger_part(mix: dict[str, float]) -> None:
    epochs, _ = run(config(epochs=3, **mix))
    assert epochs[0].train_acc < epochs[-1].train_acc
    assert 0.5 < epochs[-1].train_acc <= 1


def test_gradual_unfreezing_keeps_frozen_what_is_and_the_statistics_of_what_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tower(num_classes: int, channels: int) -> nn.Module:
        layers = [nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()) for _ in range(4)]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, num_classes))

    monkeypatch.setitem(MODELS, "tower", tower)
    made = learner(model="tower", gradual_unfreeze=True, frozen=("5", "1"))
    for number, thawed in enumerate(["4", "43", "432", "432"], 1):
        made.begin(number)
        before = {name: value.clone() for name, value in made.model.state_dict().items()}
        made.step(batches(0, 64)[number])
        for name, value in made.model.state_dict().items():
            assert torch.equal(value, before[name]) == (name[0] not in thawed), (number, name)


@pytest.mark.parametrize("clip", [0.05, 1e6])
def test_clipping_by_the_norm_seen(clip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner(grad_clip=clip)
    made.begin(1)
    seen: list[float] = []

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        seen.append(torch.cat([g.flatten() for g in gradients if g is not None]).norm().item())

    made.optimizer.register_step_pre_hook(look)
    (x, y), first = digits(), batches(0, 32)[0]
    mine = initial()
    F.cross_entropy(mine(x[first]), y[first]).backward()
    norm = torch.cat([p.grad.flatten() for p in mine.parameters() if p.grad is not None]).norm().item()
    assert norm > 0.05
    made.step(first)
    assert seen == pytest.approx([min(norm, clip)], rel=1e-4)


def test_scaled_gradients_are_clipped_as_they_are_and_a_step_that_overflows_is_left_out() -> None:
    """fp16's scaler on a CPU, which `resolve_runtime` refuses for training: here it is the arithmetic that counts."""
    made = config(schedule="cosine", grad_clip=0.05, step_size=None, gamma=None)
    (data,) = load_data("cnn", "digits", Path("data"), "cpu", ("train",))
    scaled = Learner(made, data, Runtime("cpu", "fp16", 1))
    scaled.begin(1)
    before, first = weights(scaled.model), batches(0, 8)[0]  # a CPU takes long over fp16
    scaled._scaler._init_scale = 2.0**40  # overflows at once
    scaled.step(first)
    assert all(torch.equal(value, before[name]) for name, value in weights(scaled.model).items())
    for _ in range(40):
        scaled.step(first)
    now = weights(scaled.model)
    moved = torch.cat([(now[name] - value).flatten() for name, value in before.items()]).norm().item()
    assert 0 < moved < 41 * 0.05 * 0.05 * 10  # steps, lr, the clipped norm, and what momentum 0.9 adds up to


def test_label_smoothing_by_hand() -> None:
    """Of the true class 1 - s + s / K, of each other s / K (Szegedy et al. 2016, section 7)."""
    made = learner(label_smoothing=0.2)
    made.begin(1)
    (x, y), first = digits(), batches(0, 32)[0]
    log_p = F.log_softmax(initial()(x[first]), dim=1)
    target = torch.full_like(log_p, 0.2 / 10)
    target[torch.arange(32), y[first]] += 0.8
    assert made.step(first).item() == pytest.approx(-(target * log_p).sum(1).mean().item(), rel=1e-5)


def test_ema_against_an_average_kept_by_hand() -> None:
    made = learner(ema=0.9)
    made.begin(1)
    index = batches(0, 100)
    made.step(index[0])
    mine = weights(made.model)
    for batch in index[1:]:
        made.step(batch)
        mine = {name: 0.9 * mine[name] + 0.1 * value for name, value in weights(made.model).items()}
    for name, parameter in made.result.named_parameters():
        assert torch.allclose(parameter, mine[name], atol=1e-6), name
    assert not any(torch.equal(a, b) for a, b in zip(made.result.parameters(), made.model.parameters(), strict=True))


def test_the_average_is_what_is_evaluated_and_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "moody", moody)
    epochs, model = run(config(model="moody", ema=0.9))
    plain, other = run(config(model="moody"))
    assert [e.train_loss for e in epochs] == [e.train_loss for e in plain]  # the average follows, it does not lead
    assert [e.val_loss for e in epochs] != [e.val_loss for e in plain]
    assert list(model.state_dict()) == list(other.state_dict())  # as a file of weights it is like any
    (val,) = load_data("moody", "digits", Path("data"), "cpu", ("val",))
    seen = evaluate(model, val, resolve_runtime("fp32", "cpu"))
    assert (seen.loss, seen.accuracy) == (epochs[-1].val_loss, epochs[-1].val_acc)


def test_dropout_is_set_and_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "moody", moody)
    made = learner(model="moody", dropout=0.125)
    assert [m.p for m in made.model.modules() if isinstance(m, nn.Dropout)] == [0.125]
    losses = [run(config(model="moody", epochs=1, dropout=p))[0][0].train_loss for p in (None, 0.5, 0.0)]
    assert losses[0] == losses[1] != losses[2]
    with pytest.raises(SearchError, match=r"dropout=0\.5: cnn has no dropout layer"):
        learner(dropout=0.5)


TECHNIQUES: list[dict[str, Any]] = [
    dict(optimizer="adamw", lr=1e-3, schedule="cosine", warmup_epochs=0.5, grad_clip=1.0, step_size=None, gamma=None),
    dict(optimizer="adam", lr=1e-3, decay_norms_and_biases=False, weight_decay=1e-3, ema=0.99),
    dict(nesterov=True, schedule="one_cycle", label_smoothing=0.1, augment="crop_flip"),
    dict(schedule="slanted_triangular", layer_decay=2.6, gradual_unfreeze=True),
    dict(schedule="constant", warmup_epochs=1.0, mixup=0.2, cutmix=1.0),
    dict(augment="randaugment", precision="bf16", mixup=0.2),
    dict(augment="trivialaugment", seed=3),
]


@pytest.mark.parametrize("changed", TECHNIQUES, ids=lambda changed: "-".join(changed))
def test_together_they_train_and_repeat(changed: dict[str, Any]) -> None:
    made = config(epochs=3, subset=450, **changed)
    epochs, model = run(made)
    again, same = run(made)
    assert numbers(epochs) == numbers(again)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert epochs[-1].val_loss < 2.2  # ln 10 is 2.30
    assert epochs[-1].val_acc > 0.2


def test_validation_is_never_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate too small to move, all that validation sees is the first weights and the plain images."""
    still = dict(epochs=1, lr=1e-30, subset=128)
    (plain,), _ = run(config(**still))
    for changed in (dict(augment="trivialaugment"), dict(mixup=1.0, cutmix=1.0), dict(label_smoothing=0.3)):
        (epoch,), _ = run(config(**still, **changed))
        assert (epoch.val_loss, epoch.val_acc) == (plain.val_loss, plain.val_acc)
        assert epoch.train_loss != plain.train_loss


def test_augmented_batches_come_from_the_whole_image() -> None:
    (data,) = load_data("cnn", "digits", Path("data"), "cpu", ("train",))
    index = torch.tensor([3, 1])
    seen: list[tuple[Tensor, tuple[int, int]]] = []

    def flip(pixels: Tensor, crop: tuple[int, int]) -> Tensor:
        seen.append((pixels, crop))
        return pixels.flip(2)

    augment: Any = flip
    x, y = data.batch(index, torch.contiguous_format, augment)
    plain, labels = data.batch(index, torch.contiguous_format)
    assert torch.equal(x, plain.flip(3))
    assert torch.equal(y, labels)
    assert [(pixels.shape, pixels.dtype, crop) for pixels, crop in seen] == [((2, 8, 8, 1), torch.uint8, (8, 8))]
