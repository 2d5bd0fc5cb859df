"""What the file of a trained model says of itself: its classes, how a picture becomes its image, its config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from search.config import TrainConfig, make_config
from search.errors import SearchError, first_line, option, visible
from search.models.images import ImageSpec, read_spec

ONNX, SAFETENSORS = ".onnx", ".safetensors"
_PRINTS = ("data", "test", "weights")
_NAMES = ("classes", "input", *_PRINTS, "config")


class About(NamedTuple):
    """The metadata of a trained model.

    `classes`: in the order of its outputs; `spec`: the images that it takes; `prints`: the fingerprints of the `data`
    set, of its `test` split and of the `weights` that the training began with, as far as the file has them; `config`:
    what it was trained with.
    """

    classes: tuple[str, ...]
    spec: ImageSpec
    prints: dict[str, Any]
    config: TrainConfig

    @property
    def data(self) -> str:
        """The fingerprint of the data set that it was trained on, empty if the file does not say."""
        return str(self.prints.get("data", ""))

    @classmethod
    def of(cls, path: Path, metadata: Mapping[str, str]) -> About:
        """What the `metadata` of the file at `path` say. Raises SearchError if they are not this project's."""
        try:
            about: dict[str, Any] = {name: json.loads(metadata[name]) for name in _NAMES if name in metadata}
            config = make_config(about["config"])
        except (KeyError, ValueError, TypeError, SearchError) as error:
            raise _no_model(path, "it has no config" if isinstance(error, KeyError) else first_line(error)) from None
        if not {"classes", "input"} <= about.keys():
            raise SearchError(f"{visible(str(path))}: an older version wrote it, without its classes; train it again")
        try:
            spec = read_spec(about["input"])
        except (KeyError, ValueError, TypeError) as error:
            raise _no_model(path, f"its input is {type(error).__name__}: {first_line(error)}") from None
        classes = about["classes"]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or not classes:
            raise _no_model(path, "its classes are no names")
        prints = {name: about[name] for name in _PRINTS if name in about}
        return cls(tuple(classes), spec, prints, config)


def read_about(path: Path) -> About:
    """What the safetensors at `path` says of itself. Raises SearchError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _no_model(path, first_line(error)) from None
    return About.of(path, metadata)


def _no_model(path: Path, why: str) -> SearchError:
    return SearchError(
        f"{visible(str(path))}: no model of `search train` or `search export`: {why}; "
        f"`search export` writes one ({option('model', 'DIR')})"
    )
