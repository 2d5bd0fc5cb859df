from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.config import TrainConfig
from search.data.registry import open_source
from search.doctor.case import Case
from search.doctor.images import check
from search.train.device import resolve_runtime


def case(dataset: str, augment: str = "none") -> Case:
    config = TrainConfig(
        model="cnn",
        dataset=dataset,
        epochs=1,
        lr=0.05,
        step_size=1,
        gamma=1.0,
        augment=augment,  # type: ignore[arg-type] # a name
    )
    source = open_source(dataset, Path("data"))
    return Case(config, source, Path("data").resolve(), resolve_runtime("fp32", "cpu"), Path("pictures"))


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_a_grid_of_pictures_is_written(augment: str) -> None:
    found = check(case("digits", augment))
    assert found.status == "ok"
    assert found.seen == "24 training images of 8 x 8 px with their labels, for you to look at: pictures/images.png"
    picture = np.asarray(Image.open("pictures/images.png").convert("L"))
    assert picture.shape == (720, 960)
    assert 0.2 < (picture < 60).mean() < 0.8  # the digits' black ground, and white about it
    assert [path.name for path in Path("pictures").iterdir()] == ["images.png"]


def test_pictures_of_one_colour_are_named() -> None:
    for label in ("a$b", "c"):
        Path(f"data/own/{label}").mkdir(parents=True)
        for i in range(9):
            Image.new("RGB", (70, 70), (i * 20, 0, 0)).save(f"data/own/{label}/{i}.png")
    found = check(case("imagefolder:own"))
    assert found.status == "warn"
    assert "training images are of one colour" in found.seen


@pytest.mark.filterwarnings("always")
def test_a_class_name_that_the_font_has_not_is_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    for label in ("猫", "犬"):
        Path(f"data/own/{label}").mkdir(parents=True)
        for i in range(9):
            Image.new("RGB", (70, 70), (i * 20, 90, 0)).save(f"data/own/{label}/{i}.png")
    check(case("imagefolder:own"))
    assert [str(item.message) for item in recwarn if "Glyph" in str(item.message)] == []
