"""The models, by name: this file's own, and every classifier of torchvision."""

from __future__ import annotations

import re
import socket
from collections import OrderedDict
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from search.errors import SearchError, nearest


class ImageSpec(NamedTuple):
    """What a model wants to see.

    `resize`: pixels of the short side; `crop`: pixels of the centre square cut from it;
    `mean` and `std`: a channel, of values in [0, 1].
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def cnn(num_classes: int, channels: int) -> nn.Module:
    """Two convolutions and a linear head, for images of 8 to 64 px: (N, channels, H, W) to (N, num_classes)."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        nn.Linear(64 * 16, num_classes),
    )


def _zoo() -> Any:
    import torchvision.models  # late: it takes seconds to import, and this file's own models need none of it

    return torchvision.models


MODELS: dict[str, Callable[[int, int], nn.Module]] = {"cnn": cnn}
"""Name to build(num_classes, channels), for models that take a data set's images as they are."""


def names() -> list[str]:
    """Every model that `build` knows."""
    return [*MODELS, *_zoo().list_models(module=_zoo())]


def image_spec(model: str) -> ImageSpec | None:
    """The input that a torchvision model was made for (its weights' metadata); None: the images as they are."""
    if model in MODELS:
        return None
    preset: Any = _weights_of(model).transforms()
    return ImageSpec(preset.resize_size[0], preset.crop_size[0], tuple(preset.mean), tuple(preset.std))


def build(model: str, num_classes: int, channels: int = 3, weights: str | None = None) -> nn.Module:
    """Build `model` with a head for `num_classes`; its other layers from `weights`, if given.

    Initial values come from torch's global generator. Raises SearchError for an unknown model or unusable weights.
    """
    check_name(model)
    if model in MODELS:
        net = MODELS[model](num_classes, channels)
    else:
        net = _zoo().get_model(model, weights=None, num_classes=num_classes, **_options(model))
    if weights is not None:
        _load(net, model, weights)
    return net


def set_dropout(net: nn.Module, model: str, probability: float) -> None:
    """Give every dropout layer of `net`, which `model` names, this probability of zeroing a value.

    Raises SearchError if there is none: a search over a setting that does nothing would mislead.
    """
    layers = [module for module in net.modules() if isinstance(module, _DropoutNd)]
    if not layers:
        raise SearchError(f"dropout={probability}: {model} has no dropout layer; leave the setting out")
    for layer in layers:
        layer.p = probability


def check_name(model: str) -> None:
    """Raise SearchError, with the nearest name or the list, if there is no such model."""
    if model not in MODELS and model not in names():
        raise SearchError(f"unknown model {model!r}{nearest(model, set(names()))}")


def _options(model: str) -> dict[str, Any]:
    # These two have auxiliary heads, which a plain cross-entropy does not train, and warn about their initialisation.
    if model in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    spec = image_spec(model) if model.startswith("vit_") else None  # its position embedding depends on the image size
    return {"image_size": spec.crop} if spec else {}


def _weights_of(model: str) -> Any:
    weights: Any = _zoo().get_model_weights(model)
    return getattr(weights, "DEFAULT", None) or next(iter(weights))


def weights_file(model: str, weights: str) -> Path:
    """The file that `weights` of `model` are read from: a path as it is, DEFAULT in torch's hub folder.

    Downloads DEFAULT if it is missing. Raises SearchError saying which file to put where.
    """
    if weights != "DEFAULT":
        if not Path(weights).is_file():
            raise SearchError(f"weights={weights!r}: no such file; DEFAULT, or a path to a .pth or .safetensors file")
        return Path(weights)
    if model in MODELS:
        raise SearchError(f"weights='DEFAULT': {model!r} has no pretrained weights; --set weights=scratch goes without")
    url: str = _weights_of(model).url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.is_file():
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(20)  # a network that drops packets would keep us for minutes
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), hash_prefix=file.stem.rpartition("-")[2])
        except (URLError, HTTPException, OSError, RuntimeError) as error:
            raise SearchError(
                f"the ImageNet weights of {model} cannot be downloaded ({getattr(error, 'reason', error)}); "
                f'put {file.name} into {file.parent}, or name a file with weights="path/to/file.pth", '
                "or go without: --set weights=scratch"
            ) from None
        finally:
            socket.setdefaulttimeout(before)
    return file


# The names of DenseNet's published files, from before torch forbade dots in the names of modules.
_LEGACY = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.)")


def _load(net: nn.Module, model: str, weights: str) -> None:
    """Copy every layer but a head of another width from the weights file into `net`."""
    file = weights_file(model, weights)
    try:
        state: dict[str, Tensor] = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
        metadata = getattr(state, "_metadata", None)
        state = {_LEGACY.sub(r"\1\2", name): value for name, value in state.items() if isinstance(value, Tensor)}
    except Exception as error:  # torch and safetensors raise a dozen kinds
        raise SearchError(f"{file}: no state dict can be read from it ({type(error).__name__})") from None
    own = net.state_dict()
    head = {name for name in state if name in own and state[name].shape != own[name].shape}
    fitting = OrderedDict((name, value) for name, value in state.items() if name not in head)
    fitting._metadata = metadata or own._metadata  # type: ignore[attr-defined] # torch's own; MNASNet reads its version
    missing, unexpected = net.load_state_dict(fitting, strict=False)
    heads = {name.rpartition(".")[0] for name in head}
    # Auxiliary heads are dropped with the head; anything else means that these are another model's weights.
    foreign = [name for name in unexpected if not name.startswith(("AuxLogits.", "aux1.", "aux2."))]
    absent = sorted(name for name in {*missing} - head if not name.endswith(".num_batches_tracked"))  # older files
    wrong = [*absent, *foreign, *(sorted(heads) if len(heads) > 1 else [])]
    if wrong:
        raise SearchError(f"{file}: not the weights of {model}: {wrong[0]!r} does not fit")
