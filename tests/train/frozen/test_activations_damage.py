"""Kept activations that a disk, a crash or a person has changed: said in one line, and computed again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from damage import DAMAGE
from torch import Tensor

from search.files.arrays import heard
from search.train.frozen.activations import CHUNK, load

ROWS = 2 * CHUNK + 7


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "search" / "features"


def values(rows: range) -> Tensor:
    return torch.stack([torch.arange(rows.start, rows.stop), -torch.arange(rows.start, rows.stop)], 1).bfloat16()


def loaded() -> tuple[Tensor, int, list[str]]:
    """The activations, how many rows were computed for them, and what was said."""
    lines: list[str] = []
    rows: list[int] = []

    def compute(chunk: range) -> Tensor:
        rows.append(len(chunk))
        return values(chunk)

    with heard(lines.append):
        kept = load("k", ROWS, torch.ones(1, 2).bfloat16(), compute)
    return kept, sum(rows), lines


@pytest.mark.parametrize("name", ["values.npy", "index"])
def test_a_damaged_file_is_named_and_computed_again(name: str, home: Path) -> None:
    assert loaded()[1:] == (ROWS, [])
    for kind, damage in DAMAGE.items():
        damage(home / "k" / name)
        kept, computed, lines = loaded()
        assert torch.equal(kept, values(range(ROWS))), kind
        assert computed == ROWS, kind
        if (kind, name) != ("gone", "values.npy"):
            assert len(lines) == 1, kind
            assert lines[0].startswith(f"{home / 'k'}: damaged, and computed again: "), kind
        assert loaded()[1:] == (0, []), kind


def test_of_an_array_half_done_what_is_not_sound_is_computed_again(home: Path) -> None:
    def killed(chunk: range) -> Tensor:
        if chunk.start == 2 * CHUNK:
            raise KeyboardInterrupt
        return values(chunk)

    for kind, damage in DAMAGE.items():
        for name, computed in ((f"{CHUNK}.done", CHUNK + 7), ("values.part", None)):
            with pytest.raises(KeyboardInterrupt):
                load("k", ROWS, torch.ones(1, 2).bfloat16(), killed)
            damage(home / "k" / name)
            kept, count, _ = loaded()
            assert torch.equal(kept, values(range(ROWS))), (kind, name)
            assert computed is None or count == computed, (kind, name)
            (home / "k" / "values.npy").unlink()


def test_an_array_of_another_version_is_computed_again(home: Path) -> None:
    """Before, there were no checksums."""
    (home / "k").mkdir(parents=True)
    np.save(home / "k" / "values.npy", np.zeros((ROWS, 2), np.int16))
    kept, computed, lines = loaded()
    assert torch.equal(kept, values(range(ROWS)))
    assert computed == ROWS
    assert lines == [f"{home / 'k'}: damaged, and computed again: its checksums are missing"]
