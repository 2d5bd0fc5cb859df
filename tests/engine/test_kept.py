"""The winner's weights: their place, and what is swept up beside them."""

from __future__ import annotations

from pathlib import Path

from search.engine import kept
from search.files.atomic import write_text


def test_only_the_spared_stay() -> None:
    for number in range(12):
        write_text(Path(kept.place("a study", number)), "")
    folder = Path("runs/a study/weights")
    write_text(folder / ".10.safetensors.77.part", "")
    write_text(folder / ".11.safetensors.78.part", "")
    write_text(folder / "mine.txt", "")
    kept.sweep("a study", lambda: {1, 11})
    names = {path.name for path in folder.iterdir()}
    assert names == {"1.safetensors", "11.safetensors", ".11.safetensors.78.part", "mine.txt"}


def test_where_nothing_is_kept_nothing_comes_into_being() -> None:
    kept.sweep("none", set)
    assert not list(Path().iterdir())
