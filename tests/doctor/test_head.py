"""A head that is frozen and random is found."""

from __future__ import annotations

from pathlib import Path

import torch
from cases import case, config

from search import models
from search.doctor import head


def test_a_head_that_trains_passes() -> None:
    assert head.check(case(), {}).status == "ok"
    assert head.check(case(frozen=("0", "1")), {}).status == "ok"


def test_a_frozen_head_fails_where_no_option_trains_it() -> None:
    found = head.check(case(frozen=("2",)), {"lr=0.1": config(frozen=("2",), lr=0.1)})
    assert (found.status, found.seen[:25]) == ("FAIL", "2.weight is random and fr")
    assert found.remedy == "leave 2 out of frozen"


def test_a_frozen_head_in_one_option_of_several_is_a_warning_that_names_it() -> None:
    found = head.check(case(), {"frozen=head": config(frozen=("2",)), "frozen=low": config(frozen=("0",))})
    assert (found.status, "with frozen=head:" in found.seen) == ("warn", True)
    first = head.check(case(frozen=("2",)), {"frozen=none": config()})
    assert (first.status, "with frozen=2:" in first.seen) == ("warn", True)


def test_a_frozen_head_that_a_weights_file_fills_is_not_random(tmp_path: Path) -> None:
    torch.save(models.build("cnn", 10, channels=1).state_dict(), tmp_path / "w.pth")
    assert head.check(case(frozen=("2",), weights="w.pth"), {}).status == "ok"
    torch.save(models.build("cnn", 7, channels=1).state_dict(), tmp_path / "w.pth")
    assert head.check(case(frozen=("2",), weights="w.pth"), {}).status == "FAIL"
