from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search import SearchSpace
from search.errors import SearchError
from search.space.baselines import read_baselines
from search.space.file import load_space

REPO = Path(__file__).resolve().parents[2]
Write = Callable[[str, str], Path]
HEAD = (
    "name,model,pretrained,trained_layers,lr,momentum,weight_decay,num_epochs,step_size,gamma,"
    "training_loss_at_last_step,validation_acc,testing_acc"
)
ROW = "Base,alexnet,True,classifier,1e-3,0.9,5e-5,30,20,0.1,4.25,0.086,"


def test_a_row_becomes_settings_by_the_configs_names(write: Write) -> None:
    (row,) = read_baselines(write("rows.csv", f"{HEAD}\n{ROW}\n"))
    assert row.name == "Base"
    assert row.settings == {
        "model": "alexnet",
        "weights": "DEFAULT",
        "frozen": ("features",),  # the notes name what trains, a config what does not
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 5e-5,
        "epochs": 30,
        "step_size": 20,
        "gamma": 0.1,
    }
    assert (row.train_loss, row.val_acc, row.test_acc) == (4.25, 0.086, None)


def test_a_cell_with_a_line_break_and_an_empty_line_count_as_lines(write: Write) -> None:
    first = ROW.replace("Base,", '"Ba\nse",')
    path = write("rows.csv", f"{HEAD}\n{first}\n\n{ROW.replace('1e-3', 'slow')}\n")
    with pytest.raises(SearchError) as error:
        read_baselines(path)
    assert str(error.value) == f"{path.parent}/rows.csv:5: lr = 'slow' is no float"


def test_a_missing_column_a_missing_file_and_no_text(write: Write, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"rows.csv: no column 'gamma'; a baselines file has name, model, "):
        read_baselines(write("rows.csv", HEAD.replace(",gamma", "") + "\n"))
    with pytest.raises(SearchError, match=r"none.csv: the baselines cannot be read: .*No such file"):
        read_baselines(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SearchError, match=r"binary.csv: the baselines cannot be read: "):
        read_baselines(tmp_path / "binary.csv")
    assert read_baselines(write("empty.csv", f"{HEAD}\n")) == ()


def test_the_published_rows_and_which_of_them_are_points_of_the_space() -> None:
    space = load_space(REPO / "spaces" / "alexnet_caltech.py")
    rows = {row.name: row for row in space.baselines}
    with (REPO / "spaces" / "baselines" / "caltech101.csv").open() as lines:
        assert len(space.baselines) == sum(1 for line in lines if line.strip()) - 1
    assert isinstance(space.space, SearchSpace)
    points = {name: space.space.params(row.settings) for name, row in rows.items()}
    assert points["Base"] == {
        "weights": "scratch", "lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-5, "step_size": 20, "gamma": "0.1"
    }  # fmt: skip
    assert points["M3 convolutional"] == {
        "weights": "imagenet", "frozen": "classifier", "lr": 1e-2, "momentum": 0.9, "weight_decay": 5e-5,
        "step_size": 15, "gamma": "0.01",
    }  # fmt: skip
    # Another model and another number of epochs are no points of this space: ranked beside it, not run by it.
    assert {name for name, point in points.items() if point is None} == {"ResNet-50 Model 3", "Model 2"}
