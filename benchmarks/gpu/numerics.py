"""Same config and seed, same numbers? Each case is trained twice, then begun, dropped and begun again.

python -m benchmarks.gpu.numerics ROOT DEVICE [SECONDS]      a line of JSON a case
"""

from __future__ import annotations

import json
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

from search.config import make_config
from search.train import trainer

Row = tuple[float, float, float, float]
BASE = dict(dataset="caltech101", epochs=2, batch_size=64, subset=256, lr=0.01, step_size=5, gamma=0.5)
TINY = dict(model="cnn", dataset="digits", subset=101, precision="fp32")
"""Where there is no GPU, to try every option."""


def cases(half: str) -> dict[str, dict[str, Any]]:
    """The settings of each case; `half`: the half precision that needs a scaler, where the device has it."""
    stem = ("conv1", "bn1", "layer1", "layer2", "layer3")
    return {
        "cnn fp32": dict(model="cnn", dataset="digits", precision="fp32", subset=None),
        "cnn fp16": dict(model="cnn", dataset="digits", precision=half, subset=None),
        "alexnet bf16": dict(model="alexnet", precision="bf16"),
        "alexnet fp16, ema, grad_clip": dict(model="alexnet", precision=half, ema=0.9, grad_clip=1.0),
        "alexnet fp32": dict(model="alexnet", precision="fp32"),
        "alexnet classifier, cached, flip": dict(
            model="alexnet", precision="bf16", frozen=("features",), augment="flip"
        ),
        "alexnet crop_flip, mixup, cutmix": dict(
            model="alexnet", precision="bf16", augment="crop_flip", mixup=0.2, cutmix=1.0
        ),
        "alexnet randaugment": dict(model="alexnet", precision="bf16", augment="randaugment", epochs=1),
        "alexnet adamw, gradual": dict(
            model="alexnet", precision=half, optimizer="adamw", lr=1e-4, layer_decay=2.0, gradual_unfreeze=True
        ),
        "resnet50 bf16": dict(model="resnet50", precision="bf16"),
        "resnet50 fp16": dict(model="resnet50", precision=half, epochs=1),
        "resnet50 layer4 and fc, cached": dict(model="resnet50", precision="bf16", frozen=stem),
        "vit_b_16 bf16": dict(model="vit_b_16", precision="bf16", batch_size=32, lr=1e-3),
        "lite0 head, cached": dict(model="efficientnet_lite0", precision="auto", frozen=("features",)),
    }


def settings_of(case: dict[str, Any], gpu: bool) -> dict[str, Any]:
    frozen = {"frozen": ("0",)} if "frozen" in case else {}
    return {**BASE, **case} if gpu else {**BASE, **case, **TINY, **frozen}


def once(settings: dict[str, Any], root: Path, device: str, said: list[str], stop: int | None = None) -> list[Row]:
    """Loss, validation loss, accuracy and seconds of each epoch, to the end or until after `stop`."""
    found: list[Row] = []
    epochs = trainer.train(make_config(settings), root, device, say=said.append)
    for number, epoch in enumerate(epochs, 1):
        found.append((epoch.train_loss, epoch.val_loss, epoch.val_acc, epoch.seconds))
        if number == stop:
            break
    epochs.close()
    return found


def thrice(settings: dict[str, Any], root: Path, device: str) -> dict[str, Any]:
    """Train twice anew, and once with the learner that a trial dropped after its first epoch; what differs."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        trainer._spare.clear()
        first = once(settings, root, device, said)
        trainer._spare.clear()
        second = once(settings, root, device, said)
        trainer._spare.clear()
        once(settings, root, device, said, stop=1)
        third = once(settings, root, device, said)
        trainer._spare.clear()
    plain = [[row[:3] for row in run] for run in (first, second, third)]
    worst = max(abs(a - b) for x, y in zip(plain[0], plain[1], strict=True) for a, b in zip(x, y, strict=True))
    return {
        "same": plain[0] == plain[1],
        "same_restarted": plain[0] == plain[2],
        "worst": worst,
        "last": first[-1][:3],
        "epoch_s": [round(row[3], 3) for row in first + second],
        "said": sorted(set(said)),
        "warned": sorted({f"{each.category.__name__}: {str(each.message)[:160]}" for each in warned})[:4],
    }


def main() -> None:
    root, device = Path(sys.argv[1]), sys.argv[2]
    gpu = device == "cuda"
    deadline = time.monotonic() + (float(sys.argv[3]) if len(sys.argv) > 3 else 1e9)
    for name, case in cases("fp16" if gpu else "fp32").items():
        began = time.monotonic()
        found: dict[str, Any] = {"case": name}
        if began > deadline:
            found["skipped"] = "no time"
        else:
            try:
                found |= thrice(settings_of(case, gpu), root, device)
            except Exception as error:
                found["error"], found["at"] = f"{type(error).__name__}: {error}"[:600], traceback.format_exc()[-900:]
        found["took"] = round(time.monotonic() - began, 1)
        if gpu:
            found["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
            torch.cuda.empty_cache()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
