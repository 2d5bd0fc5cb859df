"""A trained model in a file."""

from __future__ import annotations

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from search.config import TrainConfig
from search.errors import SearchError
from search.files.locations import Where, fetched, write


def save(model: nn.Module, config: TrainConfig, path: Where) -> None:
    """Write the model's weights as safetensors, with the config as JSON in the metadata; whole or not at all.

    The model stays where it is. Raises OSError.
    """
    metadata = {"config": config.model_dump_json()}
    try:
        write(path, lambda part: save_model(model, str(part), metadata))
    except SafetensorError as error:  # of a full disk, too
        raise OSError(f"{path}: {error}") from None


def load(model: nn.Module, config: TrainConfig, path: Where) -> None:
    """Put the weights that `save` wrote to `path` into `model`, built for `config`.

    Raises SearchError if they are not there, cannot be read, or are another config's.
    """
    try:
        with fetched(path) as here:
            with safe_open(here, "pt") as file:
                of = (file.metadata() or {}).get("config", "")
            if of != config.model_dump_json():
                raise SearchError(f"{path}: the weights of another config")
            load_model(model, here)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise SearchError(f"{path}: the weights cannot be read: {str(error).splitlines()[0]}") from None
