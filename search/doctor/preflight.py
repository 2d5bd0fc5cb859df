"""What can be known before the first trial: that every model, data set, weights file and frozen prefix is there."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search.config import TrainConfig, make_config
from search.data import cache
from search.data.base import NoTestSplit, Split
from search.data.inputs import inputs
from search.data.reading import summary
from search.data.registry import opened
from search.errors import SearchError, first_line, switch
from search.files.arrays import heard
from search.files.mounts import network_type
from search.models import ImageSpec, build, check_name, image_spec
from search.models.weights import Loaded
from search.space.checks import place_of
from search.space.file import SpaceFile, load_space
from search.space.points import check_fixed, drawn
from search.space.space import SearchSpace
from search.study.data import KIND, Ready, check_limits, kind_of, weights_name
from search.train.dropout import set_dropout
from search.train.footprint import size_of
from search.train.freeze import batch_norm, freeze, steps, train_mode
from search.train.learner import BUILT
from search.train.trainer import forget

_LOADED = (*BUILT, "subset")
"""The settings that decide what a trial loads and builds."""


def _configs(space: SpaceFile, names: Collection[str] = _LOADED) -> Iterator[TrainConfig]:
    """Configs with all that the trials will load and build; of a define-by-run space, one drawn at random."""
    if isinstance(space.space, SearchSpace):
        yield from map(make_config, space.space.combinations(names))
        return
    settings = drawn(space, 1)[0].settings
    try:
        yield make_config(settings)
    except SearchError as error:
        raise SearchError(f"{space.path}: space(trial): {error}") from None


def ready(
    path: str | SearchSpace, overrides: Sequence[str], data_root: Path, progress: Callable[[str, int, int], None]
) -> Ready:
    """Check the space at `path`, or given itself, and decode its images; returns what the user should know.

    To be called before its first trial. `progress` is called as in `prepare`. Raises SearchError.
    """
    space, weights = load_space(path, overrides), dict[str, str]()
    notes = preflight(space, data_root, weights)
    sizes, said = measured(space, data_root)
    notes += said
    with heard(notes.append):
        data = prepare(space, data_root, progress)
    notes = [line for known in data.values() for line in known["said"]] + notes
    if any(not known["images"].get("test") for known in data.values()):
        notes.append(f"without a test split, nothing is evaluated in the end, as with {switch('sealed')}")
    kind = network_type(cache.cache_root())
    if kind:
        where = f"the image cache {cache.cache_root()} is on a network file system ({kind})"
        notes.append(f"{where}, and training reads from it: XDG_CACHE_HOME=DIR puts it on a local disk")
    return Ready(notes, data, weights, (), sizes)


def measured(space: SpaceFile, data_root: Path) -> tuple[dict[str, dict[str, float]], list[str]]:
    """What each kind of model takes of the costs that the space asks for, and lines for the user.

    A range is taken at its low end. Raises SearchError for limits that no option can meet.
    """
    sizes: dict[str, dict[str, float]] = {}
    if not space.costs or not isinstance(space.space, SearchSpace):
        return sizes, []
    for config in _configs(space, KIND):
        kind = kind_of(config.model_dump(mode="json"))
        if kind not in sizes:
            sizes[kind] = size_of(config, data_root, space.costs)
    said = check_limits(place_of(space.path, "limits"), sizes, space.limits)
    return sizes, [said] if said else []


def preflight(space: SpaceFile, data_root: Path, weights: dict[str, str] | None = None) -> list[str]:
    """Find every data set and build every model of `space` once, frozen and loaded as its trials will be.

    Returns lines on what each model sees, and what was read of its weights. Raises SearchError for the first that is
    not there. Trains nothing and creates nothing. `weights`: what tells weights from others is put there.
    """
    forget()
    check_fixed(space)
    if space.train is not None:
        return []
    seen, said, model, last = set(), dict[str, None](), None, None
    for config in _configs(space, (*_LOADED, "batch_size")):
        body = tuple(getattr(config, name) for name in BUILT if name != "frozen")
        key = (body, config.frozen, config.batch_size == 1)
        if key in seen:
            continue
        seen.add(key)
        model, last = model if body == last else None, body  # one at a time is kept
        try:
            lines, model = _build(config, data_root, {} if weights is None else weights, model)
            said |= dict.fromkeys(lines)
        except SearchError as error:
            raise SearchError(f"{space.path}: {error}") from None
    return list(said)


def _build(
    config: TrainConfig, data_root: Path, weights: dict[str, str], model: nn.Module | None = None
) -> tuple[list[str], nn.Module]:
    """Build the model of `config` and put a batch through it; what to say of its images and `weights`, put there.

    `model`: of a config that differs in what is frozen alone. Returns also the model.
    """
    check_name(config.model)
    spec = inputs(config.model, opened(config.dataset, data_root), config.image_side, config.weights)
    classes = 10
    if config.weights is not None or ".py:" in config.model:  # which knows the layer, or may know its classes
        with suppress(SearchError):  # a damaged data set, of which the decoding will say it
            classes = sizes(config.dataset, data_root)[0]
    loaded: list[Loaded] = []
    model = prepared(config, spec, classes, loaded.append, model)
    check_forward(config, spec, model, classes)
    weights |= {weights_name(config.model_dump()): read.digest for read in loaded}
    return [_seen(config, spec), *(read.said for read in loaded)], model


def _seen(config: TrainConfig, spec: ImageSpec) -> str:
    """What the model of `config` sees, and why."""
    own = image_spec(config.model, None, config.weights) is None
    why = "the data set's own size" if own else "as its weights were made for"
    why = "image_side" if config.image_side else f"{why}; image_side=N chooses another"
    return f"{config.model} sees {config.dataset} at {spec} ({why})"


def sizes(dataset: str, root: Path) -> tuple[int, int]:
    """Classes and training images of a data set. Raises SearchError if it is not there."""
    classes, items = opened(dataset, root).splits()
    split: Split = "train"
    return len(classes), len(items[split])


def ready_to_confirm(
    configs: Sequence[Mapping[str, Any]], data_root: Path, progress: Callable[[str, int, int], None] | None
) -> Ready:
    """Check the configs before they are trained and decode their images, the test split's among them.

    `progress` is called as in `prepare`. Raises SearchError for a broken image.
    """
    forget()
    found, notes, data, weights = list[str](), list[str](), dict[str, dict[str, Any]](), dict[str, str]()
    for config in map(make_config, map(dict, configs)):
        try:
            _build(config, data_root, weights)
        except SearchError as error:
            found.append(str(error))
            continue
        found.append("")
        with heard(notes.append):
            try:
                data |= decode([config], ("train", "val", "test"), data_root, progress)
            except NoTestSplit:
                data |= decode([config], ("train", "val"), data_root, progress)
    return Ready(notes, data, weights, found, {})


def prepared(
    config: TrainConfig, spec: ImageSpec, classes: int,
    read: Callable[[Loaded], None] | None = None, model: nn.Module | None = None,
) -> nn.Module:  # fmt: skip
    """The model of `config` for images of `spec`, frozen as the config says. Raises SearchError.

    Without weights no value matters, and the meta device builds the largest in no time. `read`: called with what was
    read of them. `model`: of a config that differs in what is frozen alone; it is frozen anew.
    """
    make = partial(build, config.model, classes, len(spec.channels), config.weights, spec.crop, config.hidden, read)
    if model is None and config.weights is None:
        with suppress(NotImplementedError), torch.device("meta"):  # RegNet reads the widths it computes: not on meta
            model = make()
    if model is None:
        model = make()
    freeze(model, config.frozen)
    set_dropout(model, config)
    steps(config.batch_size + 2, config.batch_size, batch_norm(model, config.frozen))
    return model


def prepare(space: SpaceFile, data_root: Path, progress: Callable[[str, int, int], None]) -> dict[str, dict[str, Any]]:
    """Decode the images that the trials will see, once, before any worker starts; the test split stays sealed.

    `progress` is called with the data set, how many images are done, and of how many. Returns what tells each data set
    from others, as a study keeps it.
    """
    if space.train is not None:
        return {}
    return decode(list(_configs(space)), ("train", "val"), data_root, progress)


def decode(
    configs: Sequence[TrainConfig],
    splits: tuple[Split, ...],
    data_root: Path,
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, dict[str, Any]]:
    """Decode what training on the `configs` reads of the `splits`; what `prepare` returns. Raises SearchError."""
    data = {}
    seen = {(config.model, config.dataset, config.image_side, config.weights): None for config in configs}
    for model, dataset, side, weights in seen:
        source = opened(dataset, data_root)
        follow = partial(progress, dataset) if progress is not None else None
        read = dict(zip(splits, cache.load(source, inputs(model, source, side, weights), splits, follow), strict=True))
        train = read["train"]
        if dataset not in data:
            data[dataset] = train.identity.to_json() | {"said": summary.lines(dataset, source, read)}
        for subset in {c.subset for c in configs if c.dataset == dataset and c.subset is not None}:
            cache.check_subset(train, subset)
    return data


LARGE = 30_000_000
"""Parameters from which on the meta device is quicker, whose first use imports a second and a half of torch."""


def check_forward(
    config: TrainConfig, spec: ImageSpec, model: nn.Module, classes: int = 10, images: int | None = None
) -> None:
    """Raise SearchError unless the model of `config`, in training mode, takes a batch of images of `spec`.

    `model`: what `prepared` made of both, whose values may change. `images`: of an epoch, whose smallest batch is
    tried; None: two images, or `batch_size` if that is one. A LARGE model runs on the meta device, which has shapes
    alone; one that cannot be built or fails there, on the CPU.
    """

    def made() -> nn.Module:
        net = build(config.model, classes, len(spec.channels), None, spec.crop, config.hidden)
        freeze(net, config.frozen)
        set_dropout(net, config)
        return net

    def forward(net: nn.Module) -> None:
        train_mode(net, config.frozen)
        _forward(config.model, net, shape, classes)

    shape = (_smallest(model, config, images), len(spec.channels), *spec.crop)
    on_meta = any(parameter.is_meta for parameter in model.parameters())
    with torch.random.fork_rng(devices=[]):
        if sum(parameter.numel() for parameter in model.parameters()) >= LARGE:
            with suppress(Exception), torch.device("meta"):
                forward(model if on_meta else made())
                return
        net = made() if on_meta else model
        try:
            forward(net)
        except SearchError:
            raise
        except Exception as error:  # torch's, or the user's own code
            alone = "the last batch of an epoch has one image: " if shape[0] == 1 else ""
            size = f"{spec.crop[0]} x {spec.crop[1]} px"
            other = "; image_side chooses another size" if isinstance(error, RuntimeError) else ""
            said = f"{config.model} cannot take images of {size}: {_at(config.model, error)}"
            raise SearchError(f"{alone}{said}{type(error).__name__}: {first_line(error)}{other}") from None


def _at(model: str, error: Exception) -> str:
    """The line of the user's own `model` that raised `error`, before a message; empty if none of its file did."""
    file = model.rpartition(":")[0]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"line {lines[-1]}: " if file and lines else ""


def _smallest(net: nn.Module, config: TrainConfig, images: int | None) -> int:
    """The images of the smallest batch, at most 2."""
    count = config.batch_size + 2 if images is None else images
    taken = steps(count, config.batch_size, batch_norm(net, config.frozen))
    return min(count - (taken - 1) * config.batch_size, 2)


def _forward(model: str, net: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """Raise SearchError if the outputs are no floats of (B, classes), and whatever the model raises."""
    parameter = next(iter(net.parameters()))
    out: Any = net(torch.zeros(shape, device=parameter.device))
    if not isinstance(out, torch.Tensor):
        raise SearchError(f"{model}: its outputs are a {type(out).__name__}; one tensor of a score a class is needed")
    if not out.is_floating_point():
        raise SearchError(f"{model}: its outputs are {out.dtype}; scores that can be trained are floating-point")
    if tuple(out.shape) != (shape[0], classes):
        needed = f"{(shape[0], classes)} is needed, (images, classes)"
        raise SearchError(f"{model}: its outputs have the shape {tuple(out.shape)}; {needed}")
    if not out.requires_grad:
        raise SearchError(f"{model}: its outputs have no gradient, so that nothing can be trained: do not detach them")
