"""Training on activations computed once is training on the images, to the bit where a batch's size changes no sum."""

from __future__ import annotations

from collections.abc import Generator
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from train.test_trainer import config, numbers

from search.config import CACHE_SIZE, Epoch, TrainConfig
from search.data import cache
from search.data.caltech101 import Caltech101
from search.data.digits import Digits
from search.files import arrays
from search.train import evaluate_test, train
from search.train.batches import activations, load_data, load_splits
from search.train.device import resolve_runtime
from search.train.evaluate import evaluate_kept
from search.train.frozen.prefix import cut
from search.train.learner import Learner
from search.train.weights import save

pytestmark = pytest.mark.usefixtures("torch_threads", "own_cache")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No activations of another test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(made: TrainConfig, cache_size: int = CACHE_SIZE) -> tuple[list[dict[str, Any]], list[str]]:
    """The numbers of every epoch, and what was said."""
    said: list[str] = []
    return numbers(list(train(made, device="cpu", threads=1, cache_size=cache_size, say=said.append))), said


def kept() -> list[Path]:
    return list(Path("cache/search/features").glob("*/values.npy"))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"precision": "bf16"},
        {"augment": "flip"},
        {"augment": "flip", "precision": "bf16", "subset": 200},
        {"ema": 0.9},
        {"gradual_unfreeze": True},
        {"optimizer": "adamw", "label_smoothing": 0.1, "grad_clip": 1.0, "schedule": "one_cycle"},
    ],
    ids=str,
)
def test_the_cache_changes_no_number(changed: dict[str, Any]) -> None:
    made = config(**{"frozen": ("0",), "batch_size": 100, "epochs": 3, "subset": 298, **changed})
    plain, _ = run(made, cache_size=0)
    assert not kept()
    for _ in range(2):  # computed, then read
        assert run(made) == (plain, [])
        assert len(kept()) == 2


def test_dropout_above_the_prefix_draws_the_same() -> None:
    made = config(model="mlp", frozen=("1",), dropout=0.5, epochs=3, batch_size=449)
    assert run(made) == run(made, cache_size=0)
    assert len(kept()) == 2


@pytest.fixture(scope="module")
def pictures(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hundred pictures of Caltech-101 in four classes."""
    folder = tmp_path_factory.mktemp("few")
    names = [f"{c}/image_{i:04}.jpg" for c in ("beaver", "crab", "gerenuk", "rooster") for i in range(1, 26)]
    for name, data in Caltech101(shared_data).read(set(names)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(data, bytes)
        (folder / name).write_bytes(data)
    return f"imagefolder:{folder}"


@pytest.mark.whole
@pytest.mark.parametrize("model", ["alexnet", "resnet18"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_to_the_bit_with_the_models_of_the_notes(pictures: str, model: str, precision: str) -> None:
    frozen = ("features",) if model == "alexnet" else ("conv1", "bn1", "layer1", "layer2", "layer3")
    made = config(model=model, dataset=pictures, frozen=frozen, epochs=1, batch_size=25, lr=0.01, precision=precision)
    made = made.model_copy(update={"image_side": 64})
    assert run(made) == run(made, cache_size=0)
    assert len(kept()) == 2


def test_a_pretrained_backbone(pictures: str) -> None:
    """oneDNN sums otherwise for the few images of a last batch: equal but for rounding there."""
    made = config(
        model="efficientnet_lite0",
        weights="DEFAULT",
        dataset=pictures,
        frozen=("features",),
        batch_size=24,
        lr=0.01,
        image_side=64,
    )
    ours, plain = run(made)[0], run(made, cache_size=0)[0]
    for mine, theirs in zip(ours, plain, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert sum(path.stat().st_size for path in kept()) < 100 * 1280 * 4 + 1024


@pytest.mark.whole
@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp32", marks=pytest.mark.slow)])
def test_what_the_cache_changes_is_less_than_a_tenth_of_what_a_seed_does(precision: str) -> None:
    """The mean difference in accuracy, cached from uncached, against that of two seeds; the last batch is one image."""
    base: dict[str, Any] = dict(model="efficientnet_lite0", weights="DEFAULT", image_side=32, frozen=("features",))
    base |= dict(batch_size=23, subset=300, lr=0.05, schedule="constant", epochs=1, precision=precision)
    seeds = [config(**base, seed=seed) for seed in range(3)]
    cached, uncached = ([run(made, cache_size=size)[0][-1]["val_acc"] for made in seeds] for size in (CACHE_SIZE, 0))
    assert len(kept()) == 2
    by_cache = [abs(ours - theirs) for ours, theirs in zip(cached, uncached, strict=True)]
    by_seed = [abs(one - other) for one, other in combinations(uncached, 2)]
    assert mean(by_cache) < mean(by_seed) / 10


def test_shared_by_all_trials_of_the_same_frozen_layers() -> None:
    run(config(frozen=("0",), epochs=1))
    first = {path: path.stat().st_mtime_ns for path in kept()}
    assert len(first) == 2
    run(config(frozen=("0",), epochs=1, lr=0.01, batch_size=50, label_smoothing=0.1, ema=0.5))
    assert {path: path.stat().st_mtime_ns for path in kept()} == first  # not written again
    for more, changed in ((4, {"seed": 1}), (6, {"precision": "bf16"}), (7, {"subset": 300}), (8, {"augment": "flip"})):
        run(config(frozen=("0",), epochs=1, **changed))
        assert len(kept()) == more, changed  # random weights come from the seed; the last two share the validation


@pytest.mark.parametrize("changed", [{}, {"ema": 0.9}, {"gradual_unfreeze": True}, {"augment": "crop_flip"}], ids=str)
def test_the_looks_at_the_test_split_share_it_too(tmp_path: Path, changed: dict[str, Any]) -> None:
    made = config(frozen=("0",), epochs=3, **changed)
    looks: list[tuple[float, int]] = []

    def look(epoch: Epoch, model: torch.nn.Module) -> None:
        looks.append(evaluate_test(model, made, device="cpu", cache_size=0))
        before = kept()
        looks.append(evaluate_test(model, made, device="cpu"))
        assert len(kept()) == len(before) + 1
        save(model, made, tmp_path / "weights")

    list(train(made, device="cpu", threads=1, done=look))
    files = {path: path.stat().st_mtime_ns for path in kept()}
    kept_weights = (tmp_path / "weights", made.model_dump(), Path("data"), "cpu", CACHE_SIZE)
    looks.append(evaluate_kept(*kept_weights))
    assert looks == [looks[0]] * 3
    assert looks[0][0] > 0.5
    assert {path: path.stat().st_mtime_ns for path in kept()} == files
    for path in files:
        values = np.load(path, mmap_mode="r+")
        values[:] = 0
        arrays.write_record(path.with_name("index"), arrays.describe(values))
    assert evaluate_kept(*kept_weights)[0] < 0.2  # it is what was kept that is looked at


def test_a_side_of_ones_own_shows_the_whole_image() -> None:
    names = cache.load(Digits(Path()), 48, ["train"])[0].names
    _, image = next(Digits(Path()).read({names[0]}))
    assert isinstance(image, Image.Image)
    (train_data,) = load_data("resnet18", "digits", Path("data"), "cpu", ("train",), None, 48)
    x, _ = train_data.batch(torch.tensor([0]), torch.contiguous_format)
    whole = v2.functional.to_image(image.convert("RGB").resize((48, 48), Image.Resampling.BILINEAR))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (whole / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert x.shape == (1, 3, 48, 48)
    assert torch.allclose(x[0], expected, atol=0.02)


def test_the_splits_of_a_config_are_loaded_once() -> None:
    made = config(subset=100, image_side=48, model="resnet18")
    train_data, test_data = load_splits(made, Path("data"), "cpu", "train", "test")
    assert (len(train_data), len(test_data), train_data.size) == (100, 450, (48, 48))
    again = load_splits(made.model_copy(update={"lr": 1.0}), Path("data"), "cpu", "train", "test")
    assert again[0] is train_data


def test_random_views_drawn_once() -> None:
    made = config(frozen=("0",), augment="crop_flip", cached_views=3, epochs=3, subset=298)
    ours, said = run(made)
    assert said == []
    assert run(made)[0] == ours
    assert ours != run(config(frozen=("0",), epochs=3, subset=298))[0]
    runtime = resolve_runtime("fp32", "cpu", 1)
    train_data, _ = load_data("cnn", "digits", Path("data"), "cpu", ("train", "val"))
    learner = Learner(made, train_data, runtime)
    learner.begin(1)
    parts = cut(learner.model, train_data.batch(torch.arange(1), runtime.memory_format)[0])
    views = activations(parts, train_data, runtime, "crop_flip", 3, 0, CACHE_SIZE)
    index = torch.arange(len(views))
    images = [views._values[index + view * len(views)] for view in range(3)]
    assert not any(torch.equal(images[0], other) for other in images[1:])
    assert torch.equal(views.batch(index, runtime.memory_format)[0], images[0])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"augment": "crop_flip"}, "augment=crop_flip changes the images at random; cached_views=K draws K views once"),
        ({"mixup": 0.2}, "mixup and cutmix change the images at random"),
        ({"frozen": ("2",)}, "its first layers train"),
    ],
)
def test_where_it_cannot_be_it_says_so(changed: dict[str, Any], why: str) -> None:
    made = config(**{"frozen": ("0",), "subset": 298, **changed})
    numbers_, said = run(made)
    assert said == [f"cnn, frozen={made.frozen[0]}: computed anew in every epoch: {why}"]
    assert numbers_ == run(made, cache_size=0)[0]
    assert not kept()


def test_too_little_room_says_so() -> None:
    made = config(frozen=("0",), subset=298)
    numbers_, said = run(made, cache_size=1000)
    assert "of activations, of at most 1e-06 GB kept; cache_size= allows more" in said[0]
    assert numbers_ == run(made, cache_size=0)[0]


def test_nothing_frozen_says_nothing() -> None:
    assert run(config(subset=298))[1] == []


@pytest.mark.parametrize("changed", [{}, {"frozen": ("0",)}, {"model": "mlp", "dropout": 0.3}, {"ema": 0.9}], ids=str)
def test_a_trial_that_is_dropped_leaves_no_trace_in_the_next(changed: dict[str, Any]) -> None:
    changed = {"subset": 298, **changed}
    fresh, _ = run(config(lr=0.02, **changed))
    dropped: Generator[Epoch, None, Any] = train(config(lr=0.5, epochs=4, **changed), device="cpu", threads=1)
    next(dropped)
    next(dropped)
    dropped.close()
    assert run(config(lr=0.02, **changed))[0] == fresh


def test_two_trainings_at_a_time_do_not_share_a_model() -> None:
    made = config(frozen=("0",), subset=298)
    alone, _ = run(made)
    both = [train(made, device="cpu", threads=1) for _ in range(2)]
    pairs = list(zip(*both, strict=True))
    assert [[numbers([epoch])[0] for epoch in side] for side in zip(*pairs, strict=True)] == [alone, alone]


def test_flip_mirrors_every_second_image() -> None:
    """Against the two pictures themselves."""
    (data,) = load_data("cnn", "digits", Path("data"), "cpu", ("train",))
    learner = Learner(config(augment="flip"), data, resolve_runtime("fp32", "cpu", 1))
    index = torch.arange(len(data))
    plain, _ = data.batch(index, torch.contiguous_format)
    seen, _ = data.batch(index, torch.contiguous_format, learner._augment)
    same = (seen == plain).flatten(1).all(1)
    mirrored = (seen == plain.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 0.4 < mirrored.float().mean() < 0.6
