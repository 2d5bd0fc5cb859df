"""Files of weights as people save them: a state dict, or one wrapped by what trained it."""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from search.errors import SearchError
from search.models.foreign import SAVE, what_it_is
from search.models.images import ImageSpec, read_spec

State = dict[str, Tensor]

WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params"),
)
"""The keys under which training scripts keep a state dict; averaged weights first, for these are what was evaluated."""


_NUMBERS = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32)]
_BESIDE: list[Any] = [argparse.Namespace, np.dtype, *_NUMBERS, np.float64(0).__reduce__()[0]]
"""What training scripts write beside the weights, and runs no code: their options, and NumPy's numbers."""


class Unwrapped(NamedTuple):
    """A state dict by the model's own names, and what was taken off it."""

    state: State
    said: str
    metadata: dict[str, Any] | None
    """Torch's own: the version of each module."""


def read(file: Path) -> Any:
    """What a file of weights holds, whatever its ending; no code of it runs. Raises SearchError."""
    try:
        if is_safetensors(file):
            return load_file(file)
        _check_sums(file)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_BESIDE), file.open("rb") as content:
            warnings.simplefilter("ignore")  # of another protocol of pickle: what it means is said below
            return torch.load(content, map_location="cpu", weights_only=True)  # of a path, the ending would count
    except SearchError:
        raise
    except Exception as error:  # torch and safetensors raise a dozen kinds
        raise SearchError(f"{file}: no state dict can be read from it: {what_it_is(file, error)}") from None


def _check_sums(file: Path) -> None:
    """Raise SearchError if a part of a file of torch.save has another checksum than it was written with.

    Torch itself does not compare them, and takes flipped bytes for values. A file of which none fits has none, as
    `torch.serialization.set_crc32_options(False)` writes it.
    """
    if not zipfile.is_zipfile(file):
        return
    try:
        with zipfile.ZipFile(file) as zipped:
            parts = [part for part in zipped.infolist() if part.file_size]
            wrong = [part.filename for part in parts if not _is_sound(zipped, part)]
    except (zipfile.BadZipFile, zlib.error):
        wrong, parts = ["its directory"], []
    except (RuntimeError, NotImplementedError, ValueError):  # a password, an unknown method: no file of torch.save
        return
    if wrong and len(wrong) != len(parts):
        raise SearchError(f"{file}: damaged: the checksum of {wrong[0]} differs; copy or download it again")


def _is_sound(zipped: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    try:
        with zipped.open(part) as content:
            while content.read(1 << 20):
                pass
    except zipfile.BadZipFile as error:
        if "CRC" not in str(error):
            raise
        return False
    return True


def is_safetensors(file: Path) -> bool:
    """Whether the file is of safetensors, whatever its ending: a length and then a JSON object. Raises OSError."""
    with file.open("rb") as content:
        start = content.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < file.stat().st_size


def unwrapped(content: Any, file: Path, own: Mapping[str, Tensor], rename: Callable[[str], str]) -> Unwrapped:
    """The state dict in `content`, by names that `own` has if any do. Raises SearchError if there is none, or several.

    Takes off dicts around it, and prefixes that all names share, such as ``module.`` of DataParallel and
    ``_orig_mod.`` of torch.compile.
    """
    inner, keys = _inner(content, file)
    metadata = getattr(inner, "_metadata", None)
    names = {str(name): rename(str(name)) for name, value in inner.items() if isinstance(value, Tensor)}
    names.pop("n_averaged", None)  # of torch's AveragedModel
    taken: list[str] = []
    while names and not any(name in own for name in names.values()):
        first = {name.partition(".")[0] for name in names.values()}
        if len(first) > 1 or not all("." in name for name in names.values()):
            break
        taken += first
        names = {old: rename(name.partition(".")[2]) for old, name in names.items()}
    for prefix in taken:
        within = {name: value for name, value in (metadata or {}).items() if name.partition(".")[0] == prefix}
        metadata = {name.partition(".")[2]: value for name, value in within.items()} or metadata
    if not names:
        raise SearchError(f"{file}: no state dict can be read from it: it holds no tensors; {SAVE} writes weights")
    said = [f"its {'.'.join(keys)!r}"] if keys else []
    said += [f"without the prefix {'.'.join(taken) + '.'!r}"] if taken else []
    state = {name: inner[old] for old, name in names.items()}
    return Unwrapped(state, f", {', '.join(said)}" if said else "", metadata)


def digest_of(state: Mapping[str, Tensor]) -> str:
    """16 digits of a SHA-256 of the tensors' names, types, shapes and values, in whatever order and file they lie."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _inner(content: Any, file: Path) -> tuple[Mapping[str, Any], list[str]]:
    """The dict that holds the tensors, and the keys that lead there. Raises SearchError."""
    keys: list[str] = []
    while isinstance(content, Mapping):
        inside = [str(key) for key, value in content.items() if isinstance(value, Mapping) and _holds_tensors(value)]
        known = [key for key in WRAPPERS if key in inside]
        if any(isinstance(value, Tensor) and value.ndim for value in content.values()) and not known:
            return content, keys
        if not known and len(inside) > 1:
            raise SearchError(f"{file}: several state dicts are in it ({', '.join(inside)}); save one of them alone")
        if not inside:
            break
        keys.append((known or inside)[0])
        content = content[keys[-1]]
    if isinstance(content, Mapping):
        return content, keys
    raise SearchError(f"{file}: no state dict can be read from it: {_held(content)}; {SAVE} writes weights")


def _held(content: Any) -> str:
    """What a file has that is no dict, in words."""
    if isinstance(content, Tensor):
        return f"it holds a single tensor {tuple(content.shape)}, without a layer's name"
    if isinstance(content, (list, tuple)):
        return "it holds a list, without the names of layers"
    return f"it holds {str(content)[:40]!r} alone"


def _holds_tensors(value: Mapping[Any, Any]) -> bool:
    """Whether there are tensors under names of text, at any depth; an optimizer's state has numbers for names."""
    return any(
        isinstance(key, str) and (isinstance(inner, Tensor) or (isinstance(inner, Mapping) and _holds_tensors(inner)))
        for key, inner in value.items()
    )


def carried(file: Path) -> ImageSpec | None:
    """The images that a model of `search train` was trained on, of which its file has a note; None for other files."""
    try:
        if not is_safetensors(file):
            return None
        with safe_open(file, "pt") as content:
            return read_spec(json.loads((content.metadata() or {})["input"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
