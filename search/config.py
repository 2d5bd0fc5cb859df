"""One point of a space (TrainConfig) and one measurement of it (Epoch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from search.errors import SearchError


class TrainConfig(BaseModel):
    """Everything that determines a training run, but for the machine it runs on.

    Two runs of one config with the same device, precision, threads and versions give the same numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    model: str = Field(description="a name of search.models, such as alexnet")
    dataset: str = Field(description="a name of search.data.datasets, such as caltech101")
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = Field(
        (512, 64, 512), description="widths of mlp's hidden layers; a narrow one between wide ones is a bottleneck"
    )
    subset: int | None = Field(
        None, ge=1, description="training images to use, class by class in proportion; None: all of the split"
    )
    weights: str | None = Field(None, description="None: from scratch; DEFAULT: the publisher's; or a file")
    epochs: int = Field(ge=1, description="passes over the training split")
    batch_size: int = Field(64, ge=1, description="images a step")
    lr: float = Field(gt=0, description="learning rate of the first epoch")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty, as SGD adds it to the gradient")
    step_size: int = Field(ge=1, description="epochs between two decays of the learning rate")
    gamma: float = Field(gt=0, le=1, description="factor of the learning rate at each decay")
    frozen: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="prefixes of module names whose parameters do not train"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where the device has bf16 arithmetic, else fp32"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of initial weights, dropout and the order of the images")


class Epoch(BaseModel):
    """What one epoch measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int = Field(description="counted from 1")
    train_loss: float = Field(description="mean cross-entropy of the epoch's training images, in nats")
    last_step_loss: float = Field(description="mean cross-entropy of the epoch's last batch, in nats")
    val_loss: float = Field(description="mean cross-entropy of the validation split, in nats")
    val_acc: float = Field(description="top-1 accuracy on the validation split, a fraction")
    lr: float = Field(description="learning rate during the epoch")
    seconds: float = Field(description="wall seconds of training and validation")


def is_train_config(settings: Mapping[str, Any]) -> bool:
    """Whether `settings` are a whole TrainConfig's, and not of a train() of the user's own."""
    return set(settings) == set(TrainConfig.model_fields)


def make_config(settings: dict[str, Any]) -> TrainConfig:
    """Build a TrainConfig, or raise SearchError with one line that names the setting."""
    try:
        return TrainConfig(**settings)
    except ValidationError as error:
        raise SearchError(explain(error)) from None


def check_value(name: str, value: Any) -> None:
    """Raise SearchError if the field `name` of TrainConfig does not take `value`."""
    field = TrainConfig.model_fields[name]
    annotated: Any = Annotated[field.annotation, field]
    adapter: TypeAdapter[Any] = TypeAdapter(annotated, config=ConfigDict(strict=True, allow_inf_nan=False))
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        raise SearchError(explain(error, name)) from None


def explain(error: ValidationError, field: str = "") -> str:
    """One line for the first thing pydantic found wrong, for example ``lr=-1: input should be greater than 0``."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in ([field] if field else []) + list(first["loc"]))
    if first["type"] == "missing":
        return f"the setting {name!r} is missing"
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name!r}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{name}={first['input']!r}: {message}"
