"""CI tries the oldest torch that pyproject.toml names, and no other."""

from __future__ import annotations

import re
import tomllib

from conftest import REPO


def test_ci_tries_the_oldest_torch_that_pyproject_names() -> None:
    wanted = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    oldest = (REPO / ".ci" / "oldest.txt").read_text("utf-8")
    for name in ("torch", "torchvision"):
        (floor,) = (each.removeprefix(f"{name}>=") for each in wanted if each.startswith(f"{name}>="))
        assert re.findall(rf"^{name}==(\S+)", oldest, re.MULTILINE) == [f"{floor}.0"]
    assert "make test-oldest" in (REPO / ".ci" / "run").read_text("utf-8")
