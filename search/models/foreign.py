"""What a file is that people give as weights and that holds no state dict: in words, with the way out."""

from __future__ import annotations

import os
import re
import zipfile
from contextlib import suppress
from pathlib import Path

SAVE = "torch.save(model.state_dict(), 'weights.pth')"
"""How PyTorch writes weights as they are read here."""
_TENSORFLOW = f"its layers are TensorFlow's, whose names and shapes are others; bring them into PyTorch, and {SAVE}"
_AGAIN = "copy or download it again"
_FIRST: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, as Keras writes weights; {_TENSORFLOW}"),
    (b"\x93NUMPY", f"one array of NumPy; {SAVE} writes the weights of a model"),
    (b"GGUF", f"a GGUF file, whose values are rounded; {SAVE} writes those of PyTorch"),
    (b"\x1f\x8b", "packed by gzip; unpack it"),
    (b"BZh", "packed by bzip2; unpack it"),
    (b"\xfd7zXZ", "packed by xz; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it, and name the file in it"),
    (b"Rar!", "a RAR archive; unpack it, and name the file in it"),
    (b"version https://git-lfs", "a pointer of Git LFS; `git lfs pull` brings the file itself"),
    *((start, f"a picture; {SAVE} writes weights") for start in (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF")),
)
"""The first bytes of a file, and what it is."""
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9"
"""Of torch.save before its version 1.6."""
_ENDINGS = {
    ".onnx": f"an ONNX model; {SAVE} writes the weights of the PyTorch model that it was made from",
    ".h5": f"no HDF5 file though its ending says so; {_AGAIN}",
    **dict.fromkeys((".pb", ".ckpt", ".index", ".meta"), f"a file of TensorFlow; {_TENSORFLOW}"),
}
"""What has no first bytes of its own."""


def what_it_is(file: Path, error: Exception) -> str:
    """What the file is, and what to do, after `error` kept it from being read as weights. One line."""
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    try:
        with file.open("rb") as content:
            start = content.read(1024)
    except OSError as again:
        return f"it cannot be read: {again.strerror}"
    if not start.strip(b"\0"):
        return f"it is {'filled with zeros' if start else 'empty'}; {_AGAIN}"
    text = str(error)
    if start[4:8] == b"TFL3":
        return f"it is a model of TensorFlow Lite; {_TENSORFLOW}"
    if start.startswith(b"PK\x03\x04"):
        return _of_zip(file, text)
    for first, said in _FIRST:
        if start.startswith(first):
            return f"it is {said}"
    if start[8:9] == b"{" and start[7:8] == b"\0":
        return f"it is a safetensors file that is cut off or damaged; {_AGAIN}"
    if "GLOBAL" in text or "persistent" in text:
        return _of_objects(file, text)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        return _of_pickle(file, start)
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"{")):
        return "it is a page of text, as a failed download leaves it; download it again"
    if file.suffix.lower() in _ENDINGS:
        return f"it is {_ENDINGS[file.suffix.lower()]}"
    kind = "a text" if _is_text(start) else "no file of PyTorch or safetensors"
    return f"it is {kind}; {SAVE} writes weights"


def _of_zip(file: Path, text: str) -> str:
    """What is in a zip, which PyTorch's own files are, too; `text`: why it is none of these that can be read."""
    try:
        with zipfile.ZipFile(file) as zipped:
            names = zipped.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return f"it is cut off, as a broken download leaves it; {_AGAIN}"
    if "model.weights.h5" in names:
        return f"it is a model of Keras; {_TENSORFLOW}"
    if names and all(name.endswith(".npy") for name in names):
        how = "torch.save({name: torch.from_numpy(array) for name, array in numpy.load(FILE).items()}, 'weights.pth')"
        return f"it holds arrays of NumPy; if they have the names of the model's layers, {how} writes weights"
    if any(name.endswith("/constants.pkl") for name in names):
        how = f"torch.save(torch.jit.load('{file.name}').state_dict(), 'weights.pth')"
        return f"it is a TorchScript program; {how} writes its weights"
    if any(name.endswith("data.pkl") for name in names):
        return _of_objects(file, text) if "GLOBAL" in text or "persistent" in text else f"it is damaged; {_AGAIN}"
    return "it is a zip archive; unpack it, and name the file in it"


def _of_objects(file: Path, text: str) -> str:
    """A pickle of more than tensors; torch names the first class that it would have to import."""
    found = re.search(r"GLOBAL ([\w.]+)", text)
    what = f"objects of {found[1]}" if found and "." in found[1] else "Python objects"
    trusted = f"where you trust it, torch.load('{file.name}', weights_only=False) reads it"
    return f"it holds {what}, whose code runs when they are read; {trusted}, and {SAVE} then writes the weights"


def _of_pickle(file: Path, start: bytes) -> str:
    """A plain pickle, or the whole of which a part is left; the whole ends with a dot."""
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        whole = content.read() == b"." and not start.startswith(_LEGACY)
    if not whole:
        return f"it is cut off or damaged; {_AGAIN}"
    how = f"torch.save(pickle.load(open('{file.name}', 'rb')), 'weights.pth')"
    return (
        f"it is a pickle, whose code runs when it is read; where you trust it, and it holds weights, {how} writes them"
    )


def _is_text(start: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        return start[:512].decode("ascii").replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    return False
