"""Files that people give as weights and that hold none: in one plain line, with the way out."""

from __future__ import annotations

import gzip
import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from search import models
from search.errors import SearchError
from search.models.checkpoints import read


def saved(content: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def zipped(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, data in parts.items():
            made.writestr(name.replace("__", "/").replace("_", "."), data)
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out, and such files are not
        torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)), file)
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, weight=np.zeros((2, 3)))
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "PNG")
    return file.getvalue()


WEIGHTS = nn.Linear(30, 20).state_dict()
HDF5 = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0" + bytes(100)
"""How such a file begins (HDF5 file format specification, version 0 of the superblock)."""
BRING = "TensorFlow's, whose names and shapes are others; bring them into PyTorch, and torch.save(model.state_dict()"
FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "Keras": ("w.h5", lambda: HDF5, f"it is an HDF5 file, as Keras writes weights; its layers are {BRING}"),
    "Keras, by another name": ("w.pth", lambda: HDF5, "it is an HDF5 file, as Keras writes weights"),
    "Keras 3": ("w.keras", lambda: zipped(config_json=b"{}", model_weights_h5=b"x"), "it is a model of Keras; "),
    "no HDF5": ("w.h5", lambda: b"\1\2\3" * 99, "it is no HDF5 file though its ending says so; copy or download"),
    "NumPy's": ("w.npz", arrays, "it holds arrays of NumPy; if they have the names of the model's layers, torch.s"),
    "one array": ("w.npy", array, "it is one array of NumPy; "),
    "TensorFlow": ("saved_model.pb", lambda: b"\x08\x01\x12" + bytes(range(99)), "it is a file of TensorFlow; its"),
    "a checkpoint of TensorFlow": ("model.ckpt", lambda: b"\0\1\2" * 99, "it is a file of TensorFlow; its layers"),
    "TensorFlow Lite": ("w.tflite", lambda: b"\x1c\0\0\0TFL3" + bytes(99), "it is a model of TensorFlow Lite; its"),
    "ONNX": ("w.onnx", lambda: b"\x08\x07\x12\x07pytorch" + bytes(9), "it is an ONNX model; torch.save(model.state"),
    "a whole model": (
        "m.pth",
        lambda: saved(nn.Sequential(nn.Linear(3, 2))),
        "it holds objects of torch.nn.modules.container.Sequential, whose code runs when they are read; where you "
        "trust it, torch.load('m.pth', weights_only=False) reads it, and torch.save(model.state_dict(), 'weights.pth')",
    ),
    "a whole model of old": (
        "m.pth",
        lambda: saved(nn.Linear(3, 2), _use_new_zipfile_serialization=False),
        "it holds objects of torch.nn.modules.linear.Linear, whose code runs",
    ),
    "a pickle": (
        "m.pkl",
        lambda: pickle.dumps({"0.weight": np.zeros(3)}),
        "it is a pickle, whose code runs when it is read; where you trust it, and it holds weights, "
        "torch.save(pickle.load(open('m.pkl', 'rb')), 'weights.pth') writes them",
    ),
    "half of a pickle": ("m.pkl", lambda: pickle.dumps({"a": np.zeros(99)})[:-50], "it is cut off or damaged; copy"),
    "TorchScript": (
        "w.pt",
        scripted,
        "it is a TorchScript program; torch.save(torch.jit.load('w.pt').state_dict(), 'weights.pth') writes its",
    ),
    "half of a download": ("w.pth", lambda: saved(WEIGHTS)[:1500], "it is cut off, as a broken download leaves it; "),
    "half of safetensors": ("w.safetensors", lambda: (999).to_bytes(8, "little") + b'{"a":', "it is a safetensors"),
    "a zip around it": ("w.zip", lambda: zipped(w_pth=saved(WEIGHTS)), "it is a zip archive; unpack it, and name"),
    "packed": ("w.pth.gz", lambda: gzip.compress(saved(WEIGHTS)), "it is packed by gzip; unpack it"),
    "nothing": ("w.pth", lambda: b"", "it is empty; copy or download it again"),
    "zeros": ("w.pth", lambda: bytes(5000), "it is filled with zeros; copy or download it again"),
    "a page": ("w.pth", lambda: b"\n<!DOCTYPE html><p>404", "it is a page of text, as a failed download leaves it; "),
    "an answer": ("w.safetensors", lambda: b'{"error": "no such model"}', "it is a page of text, as a failed download"),
    "Git LFS": (
        "w.pth",
        lambda: b"version https://git-lfs.github.com/spec/v1\n",
        "it is a pointer of Git LFS; `git lfs pull` brings the file itself",
    ),
    "a text": ("w.safetensors", lambda: b"no weights at all", "it is a text; torch.save(model.state_dict(), 'weights."),
    "a picture": ("w.pth", picture, "it is a picture; torch.save(model.state_dict(), 'weights.pth') writes weights"),
    "noise": ("w.pth", lambda: bytes(range(1, 255)), "it is no file of PyTorch or safetensors; torch.save(model."),
    "a list": ("w.pth", lambda: saved([1, 2]), "it holds a list, without the names of layers; torch.save("),
    "a tensor": ("w.pth", lambda: saved(torch.zeros(3)), "it holds a single tensor (3,), without a layer's name; "),
    "a number": ("w.pth", lambda: saved(0.5), "it holds '0.5' alone; torch.save("),
    "nothing inside": ("w.pth", lambda: saved({}), "it holds no tensors; torch.save(model.state_dict(), 'wei"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_what_a_file_is_is_said_with_the_way_out(tmp_path: Path, kind: str) -> None:
    name, content, said = FILES[kind]
    (tmp_path / name).write_bytes(content())
    with pytest.raises(SearchError) as error:
        models.build("cnn", 10, weights=str(tmp_path / name))
    text = str(error.value)
    assert text.startswith(f"{tmp_path / name}: no state dict can be read from it: ")
    assert said in text
    assert "\n" not in text
    assert "Error" not in text


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"a folder; name the \.pth or \.safetensors file in it"):
        models.build("cnn", 10, weights=str(tmp_path))


def test_a_flipped_byte_in_the_values_is_seen(tmp_path: Path) -> None:
    """Torch reads it as another value."""
    content = bytearray(saved(WEIGHTS))
    place = content.index(WEIGHTS["weight"].numpy().tobytes()[:64]) + 500
    content[place] ^= 0x40
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["weight"], WEIGHTS["weight"])
    with pytest.raises(SearchError, match=r"w\.pth: damaged: the checksum of .*data/0 differs; copy or download it"):
        read(path)


def test_a_file_that_was_written_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read(tmp_path / "w.pth")["weight"], WEIGHTS["weight"])
