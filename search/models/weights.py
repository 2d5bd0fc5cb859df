"""Weights: the files they are in, and how they come into a model with another head."""

from __future__ import annotations

import re
import socket
from collections import OrderedDict
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from search.errors import SearchError
from search.models.custom import is_file
from search.models.small import LITE, MODELS, lite_file
from search.models.torchvision import weights_of


def takes_any_size(model: str) -> bool:
    """Whether `model` sees a data set's images as they are; such models have no published weights."""
    return model in MODELS or model == "mlp" or is_file(model)


def weights_file(model: str, weights: str) -> Path:
    """The file that `weights` of `model` are read from: a path as it is, DEFAULT in torch's hub folder.

    Downloads DEFAULT if it is missing. Raises SearchError saying which file to put where.
    """
    if weights != "DEFAULT":
        if not Path(weights).is_file():
            raise SearchError(f"weights={weights!r}: no such file; DEFAULT, or a path to a .pth or .safetensors file")
        return Path(weights)
    if model == LITE:
        return lite_file()
    if takes_any_size(model):
        raise SearchError(f"weights='DEFAULT': {model!r} has no pretrained weights; --set weights=scratch goes without")
    url: str = weights_of(model).url
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


def _renamed(model: str, name: str) -> str:
    """The name of a published tensor as it is in the model built here."""
    if model == LITE and name.startswith("_"):
        return name.replace("_fc.", "classifier.1.") if name.startswith("_fc.") else f"features.{name}"
    return _LEGACY.sub(r"\1\2", name)


def load(net: nn.Module, model: str, weights: str) -> None:
    """Copy every layer but a head of another width from the weights file into `net`."""
    file = weights_file(model, weights)
    try:
        state: dict[str, Tensor] = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
        metadata = getattr(state, "_metadata", None)
        state = {_renamed(model, name): value for name, value in state.items() if isinstance(value, Tensor)}
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
