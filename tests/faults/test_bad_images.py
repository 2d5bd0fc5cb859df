"""Pictures as they lie on people's disks: broken ones are named, odd ones are seen as they are meant."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli
from PIL import Image
from refusals import GOOD, refused

from search.data import cache
from search.data.registry import open_source
from search.engine.messages import Failed, Order, WorkerConfig
from search.engine.worker import Worker
from search.errors import SearchError

SIZE = (30, 20)
NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(NOISE) if image is None else image).save(file, kind, **options)
    return file.getvalue()


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


BROKEN: dict[str, tuple[str, bytes, str]] = {
    # what it is: the file's name and content, and what is said after its path
    "empty": ("x.jpg", b"", "the file is empty, or none that Pillow decodes"),
    "a truncated JPEG": ("x.jpg", encoded("JPEG")[:-200], "image file is truncated"),
    "a JPEG's head": ("x.jpg", encoded("JPEG")[:20], ""),
    "a text": ("x.jpg", b"no picture\n", "11 bytes that are no picture"),
    "a web page": ("x.jpeg", b"<!DOCTYPE html><p>404", "21 bytes that are no picture"),
    "a program": ("x.png", b"\x7fELF" + bytes(100), "bytes that are no picture"),
    "NUL bytes": ("x.png", bytes(1000), "1000 bytes that are no picture"),
    "a truncated PNG": ("x.png", encoded("PNG")[:-300], ""),
    "a PNG with a flipped byte": ("x.png", flipped(encoded("PNG"), 60), ""),
    "a truncated GIF": ("x.gif", encoded("GIF")[:100], ""),
    "a truncated WebP": ("x.webp", encoded("WEBP")[:60], ""),
    "a truncated BMP": ("x.bmp", encoded("BMP")[:500], ""),
    "30,000 px a side": ("x.png", png_of(30_000, 30_000), "decompression bomb"),
    "no side": ("x.png", png_of(0, 20), ""),
    "one px and 60,000": ("x.png", encoded("PNG", Image.new("1", (1, 60_000))), "1 x 60000 px; one side is more"),
    "fractions": ("x.tiff", encoded("TIFF", Image.new("F", SIZE, 0.5)), "pixels that are fractions"),
    "32 bits": ("x.tiff", encoded("TIFF", Image.new("I", SIZE, 1 << 20)), "pixels from 1048576 to 1048576; an"),
    "below black": ("x.tiff", encoded("TIFF", Image.new("I", SIZE, -1)), "pixels from -1 to -1; an image has"),
}  # fmt: skip


def folder(root: Path, name: str, content: bytes) -> Path:
    """Two classes of ten pictures, `name` with its content among the first class's training images."""
    for label in ("ants", "bees"):
        for part in ("train", "val", "test"):
            (root / "mine" / part / label).mkdir(parents=True)
            for i in range(3):
                (root / "mine" / part / label / f"{i}.png").write_bytes(encoded("PNG"))
    path = root / "mine" / "train" / "ants" / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("name", "content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_picture_is_named_and_nothing_is_kept(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = folder(tmp_path, name, content)
    with pytest.raises(SearchError) as error:
        cache.load(open_source("imagefolder:mine", tmp_path), 16, ("train", "val"))
    text = str(error.value)
    assert text.startswith(f"{path}: the image cannot be read: ")
    assert said in text
    assert " at 0x" not in text
    kept = [index.read_text() for index in cache.cache_root().glob("imagefolder-*/*/index.json")]
    assert not [index for index in kept if f"ants/{name}" in index]


@pytest.mark.usefixtures("sys_path", "one_thread")
@pytest.mark.parametrize("name", ["ümläut 🙂.jpg", "a\nb.jpg", "\udcff.jpg"])
def test_the_command_names_the_file_whatever_it_is_called(cli: Cli, tmp_path: Path, name: str) -> None:
    space = GOOD.replace('"digits"', '"imagefolder:mine"')
    Path("s.py").write_text(space)
    folder(tmp_path, name, encoded("JPEG")[:-200])
    shown = name.replace("\n", r"\n").replace("\udcff", r"\udcff")
    line = refused(cli, "run", "s.py", "--engine", "inline", "--trials", 1, "--data-root", ".")
    assert f"mine/train/ants/{shown}: the image cannot be read: image file is truncated" in line
    if "🙂" not in name:  # it takes four seconds
        return
    checked = cli("check", "s.py", "--data-root", ".")
    assert checked.status == 1
    assert "image file is truncated" in checked.out
    assert "Traceback" not in checked.out + checked.err


@pytest.mark.usefixtures("one_thread")
def test_a_picture_that_breaks_during_a_run_is_bad_data(tmp_path: Path) -> None:
    path = folder(tmp_path, "x.jpg", encoded("JPEG")[:-200])
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1))
    config = {"model": "cnn", "dataset": "imagefolder:mine", "epochs": 1, "lr": 0.1, "step_size": 1, "gamma": 0.5}
    worker.start(Order(1, config))
    message = worker.step()
    assert isinstance(message, Failed)
    assert message.reason.startswith(f"bad_data: {path}: the image cannot be read: image file is truncated")


def grey(level: int, mode: str) -> Image.Image:
    return Image.new(mode, SIZE, level)


def palette() -> Image.Image:
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 0, 200, 100, 50] + [0] * 750)
    return image


ODD: dict[str, tuple[str, bytes, tuple[int, int, int]]] = {
    # what it is: the file's name and content, and the colour that is seen
    "grey, 8 bits": ("x.png", encoded("PNG", grey(100, "L")), (100, 100, 100)),
    "grey, 16 bits": ("x.png", encoded("PNG", grey(100 << 8, "I;16")), (100, 100, 100)),
    "grey, 16 bits, TIFF": ("x.tiff", encoded("TIFF", grey(200 << 8, "I;16")), (200, 200, 200)),
    "grey, 32 bits, of which 16": ("x.tiff", encoded("TIFF", grey(100 << 8, "I")), (100, 100, 100)),
    "one bit": ("x.png", encoded("PNG", grey(1, "1")), (255, 255, 255)),
    "grey and transparent": ("x.png", encoded("PNG", Image.new("LA", SIZE, (100, 0))), (100, 100, 100)),
    "CMYK": ("x.tiff", encoded("TIFF", Image.new("CMYK", SIZE, (0, 0, 0, 155))), (100, 100, 100)),
    "a palette": ("x.gif", encoded("GIF", palette()), (200, 100, 50)),
    "a palette with transparency": ("x.png", encoded("PNG", palette(), transparency=bytes([0, 128])), (200, 100, 50)),
    "a transparent colour": ("x.png", encoded("PNG", palette(), transparency=1), (200, 100, 50)),
    "an animated GIF": (
        "x.gif", encoded("GIF", palette(), save_all=True, append_images=[grey(0, "L")] * 3), (200, 100, 50),
    ),
    "an animated PNG": (
        "x.png", encoded("PNG", grey(100, "L"), save_all=True, append_images=[grey(0, "L")] * 3), (100, 100, 100),
    ),
    "EXIF that is broken": ("x.png", encoded("PNG", grey(100, "L"), exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), (100,) * 3),
    "another ending": ("x.jpg", encoded("PNG", grey(100, "L")), (100, 100, 100)),
    "an ending in capitals": ("X.PNG", encoded("PNG", grey(100, "L")), (100, 100, 100)),
    "one px": ("x.png", encoded("PNG", Image.new("L", (1, 1), 100)), (100, 100, 100)),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "colour"), ODD.values(), ids=ODD)
def test_an_odd_picture_is_seen_as_it_is_meant(
    tmp_path: Path, name: str, content: bytes, colour: tuple[int, int, int]
) -> None:
    folder(tmp_path, name, content)
    (train,) = cache.load(open_source("imagefolder:mine", tmp_path), 16, ("train",))
    pixels = train.pixels[train.names.index(f"train/ants/{name}")]
    assert pixels.shape == (16, 16, 3)
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [list(colour)]


def test_a_cmyk_jpeg_is_a_picture(tmp_path: Path) -> None:
    content = encoded("JPEG", Image.fromarray(NOISE).convert("CMYK"), quality=100)
    folder(tmp_path, "x.jpg", content)
    (train,) = cache.load(open_source("imagefolder:mine", tmp_path), 20, ("train",))
    rows = [train.names.index(f"train/ants/{name}") for name in ("x.jpg", "0.png")]
    seen, meant = (train.pixels[row].astype(int) for row in rows)
    assert np.abs(seen - meant).mean() < 30
