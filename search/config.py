"""One point of a space (TrainConfig) and one measurement of it (Epoch)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from search.entry_points import METRICS, SCHEDULES
from search.errors import SearchError

CACHE_SIZE = 20 * 2**30
"""Bytes of disk that the activations of frozen layers may take, unless told otherwise."""
MAX_EPOCHS = 2**31 - 1
"""What an epoch's number may be in every storage: PostgreSQL keeps it in 32 bits."""

COSTS = {"mb": "megabytes", "latency_ms": "latency_ms"}
"""What a model takes, less of which is better: an objective's or a limit's name to that of `search.train.footprint`."""

if TYPE_CHECKING:
    ScheduleName = str
else:
    ScheduleName = Literal[tuple(SCHEDULES)]
SCHEDULE_NEEDS = {"step": ("step_size", "gamma")}
"""The settings that a schedule needs and that have no default; a schedule without such settings has no entry."""


class TrainConfig(BaseModel):
    """Everything that determines a training run, but for the machine it runs on.

    Two runs of one config with the same device, precision, threads and versions give the same numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    model: str = Field(description="a name of search.models, such as alexnet")
    dataset: str = Field(description="a name in search/data/registry.py, such as caltech101, or imagefolder:PATH")
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = Field(
        (512, 64, 512), description="widths of mlp's hidden layers; a narrow one between wide ones is a bottleneck"
    )
    subset: int | None = Field(
        None, ge=1, description="training images to use, class by class in proportion; None: all of the split"
    )
    image_side: int | None = Field(
        None,
        ge=8,
        le=1024,
        description="pixels of the whole square image that the model sees; None: as its weights did, or the data set's",
    )
    weights: str | None = Field(None, description="None: from scratch; DEFAULT: the publisher's; or a file")
    epochs: int = Field(ge=1, le=MAX_EPOCHS, description="passes over the training split")
    batch_size: int = Field(64, ge=1, description="images a step")
    optimizer: Literal["sgd", "adamw", "adam"] = Field("sgd", description="sgd, adamw or adam (betas 0.9 and 0.999)")
    lr: float = Field(gt=0, description="learning rate that the schedule starts from or rises to")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    nesterov: bool = Field(False, description="Nesterov's momentum, of SGD")
    weight_decay: float = Field(
        0.0, ge=0, description="L2 penalty, as sgd and adam add it to the gradient; of adamw decoupled from it"
    )
    decay_norms_and_biases: bool = Field(True, description="False: no weight decay on biases and norms")
    schedule: ScheduleName = Field("step", description=f"of the learning rate: {', '.join(SCHEDULES)}")
    step_size: int | None = Field(None, ge=1, description="epochs between two decays of the learning rate (step)")
    gamma: float | None = Field(None, gt=0, le=1, description="factor of the learning rate at each decay (step)")
    warmup_epochs: float = Field(
        0.0, ge=0, description="epochs of linear rise to lr; of one_cycle and slanted_triangular, of their own rise"
    )
    layer_decay: float = Field(
        1.0, ge=1, le=100, description="the learning rate is divided by it from each layer group to the one below"
    )
    frozen: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="prefixes of module names whose parameters do not train"
    )
    gradual_unfreeze: bool = Field(
        False, description="train the top layer group in the first epoch, and one more from each epoch to the next"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="probability, in every dropout layer; None: the model's"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="fraction of each label spread over all classes")
    class_weights: Literal["none", "balanced", "effective"] = Field(
        "none",
        description="what an image counts in the loss: 1, 1 / images of its class, or 1 / their effective number",
    )
    sampler: Literal["shuffled", "balanced"] = Field(
        "shuffled", description="an epoch's images: each once, or as many drawn, every class as often as the others"
    )
    focal_gamma: float = Field(0.0, ge=0, le=10, description="of the focal loss: how little sure images count; 0: off")
    mixup: float = Field(0.0, ge=0, description="alpha of the Beta distribution of the mixing weight; 0: off")
    cutmix: float = Field(0.0, ge=0, description="alpha of the Beta distribution of the kept area; 0: off")
    augment: Literal["none", "flip", "crop_flip", "randaugment", "trivialaugment"] = Field(
        "none", description="of training images: none, flip, crop_flip, or that and randaugment or trivialaugment"
    )
    cached_views: int | None = Field(
        None,
        ge=1,
        description="random views of each training image that frozen layers see, drawn once; None: a new one each time",
    )
    grad_clip: float | None = Field(None, gt=0, description="largest L2 norm of the whole gradient; None: any")
    ema: float = Field(
        0.0, ge=0, lt=1, description="decay a step of an average of the weights, which is what is evaluated; 0: off"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 autocast where the device is faster in it, else fp32; fp16: CUDA only"
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="of initial weights, dropout, the order of the images and their augmentation"
    )

    @model_validator(mode="after")
    def _step_is_whole(self) -> TrainConfig:
        for name in missing_settings(dict(self)):
            raise PydanticCustomError("needed", "{text}", {"text": is_missing(name)})
        return self


class Epoch(BaseModel):
    """What one epoch measured; a metric of `entry_points.METRICS` without a field here is an attribute, too."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float]

    epoch: int = Field(description="counted from 1")
    train_loss: float = Field(description="mean loss of the epoch's training images as trained on, in nats")
    train_acc: float = Field(
        description="top-1 accuracy on the epoch's training images as trained on, before each step, a fraction"
    )
    last_step_loss: float = Field(description="mean loss of the epoch's last batch as trained on, in nats")
    val_loss: float = Field(description="mean cross-entropy of the validation split, in nats")
    val_acc: float = Field(description="top-1 accuracy on the validation split, a fraction")
    lr: float = Field(description="learning rate of the top layer group that trains, at the epoch's first step")
    seconds: float = Field(description="wall seconds of training and validation")
    rates: dict[str, float] = Field(
        {}, exclude=True, repr=False, description="learning rate of each layer group that trains, if there are several"
    )
    val_images: int | None = Field(
        None, exclude=True, repr=False, description="of the last epoch: how many validation images were measured"
    )
    data: str | None = Field(None, exclude=True, repr=False, description="the fingerprint of the data set")
    weights: str | None = Field(
        None, exclude=True, repr=False, description="what tells the weights that it began with from others"
    )
    predictions: bytes | None = Field(
        None,
        exclude=True,
        repr=False,
        description="of the last epoch: what was predicted for each, as search.predictions packs it",
    )
    about: dict[str, Any] | None = Field(
        None,
        exclude=True,
        repr=False,
        description="of the last epoch: what belongs to the trained model, its classes, input and data",
    )
    footprint: dict[str, float | None] | None = Field(
        None, exclude=True, repr=False, description="of the first epoch: what the model takes (search.train.footprint)"
    )

    @model_validator(mode="after")
    def _is_measured(self) -> Epoch:
        if unknown := (self.model_extra or {}).keys() - METRICS.keys():
            raise ValueError(f"not measured: {', '.join(unknown)}")
        return self

    @classmethod
    def measures(cls) -> set[str]:
        """The names of what a trial records of an epoch, each of which a space may search for."""
        return {name for name, field in cls.model_fields.items() if not field.exclude} | METRICS.keys()


def epochs_of(settings: Mapping[str, Any]) -> int | None:
    """The setting `epochs`; None: there is none, or it is no number of epochs."""
    epochs = settings.get("epochs")
    if not isinstance(epochs, (int, float)) or isinstance(epochs, bool):
        return None
    return int(epochs) if 1 <= epochs < math.inf else None


def is_validation_accuracy(metric: str) -> bool:
    """Whether the metric is the share of the validation images named right, so that two trials differ by images."""
    return metric == "val_acc"


FIRST_FIELDS = {"model", "dataset", "weights", "epochs", "batch_size", "lr", "momentum", "weight_decay"} | {
    *("step_size", "gamma", "frozen", "precision", "seed")
}
"""What TrainConfig began with. A config kept then has no others, and the defaults of the others mean what it did."""


def is_train_config(settings: Mapping[str, Any]) -> bool:
    """Whether `settings` are a TrainConfig's, of today or of the first version, and not of a user's own train."""
    return FIRST_FIELDS <= set(settings) <= set(TrainConfig.model_fields)


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` and, where they say nothing, the fields' defaults; so a trial of an older version stays readable."""
    fields = TrainConfig.model_fields.items()
    known = [(name, field) for name, field in fields if name in settings or not field.is_required()]
    return {name: settings.get(name, field.default) for name, field in known}


def missing_settings(settings: Mapping[str, Any]) -> list[str]:
    """The settings that are needed and not there, those that the schedule needs among them."""
    needs = SCHEDULE_NEEDS.get(settings.get("schedule", "step"), ())
    return [
        name
        for name, field in TrainConfig.model_fields.items()
        if (field.is_required() or name in needs) and settings.get(name) is None
    ]


def is_missing(name: str) -> str:
    """What to say of a setting that is not there, with the way out."""
    said = f"the setting {name!r} is missing ({TrainConfig.model_fields[name].description})"
    needing = [schedule for schedule, needs in SCHEDULE_NEEDS.items() if name in needs]
    if not needing:
        return said
    other = next(schedule for schedule in SCHEDULES if schedule not in SCHEDULE_NEEDS)
    return f"{said}: schedule={needing[0]!r} needs it, and another, such as schedule={other!r}, does not"


def make_config(settings: dict[str, Any]) -> TrainConfig:
    """Build a TrainConfig, or raise SearchError with one line that names the setting."""
    try:
        return TrainConfig(**settings)
    except ValidationError as error:
        raise SearchError(explain(error)) from None


def is_config(text: Any, config: TrainConfig) -> bool:
    """Whether `text`, JSON that this or an older version wrote, is `config`: settings that it lacks have defaults."""
    try:
        return TrainConfig.model_validate_json(text, strict=False) == config
    except ValidationError:
        return False


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
    if first["type"] == "needed":
        return str(first["msg"])
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{name}={first['input']!r}: {message}"
