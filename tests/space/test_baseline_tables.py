"""Hand-written tables, as people write them, read into what search.baselines reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search.errors import SearchError
from search.space.baseline_tables import import_table
from search.space.baselines import read_baselines

Write = Callable[[str, str], Path]
NOTES = """
    # My runs

    First a plan | with a bar, and a table of something else:

    | day | weather |
    |-----|---------|
    | Mon | rain    |

    | Val. Acc. (%) | Run | Net | Epochs | Rate | mom | WD | Step size | gamma | Notes | Test | Transfer | Layers |
    |--:|:--|---|---|---|---|---|---|---|---|---|---|---|
    | 85.3 | **Base** | AlexNet | 30 epochs | 1e-3 | .9 | 5 x 10^-5 | 20 | 0.1 | ok | 0.86 | yes | all |
    | 24   | a\\|b  | ResNet-50 | 30 | 10^\u22122 | 0.9 | 0 | 15 | 1e-2 | | \u2013 | no | FC |

    The end.
    """


def test_columns_in_any_order_units_and_names_forgiven(write: Write, tmp_path: Path) -> None:
    notes = write("notes.md", NOTES)
    said = import_table(notes, tmp_path / "rows.csv")
    assert said == [
        f"{notes}:6: a table without validation accuracies: left out",
        f"{notes}:10: the column 'Notes' is not understood: left out",
        f"wrote {tmp_path}/rows.csv: 2 rows",
    ]
    base, other = read_baselines(tmp_path / "rows.csv")
    assert (base.name, base.val_acc, base.test_acc, base.train_loss) == ("Base", 0.853, 0.86, None)
    assert base.settings == {
        "model": "alexnet", "weights": "DEFAULT", "frozen": (), "lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-5,
        "epochs": 30, "step_size": 20, "gamma": 0.1,
    }  # fmt: skip
    assert (other.name, other.val_acc, other.test_acc) == ("a|b", 0.24, None)
    assert (other.settings["model"], other.settings["lr"], other.settings["weights"]) == ("resnet50", 0.01, None)
    assert other.settings["frozen"] == ("features",)


HEAD = "Run | Model | LR | Momentum | Weight decay | Epochs | Step | Step size | Gamma | Val acc"
ROW = "A | alexnet | 0.1 | 0.9 | 0 | 30 | x | 20 | 0.1 | 0.5"


def test_a_table_without_bars_at_its_sides(write: Write, tmp_path: Path) -> None:
    said = import_table(write("n.md", f"{HEAD}\n{'|'.join(['---'] * 10)}\n{ROW}\n"), tmp_path / "n.csv")
    assert said[0].endswith("n.md:1: the column 'Step' is not understood: left out")
    assert read_baselines(tmp_path / "n.csv")[0].name == "A"


def test_a_word_that_is_not_understood_is_named_with_those_that_are(write: Write, tmp_path: Path) -> None:
    text = f"{HEAD.replace('Step |', 'Transfer |')}\n{'|'.join(['---'] * 10)}\n{ROW.replace('| x |', '| maybe |')}\n"
    with pytest.raises(SearchError, match=r"n\.md:3: Transfer = 'maybe' is not understood; known are true: true, yes"):
        import_table(write("n.md", text), tmp_path / "n.csv")


def test_no_file_and_no_text(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_bytes(b"\xff\xfe\x00")
    for name in ("none.md", "b.md"):
        with pytest.raises(SearchError, match=f"{name}: cannot be read: "):
            import_table(tmp_path / name, tmp_path / "n.csv")


def test_the_published_rows_written_as_a_table_come_back(write: Write, tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "spaces" / "baselines" / "caltech101.csv"
    lines = [line.split(",") for line in source.read_text().splitlines() if line]
    table = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    import_table(write("n.md", "\n".join(f"| {' | '.join(cells)} |" for cells in table)), tmp_path / "n.csv")
    again, expected = read_baselines(tmp_path / "n.csv"), read_baselines(source)
    assert [(row.name, row.settings) for row in again] == [(row.name, row.settings) for row in expected]
    assert [row.val_acc for row in again] == pytest.approx([row.val_acc for row in expected], abs=1e-11)
