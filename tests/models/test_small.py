"""Small models that take a data set's own images."""

from __future__ import annotations

import pytest
import torch

from search import models


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 64])
def test_the_small_cnn_takes_grey_and_coloured_images_of_any_size(channels: int, size: int) -> None:
    assert models.build("cnn", 10, channels)(torch.zeros(2, channels, size, size)).shape == (2, 10)
