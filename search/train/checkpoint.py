"""A trained model on disk."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_model
from torch import nn

from search.config import TrainConfig
from search.files import write_whole


def save(model: nn.Module, config: TrainConfig, path: Path) -> None:
    """Write the model's weights as safetensors, with the config as JSON in the metadata; whole or not at all."""
    metadata = {"config": config.model_dump_json()}
    write_whole(path, lambda part: save_model(model.cpu(), str(part), metadata))
