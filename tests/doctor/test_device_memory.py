"""What a process takes of its device; a GPU's answers are faked, since the tests run without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from search.doctor import device_memory
from search.doctor.device_memory import GIB, peak, taken_by_others


def test_what_is_free_is_a_part_of_what_is_there() -> None:
    assert 0 < device_memory.available() < 2**50


@pytest.mark.parametrize(
    ("taken", "parent", "held", "left"),
    [
        (10, None, 5, 70),  # of 80 GiB another program has 10; our context is 1, our tensors had 4
        (10, 2, 5, 73),  # the doctor, one of the others, gives back its 2 and its context
        (0, None, 15, 80),  # nobody could say what the others have: it counts as ours
    ],
)
def test_a_gpus_memory_is_ours_or_others(
    monkeypatch: pytest.MonkeyPatch, taken: int, parent: int | None, held: int, left: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (66 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 3 * GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 4 * GIB)
    found = peak("cuda", taken * GIB, None if parent is None else parent * GIB)
    assert found == (held * GIB, left * GIB)


def test_nvidias_tool_is_asked_about_the_first_visible_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "$1" > "$(dirname "$0")/asked"; echo 523\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-3f,1")
    assert taken_by_others() == 523 * 2**20
    assert (tmp_path / "asked").read_text().strip() == "--id=GPU-3f"
    tool.write_text("#!/bin/sh\necho No devices were found\n")
    assert taken_by_others() == 0
