"""Weights: the files that hold them, and how they get into a model with another head."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from search.errors import SearchError, option


def given_file(weights: str) -> Path:
    """The path `weights`. Raises SearchError if it is no file."""
    if not Path(weights).is_file():
        raise SearchError(f"weights={weights!r}: no such file; DEFAULT, or a path to a .pth or .safetensors file")
    return Path(weights)


def downloaded(model: str, url: str) -> Path:
    """The file behind `url`, in torch's hub folder. Raises SearchError with the file to put there."""
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
                f"or go without: {option('set', 'weights=scratch')}"
            ) from None
        finally:
            socket.setdefaulttimeout(before)
    return file


def load(net: nn.Module, model: str, file: Path, rename: Callable[[str], str] = str) -> None:
    """Copy every layer but a head of another width from the weights `file` into `net`.

    `rename`: the name in the model for a name in the file. Raises SearchError.
    """
    try:
        state: dict[str, Tensor] = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
        metadata = getattr(state, "_metadata", None)
        state = {rename(name): value for name, value in state.items() if isinstance(value, Tensor)}
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
