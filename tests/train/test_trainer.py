"""The trainer: real training on the digits, and its numbers measured again by other means."""

from __future__ import annotations

import inspect
import itertools
import math
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision.models import AlexNet_Weights
from torchvision.transforms import v2

from search import predictions
from search.config import Epoch, TrainConfig
from search.data import cache
from search.data.base import Split
from search.data.caltech101 import Caltech101
from search.data.digits import Digits
from search.errors import SearchError
from search.models import MODELS, build, image_spec
from search.train import evaluate_test, train
from search.train.batches import Data, load_data
from search.train.device import resolve_runtime
from search.train.evaluate import evaluate
from search.train.trainer import Diverged, new_learner

pytestmark = pytest.mark.usefixtures("torch_threads")


def config(**changed: Any) -> TrainConfig:
    base = dict(model="cnn", dataset="digits", epochs=2, batch_size=32, lr=0.05, step_size=4, gamma=0.1)
    return TrainConfig(**{**base, "precision": "fp32", **changed})


def run(made: TrainConfig) -> tuple[list[Epoch], nn.Module]:
    """Every epoch and the model, on one CPU thread."""

    def kept(source: Generator[Epoch, None, nn.Module]) -> Generator[Epoch, None, None]:
        models.append((yield from source))

    models: list[nn.Module] = []
    return list(kept(train(made, device="cpu", threads=1))), models[0]


def numbers(epochs: list[Epoch]) -> list[dict[str, Any]]:
    return [epoch.model_dump(exclude={"seconds"}) for epoch in epochs]


def digits(split: Split = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """A split as tensors, normalised by hand."""
    (images,) = cache.load(Digits(Path()), None, [split])
    x = torch.from_numpy(images.pixels.astype(np.float32)).permute(0, 3, 1, 2) / 255
    return (x - 0.305) / 0.376, torch.from_numpy(images.labels)


def batches(seed: int, size: int) -> list[torch.Tensor]:
    """The order of the first epoch."""
    return list(torch.randperm(898, generator=torch.Generator().manual_seed(seed)).split(size))


def initial(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("cnn", 10, 1)


def test_learns_the_digits() -> None:
    epochs, model = run(config(epochs=6))
    assert epochs[-1].val_acc > 0.95
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert [epoch.lr for epoch in epochs] == pytest.approx([0.05] * 4 + [0.005] * 2)
    assert epochs[-1].train_loss < epochs[0].train_loss / 4
    assert all(0 < epoch.seconds < 60 for epoch in epochs)
    x, y = digits("val")
    with torch.no_grad():
        logits = model.eval()(x)
    assert epochs[-1].val_acc == pytest.approx((logits.argmax(1) == y).float().mean().item(), abs=1e-6)
    assert epochs[-1].val_loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-4)
    x, y = digits("test")
    with torch.no_grad():
        expected = (model(x).argmax(1) == y).float().mean().item()
    found, images = evaluate_test(model, config(), device="cpu")
    assert images == 450
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("hidden", [(512, 64, 512), (256,)])
def test_mlp_learns_the_digits_through_a_bottleneck_too(hidden: tuple[int, ...]) -> None:
    epochs, model = run(config(model="mlp", hidden=hidden, epochs=12, lr=0.02, step_size=10))
    assert epochs[-1].val_acc > 0.95
    widths = [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert widths == [*hidden, 10]


def test_a_subset_trains_on_these_images_alone() -> None:
    (images,) = cache.load(Digits(Path()), None, ["train"])
    part = cache.subset(images, 64)
    x = (torch.from_numpy(part.pixels.astype(np.float32)).permute(0, 3, 1, 2) / 255 - 0.305) / 0.376
    ((epoch,), _) = run(config(epochs=1, batch_size=64, lr=1e-30, subset=64))
    with torch.no_grad():
        expected = F.cross_entropy(initial()(x), torch.from_numpy(part.labels)).item()
        val_loss = F.cross_entropy(initial()(digits("val")[0]), digits("val")[1]).item()
    assert epoch.train_loss == pytest.approx(expected, rel=1e-5)
    assert epoch.val_loss == pytest.approx(val_loss, rel=1e-4)  # all of them


def test_pretrained_features_tell_real_pictures_apart_and_random_ones_do_not(shared_data: Path, tmp_path: Path) -> None:
    """A linear probe: four classes of Caltech-101, 12 training images each, the features frozen."""
    source = Caltech101(shared_data)
    names = [f"{c}/image_{i:04}.jpg" for c in ("beaver", "crab", "gerenuk", "rooster") for i in range(1, 21)]
    for name, data in source.read(set(names)):
        (tmp_path / "few" / name).parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(data, bytes)
        (tmp_path / "few" / name).write_bytes(data)
    accuracy = {}
    for weights in ("DEFAULT", None):
        made = config(
            model="efficientnet_lite0", weights=weights, frozen=("features",), epochs=4, batch_size=16, image_side=128
        )
        made = made.model_copy(update={"dataset": f"imagefolder:{tmp_path / 'few'}"})
        accuracy[weights] = list(train(made, device="cpu"))[-1].val_acc
    assert accuracy["DEFAULT"] >= 0.9
    assert accuracy[None] <= 0.6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_config_same_numbers(precision: str) -> None:
    first, model = run(config(precision=precision, subset=300))
    other, _ = run(config(precision=precision, subset=300, seed=1))
    again, same = run(config(precision=precision, subset=300))  # whatever ran in between
    assert numbers(first) == numbers(again) != numbers(other)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_the_seed_orders_the_images_and_draws_the_weights() -> None:
    """One epoch of the trainer is this loop, to the bit."""
    for seed in (0, 7):
        (_,), model = run(config(epochs=1, seed=seed, momentum=0.5, weight_decay=0.01))
        mine = initial(seed)
        optimizer = torch.optim.SGD(mine.parameters(), lr=0.05, momentum=0.5, weight_decay=0.01)
        x, y = digits()
        for index in batches(seed, 32):
            optimizer.zero_grad()
            F.cross_entropy(mine(x[index]), y[index]).backward()
            optimizer.step()
        for a, b in zip(model.parameters(), mine.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-5)


def test_training_loss_is_the_mean_over_images() -> None:
    """With a step too small for float32 every batch sees the first weights; the last of 15 batches has 2 images."""
    ((epoch,), _) = run(config(epochs=1, batch_size=64, lr=1e-30))
    x, y = digits()
    with torch.no_grad():
        losses = F.cross_entropy(initial()(x), y, reduction="none")
    last = batches(0, 64)[-1]
    assert len(last) == 2
    assert epoch.train_loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert epoch.last_step_loss == pytest.approx(losses[last].mean().item(), rel=1e-5)


def test_an_epoch_is_trained_when_it_is_asked_for() -> None:
    epochs = train(config(epochs=10**9), device="cpu", threads=1)
    first, second = itertools.islice(epochs, 2)
    assert (first.epoch, second.epoch) == (1, 2)
    assert inspect.getgeneratorstate(epochs) == inspect.GEN_SUSPENDED
    epochs.close()
    assert inspect.getgeneratorstate(epochs) == inspect.GEN_CLOSED
    assert list(epochs) == []


def test_threads_and_device_are_taken() -> None:
    next(train(config(subset=32), device="cpu", threads=3))
    assert torch.get_num_threads() == 3
    with pytest.raises(SearchError, match="device 'gpu'"):
        next(train(config(), device="gpu"))


def test_diverged_names_the_step() -> None:
    mine, (x, y) = initial(), digits()
    optimizer = torch.optim.SGD(mine.parameters(), lr=1e6, momentum=0.9)
    losses: list[float] = []
    for index in batches(0, 32):
        loss = F.cross_entropy(mine(x[index]), y[index])
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    step = [math.isfinite(value) for value in losses].index(False) + 1
    assert step > 2
    with pytest.raises(Diverged, match=rf"training loss is (nan|inf) from step {step} of epoch 1 on"):
        run(config(lr=1e6))


def test_diverged_in_the_last_step() -> None:
    # One step an epoch: its loss is that of the first weights, and fine; what it made of them is not.
    with pytest.raises(Diverged, match=r"validation loss is (nan|inf) after epoch 1"):
        run(config(epochs=1, batch_size=898, lr=1e38))


def moody(num_classes: int, channels: int) -> nn.Module:
    """A model that behaves differently in training: dropout, and batch normalisation with statistics."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 32), nn.BatchNorm1d(32))
    return nn.Sequential(body, nn.Dropout(0.5), nn.Linear(32, num_classes))


def test_evaluation_is_in_eval_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "moody", moody)
    epochs, model = run(config(model="moody"))
    assert not model.training
    (val,) = load_data("moody", "digits", Path("data"), "cpu", ("val",))
    before = {name: value.clone() for name, value in model.named_buffers()}
    assert before["0.2.num_batches_tracked"] == 2 * len(batches(0, 32))  # training batches alone
    model.train()
    seen = evaluate(model, val, resolve_runtime("fp32", "cpu"))
    assert (seen.loss, seen.accuracy) == (epochs[-1].val_loss, epochs[-1].val_acc)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


def test_the_last_epoch_has_the_predictions() -> None:
    epochs, model = run(config())
    assert (epochs[0].val_images, epochs[0].predictions) == (None, None)
    assert epochs[-1].predictions is not None
    (val,) = load_data("cnn", "digits", Path("data"), "cpu", ("val",))
    x, y = val.batch(torch.arange(len(val)), torch.contiguous_format)
    with torch.no_grad():
        confidence, predicted = model.eval()(x).softmax(1).max(1)
    predictions.write("s", 0, epochs[-1].predictions)
    assert epochs[-1].val_images == len(val)
    assert not {"val_images", "predictions"} & set(epochs[-1].model_dump())
    read = predictions.read("s", 0, len(val), round(epochs[-1].val_acc * len(val)))
    assert read is not None
    assert np.array_equal(read.labels, y)
    assert np.array_equal(read.predicted, predicted)
    assert np.allclose(read.confidence, confidence, atol=1e-3)
    assert read.classes == val.classes
    images = cache.kept(read.images)
    assert images is not None
    assert np.array_equal(images.labels, y)


def test_frozen_layers_do_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "moody", moody)
    _, model = run(config(model="moody", frozen=("0",)))
    torch.manual_seed(0)
    for (name, value), (_, was) in zip(model.state_dict().items(), moody(10, 1).state_dict().items(), strict=True):
        assert torch.equal(value, was) == name.startswith("0."), name
    with pytest.raises(SearchError, match="frozen='5' matches no parameter"):
        run(config(frozen=("5",)))


def test_batches_are_what_the_weights_were_trained_on() -> None:
    """For a torchvision model: its own preset, applied to the picture as it is."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (301, 256, 3), dtype=np.uint8))
    spec = image_spec("alexnet")
    assert spec is not None
    whole = np.asarray(v2.functional.center_crop(picture, list(spec.resize)))[None]
    images = cache.Images(whole, np.array([3]), ("a", "b", "c", "d"), ("x",), "whole")
    x, y = Data(images, spec, "cpu").batch(torch.tensor([0]), torch.contiguous_format)
    assert torch.allclose(x[0], AlexNet_Weights.DEFAULT.transforms()(picture), atol=1e-5)
    assert y.tolist() == [3]


def test_imports_nothing_that_takes_long_and_is_not_needed() -> None:
    run(config(epochs=1))  # the digits are in the cache then; to read them scikit-learn imports pandas
    script = (
        "import sys; from search import TrainConfig; from search.train import train\n"
        "for optimizer in ('sgd', 'adam', 'adamw'):\n"
        "    rates = {'lr': 0.01, 'schedule': 'constant', 'optimizer': optimizer}\n"
        "    config = TrainConfig(model='mlp', dataset='digits', epochs=1, subset=100, **rates)\n"
        "    for epoch in train(config): print(sorted({'ray', 'optuna', 'pandas', 'torch._dynamo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n" * 3
    assert done.stderr == ""


def test_a_batch_of_one_image_is_trained_with_the_one_before(tmp_path: Path) -> None:
    """898 images: the last batch of 69 would have one, of which no variance can be made."""
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "def net(num_classes, channels):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes))\n"
    )
    made = config(model="own.py:net", batch_size=69, epochs=1, schedule="one_cycle", step_size=None, gamma=None)
    learner, _ = new_learner(made, Path("data"), resolve_runtime("fp32", "cpu", 1), 0)
    assert [len(batch) for batch in learner.batches(torch.arange(898))] == [69] * 12 + [70]
    assert learner.steps == 13
    ((epoch,), _) = run(made)
    assert 0 < epoch.train_acc < 1
