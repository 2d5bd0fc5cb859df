"""A trained model in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from search.config import TrainConfig, is_config
from search.errors import SearchError
from search.files.locations import Where, fetched, write
from search.models.images import read_spec

if TYPE_CHECKING:
    from search.train.batches import Data


def save(model: nn.Module, config: TrainConfig, path: Where, about: Mapping[str, Any] | None = None) -> None:
    """Write the model's weights as safetensors, whole or not at all.

    The metadata have, as JSON, the config and what else belongs to the model, of which `Epoch.about` is made: the
    `classes` in the order of its outputs, the `input`, which is how a picture becomes its image, and the fingerprint
    of the `data`, of its `test` split, and of the `weights` that it began with. The model stays where it is. Raises
    OSError.
    """
    metadata = {name: json.dumps(value) for name, value in (about or {}).items()} | {"config": config.model_dump_json()}
    try:
        write(path, lambda part: save_model(model, str(part), metadata))
    except SafetensorError as error:  # of a full disk, too
        raise OSError(f"{path}: {error}") from None


def load(model: nn.Module, config: TrainConfig, path: Where, data: Data | None = None) -> None:
    """Put the weights that `save` wrote to `path` into `model`, built for `config`.

    Raises SearchError if they are not there, cannot be read, are another config's, or were trained on other classes or
    other images than those of `data`.
    """
    try:
        with fetched(path) as here:
            with safe_open(here, "pt") as file:
                about = file.metadata() or {}
            if not is_config(about.get("config", ""), config):
                raise SearchError(f"{path}: the weights of another config")
            if data is not None:
                _check(path, about, data)
            load_model(model, here)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise SearchError(f"{path}: the weights cannot be read: {str(error).splitlines()[0]}") from None


def _check(path: Where, about: Mapping[str, str], data: Data) -> None:
    """Raise SearchError unless the file was trained on the classes and the images that `data` has now.

    A file of an older version has no note of them: there, every picture was resized bilinearly about its centre.
    """
    if "classes" not in about:
        if (data.spec.interpolation, data.spec.fit) != ("bilinear", "center"):
            raise SearchError(f"{path}: trained by an older version on images resized otherwise; train it again")
        return
    classes, spec = json.loads(about["classes"]), read_spec(json.loads(about["input"]))
    if classes != list(data.classes):
        other = next((f"{a!r} there, {b!r} here" for a, b in zip(classes, data.classes, strict=False) if a != b), "")
        counts = f"{len(classes)} there, {len(data.classes)} here"
        raise SearchError(f"{path}: trained on other classes than the data set has now: {other or counts}")
    if spec != data.spec:
        raise SearchError(f"{path}: trained on other images: {spec} there, {data.spec} here")
    if "data" in about and json.loads(about["data"]) != data.identity.fingerprint:
        raise SearchError(f"{path}: trained on other data than the data set has now")
    if "test" in about and data.identity.test not in ("", json.loads(about["test"])):
        raise SearchError(f"{path}: the pictures of the test split are others than when it was trained")
