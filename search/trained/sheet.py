"""A contact sheet: pictures in rows, with lines of text under each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SIDE, _COLUMNS, _LINE = 128, 6, 15
INK, WRONG = (36, 41, 47), (201, 60, 9)


class Cell(NamedTuple):
    """A picture (H, W, C), uint8, None for one that cannot be read; and the lines under it with their colours."""

    pixels: NDArray[np.uint8] | None
    lines: Sequence[tuple[str, tuple[int, int, int]]]


def contact_sheet(cells: Sequence[Cell]) -> Image.Image:
    """The pictures in rows, their lines under each."""
    columns, lines = min(_COLUMNS, len(cells)), max(len(cell.lines) for cell in cells)
    wide, high = _SIDE + 12, _SIDE + lines * _LINE + 12
    sheet = Image.new("RGB", (columns * wide + 12, -(-len(cells) // columns) * high + 12), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (pixels, texts) in enumerate(cells):
        x, y = 12 + place % columns * wide, 12 + place // columns * high
        if pixels is None:
            draw.rectangle((x, y, x + _SIDE - 1, y + _SIDE - 1), outline=INK)
        else:
            picture = Image.fromarray(np.ascontiguousarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels))
            how = Image.Resampling.NEAREST if picture.width < _SIDE // 2 else Image.Resampling.LANCZOS
            sheet.paste(picture.convert("RGB").resize((_SIDE, _SIDE), how), (x, y))
        for line, (text, color) in enumerate(texts):
            draw.text((x, y + _SIDE + 2 + line * _LINE), _fitting(text, font), fill=color, font=font)
    return sheet


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, its middle left out where it is too wide: what it ends with is the probability."""
    while font.getlength(text) > _SIDE and len(text) > 8:
        middle = len(text) // 2
        text = f"{text[: middle - 1].rstrip('…')}…{text[middle + 1 :].lstrip('…')}"
    return text
