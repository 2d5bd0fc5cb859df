"""Weights: the files that hold them, and how they get into a model with another head."""

from __future__ import annotations

import hashlib
import re
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import torch
from torch import nn

from search.errors import SearchError, option
from search.models.checkpoints import State, digest_of, read, unwrapped

_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Heads of GoogLeNet and Inception v3, which are left out."""


class Loaded(NamedTuple):
    """What was read of weights."""

    said: str
    """In one line, for the user."""
    digest: str
    """What tells them from other weights, by their content."""


def given_file(weights: str) -> Path:
    """The path `weights`. Raises SearchError if it is no file."""
    if Path(weights).is_dir():
        raise SearchError(f"weights={weights!r}: a folder; name the .pth or .safetensors file in it")
    if not Path(weights).is_file():
        raise SearchError(f"weights={weights!r}: no such file; DEFAULT, or a path to a .pth or .safetensors file")
    return Path(weights)


def check_published(file: Path, published: Iterable[str]) -> None:
    """Raise SearchError if `file` has one of the `published` names, such as ``x-7be5be79.pth``, and other content.

    Such a name ends with the first digits of the file's SHA-256.
    """
    digits = file.stem.rpartition("-")[2]
    if file.name not in published or not re.fullmatch(r"[0-9a-f]{8,}", digits):
        return
    seen = file.stat()
    found = _sha256(file, seen.st_size, seen.st_mtime_ns)
    if not found.startswith(digits):
        raise SearchError(
            f"{file}: not the published file of that name, whose SHA-256 begins with {digits}; this one's begins with "
            f"{found[: len(digits)]}; download it again, or give weights of your own another name"
        )


@lru_cache(maxsize=64)
def _sha256(file: Path, size: int, changed: int) -> str:
    """In hex, of a file of that size in bytes and that time of its last change, which are keys."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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


def load(
    net: nn.Module,
    model: str,
    file: Path,
    wider: Callable[[], nn.Module],
    rename: Callable[[str], str] = str,
    fit: Callable[[State, nn.Module], str] = lambda state, net: "",
) -> Loaded:
    """Copy every layer from the weights `file` into `net`, its last one if that has the same shape there.

    `wider`: builds the same model for one class more, by which its last layer is known. `rename`: the name in the
    model for a name in the file. `fit`: changes tensors whose shape depends on the image's size, and says how.
    Returns what was read. Raises SearchError for the weights of another model, and for broken ones.
    """
    own = net.state_dict()
    found = unwrapped(read(file), file, own, rename)
    state, digest = found.state, digest_of(found.state)
    notes = [fit(state, net)]
    differ = [name for name in state if name in own and state[name].shape != own[name].shape]
    absent = sorted({*own} - {*state} - _tied(own, state))
    absent = [name for name in absent if not name.endswith(".num_batches_tracked")]  # older files have none
    foreign = [name for name in state if name not in own and not name.startswith(_AUXILIARY)]
    heads = heads_of(net, wider) if differ or absent or foreign else set()
    new = sorted({_module(name) for name in (*differ, *absent)} & heads)
    _refuse(file, model, own, state, [[n for n in names if not within(n, new)] for names in (differ, absent, foreign)])
    taken = OrderedDict((name, value) for name, value in state.items() if name in own and _module(name) not in new)
    _check_values(file, net, taken)
    taken._metadata = found.metadata or own._metadata  # type: ignore[attr-defined] # MNASNet reads its version
    net.load_state_dict(taken, strict=False)
    if new:
        notes.append(f"{', '.join(new)} is new: {_classes(state, new)}")
    left = sorted({name.partition(".")[0] for name in state if name not in own and not within(name, new)})
    notes += [f"left out: {', '.join(left)}"] if left else []
    return Loaded("; ".join([f"{file}: {len(taken)} of {len(own)} tensors{found.said}", *filter(None, notes)]), digest)


def _module(name: str) -> str:
    """The module that holds the tensor `name`."""
    return name.rpartition(".")[0]


def within(name: str, modules: Iterable[str]) -> bool:
    """Whether the tensor `name` lies in one of `modules`, or below one."""
    return any(_module(name) == module or name.startswith(f"{module}.") for module in modules)


def heads_of(net: nn.Module, wider: Callable[[], nn.Module]) -> set[str]:
    """The modules whose tensors have another shape in the same model for one class more."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                other = wider()
        except Exception:  # a RegNet, or the user's own model, that the meta device cannot build
            other = wider()
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    return {_module(name) for name, value in net.state_dict().items() if value.shape != shapes.get(name)}


def _tied(own: State, state: State) -> set[str]:
    """The names in `own` of tensors that `state` has by another name: safetensors writes shared ones once."""
    known = {value.data_ptr() for name, value in own.items() if name in state and value.numel()}
    return {name for name, value in own.items() if value.numel() and value.data_ptr() in known}


def _refuse(file: Path, model: str, own: State, state: State, wrong: list[list[str]]) -> None:
    """Raise SearchError for the first of the tensors that differ in shape, are absent, or are unknown."""
    differ, absent, foreign = wrong
    said = ""
    if differ:
        name = differ[0]
        said = (
            f"{name!r} has the shape {tuple(state[name].shape)} there and {tuple(own[name].shape)} here; only the last "
            "layer may differ"
        )
    elif absent:
        said = f"{absent[0]!r} is not in it"
    elif foreign:
        said = f"the model has no {foreign[0]!r}"
    kinds = zip(wrong, ("of another shape", "absent", "unknown"), strict=True)
    counts = ", ".join(f"{len(names)} {what}" for names, what in kinds if names)
    if said:
        held = f"the file holds {len(state)} tensors, such as {next(iter(state), '')!r}, the model {len(own)}"
        raise SearchError(f"{file}: not the weights of {model}: {said} ({counts}; {held})")


def _check_values(file: Path, net: nn.Module, taken: State) -> None:
    """Raise SearchError for a tensor that is not made of finite numbers; a buffer may hold an infinity, as a mask.

    Not so the statistics of batch normalisation, whose variance is not below 0 either.
    """
    parameters = {name for name, _ in net.named_parameters()}
    own = net.state_dict()
    for name, value in taken.items():
        if value.is_floating_point() != own[name].is_floating_point() or value.is_complex():
            raise SearchError(f"{file}: {name!r} is of the type {value.dtype}; {own[name].dtype} is needed")
        if not value.is_floating_point():
            continue
        value = value.float() if value.itemsize == 1 else value
        finite = name in parameters or name.endswith((".running_mean", ".running_var"))
        bad, what = (~value.isfinite() if finite else value.isnan()), "NaN or infinite"
        if not bad.any() and name.endswith(".running_var"):
            bad, what = value < 0, "variances below 0"
        if bad.any():
            count = f"{int(bad.sum())} of the {value.numel()} values of {name!r}"
            raise SearchError(f"{file}: broken weights: {count} are {what}")


def _classes(state: State, new: Sequence[str]) -> str:
    """What the file has for the modules that are `new`."""
    there = [value for name, value in state.items() if within(name, new) and value.ndim]
    return f"the file has one of {there[-1].shape[0]} classes" if there else "the file has none"
