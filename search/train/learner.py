"""A model in training: all that one step needs, and the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from search.config import CACHE_SIZE, TrainConfig
from search.data.augment import Mix, exact_views, make_augment
from search.data.uneven import SAMPLERS, class_weights
from search.models import build
from search.models.weights import Loaded
from search.train.batches import Batches, Data, activations
from search.train.device import Runtime
from search.train.dropout import set_dropout, toss_coins
from search.train.freeze import batch_norm, freeze, layer_groups, steps, train_mode
from search.train.frozen.prefix import Cut, NoPrefix, cut
from search.train.optimizers import make_optimizer
from search.train.ranks import ALONE, Ranks
from search.train.schedules import Schedule

BUILT = ("model", "dataset", "hidden", "image_side", "weights", "frozen", "dropout")
"""The settings that decide what model is built."""
BODY = (*BUILT, "subset", "seed", "precision", "augment", "cached_views", "mixup", "cutmix")
"""The settings that a Learner is made for: for another trial that shares them it only starts again."""


def focal(logits: Tensor, y: Tensor, gamma: float, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """The mean over a batch of -w (1 - p)^gamma log p of the true class; p: its probability, w: its weight.

    Lin et al., arXiv 1708.02002, equation 5. `logits`: (B, K); `y`: labels (B,), or the share of each class (B, K),
    over which the loss is summed then, as with label smoothing. With gamma 0 it is the weighted cross-entropy.
    """
    log_p = logits.float().log_softmax(1)
    count = logits.shape[1]
    shares = F.one_hot(y, count).to(log_p.dtype) if y.ndim == 1 else y.to(log_p.dtype)
    shares = shares * (1 - smoothing) + smoothing / count
    terms = shares * (-log_p if not gamma else -((1 - log_p.exp()).clamp(min=0) ** gamma) * log_p)
    return (terms if weights is None else terms * weights).sum(1).mean()


class Learner:
    """A model in training on `data`.

    `net` is what a step calls: the model, or, after `cache_prefix`, what follows its frozen prefix. With several
    `ranks`, each process has a learner, and all of them take each step together.
    """

    def __init__(self, config: TrainConfig, data: Data, runtime: Runtime, ranks: Ranks = ALONE) -> None:
        self.data: Batches = data
        self._images, self.runtime, self.ranks = data, runtime, ranks
        torch.manual_seed(config.seed)
        self.weights = ""
        """What tells the weights that the model was built with from others; nothing if it was built without."""
        built = (len(data.classes), data.channels, config.weights, data.size, config.hidden)
        self.model = build(config.model, *built, self._note)
        freeze(self.model, config.frozen)
        set_dropout(self.model, config)
        toss_coins(self.model)
        self.model.to(runtime.device).to(memory_format=runtime.memory_format)
        frozen = {name for name, parameter in self.model.named_parameters() if not parameter.requires_grad}
        state = self.model.state_dict()
        self._initial = {name: value.clone() for name, value in state.items() if name not in frozen}
        self._random = torch.get_rng_state()
        self._cut: Cut | None = None
        self._prepare(config)

    def _note(self, read: Loaded) -> None:
        self.weights = read.digest

    def restart(self, config: TrainConfig) -> None:
        """Begin another trial, whose config differs in none of BODY: as if this learner were new."""
        with torch.no_grad():
            state = self.model.state_dict()
            for name, value in self._initial.items():
                state[name].copy_(value)
        self.model.zero_grad(set_to_none=True)
        self._prepare(config)

    def _prepare(self, config: TrainConfig) -> None:
        self.config = config
        freeze(self.model, config.frozen)
        torch.manual_seed(config.seed)  # a GPU's dropout, too
        torch.set_rng_state(self._random)
        self._groups = layer_groups(self.model) if config.gradual_unfreeze else []
        self.optimizer = make_optimizer(self.model, config)
        norm = batch_norm(self.model, config.frozen)
        self.least = 2 if norm else 1
        """The fewest images that a rank can train on."""
        self.steps = steps(len(self.data), config.batch_size, norm)
        self.schedule = Schedule(self.optimizer, config, self.steps)
        self._scaler = GradScaler(self.runtime.device, enabled=self.runtime.precision == "fp16")
        self._blend = get_ema_multi_avg_fn(config.ema)
        self._average = AveragedModel(self.model, multi_avg_fn=self._blend) if config.ema else None
        self.order = torch.Generator().manual_seed(config.seed)
        self._noise = noise = torch.Generator().manual_seed(config.seed)
        self._augment = make_augment(config.augment, noise)
        mixes = config.mixup or config.cutmix
        self._mix = Mix(config.mixup, config.cutmix, len(self._images.classes), noise) if mixes else None
        weights = class_weights(config.class_weights, self._images.labels, len(self._images.classes))
        self._weights = None if weights is None else weights.to(self.runtime.device)
        self._right: list[Tensor] = []
        self._set_nets()

    def _set_nets(self) -> None:
        self.net: nn.Module = self._cut.rest if self._cut else self.model
        self._parallel, self._trained = self.net, list[bool]()
        self.judged = self.result
        """What is evaluated on the batches that `cache_prefix` returns, or on images if it was not called."""
        if self._cut:
            self.judged = self._rest_of(self.result) if self._average else self._cut.rest

    def _rest_of(self, model: nn.Module) -> nn.Module:
        train_mode(model, self.config.frozen)
        return cut(model, self.image()).rest

    def image(self) -> Tensor:
        """One image as the whole model sees it: (1, C, H, W)."""
        return self._images.batch(torch.arange(1), self.runtime.memory_format)[0]

    @property
    def about(self) -> dict[str, Any]:
        """What belongs to the trained model beside its config, as JSON takes it."""
        images = self._images
        known = {"data": images.identity.fingerprint, "test": images.identity.test, "weights": self.weights}
        about = {"classes": list(images.classes), "input": images.spec.about()}
        return about | {name: digest for name, digest in known.items() if digest}

    def cache_prefix(self, val: Data, budget: int = CACHE_SIZE) -> Batches:
        """Train from now on on what the frozen layers make of the images, computed once; `val` through them, too.

        `budget`: bytes of disk for that. Raises NoPrefix or NoRoom, and changes nothing, where that cannot be.
        """
        config = self.config
        views = exact_views(config.augment) or config.cached_views
        if config.mixup or config.cutmix:
            raise NoPrefix("mixup and cutmix change the images at random")
        if views is None:
            raise NoPrefix(f"augment={config.augment} changes the images at random; cached_views=K draws K views once")
        train_mode(self.model, config.frozen)
        parts = cut(self.model, self.image())
        how = (self.runtime, config.augment, views, config.seed, budget)
        data = activations(parts, self._images, *how)
        seen = activations(parts, val, self.runtime, "none", 1, 0, budget)
        self.data, self._cut = data, parts
        self._set_nets()
        return seen

    def begin(self, number: int) -> float:
        """Make ready for the epoch `number`, counted from 1; the learning rate of its first step, of the top group."""
        held = self._groups[:-number]  # of no groups, none
        frozen = (*self.config.frozen, *(prefix for group in held for prefix in group))
        freeze(self.model, frozen)
        self.net.train()
        train_mode(self.model, frozen)
        self._right.clear()
        self.ranks.reseed(self.config.seed, number)
        trained = [parameter.requires_grad for parameter in self.model.parameters()]
        if trained != self._trained:
            self._parallel, self._trained = self.ranks.parallel(self.net), trained
        return float(self.optimizer.param_groups[-1]["lr"])

    def batches(self, order: Tensor) -> Sequence[Tensor]:
        """The images of an epoch, (N,), as those of each step; with batch normalisation the last may be one more."""
        size = self.config.batch_size
        return order.tensor_split([size * step for step in range(1, self.steps)])

    def step(self, index: Tensor) -> Tensor:
        """One optimizer step on the images `index` (B,); their mean loss, a scalar on the device.

        Of several ranks each returns its share of that, and the sum of these is the mean.
        """
        config = self.config
        x, y, factor = self._batch(index)
        with self.runtime.autocast():
            logits = self._parallel(x)
            loss = self._loss(logits, y)
        if factor:
            self._right.append(logits.argmax(1) == (y if y.ndim == 1 else y.argmax(1)))
        if self.ranks.count > 1:
            loss = loss * factor
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if config.grad_clip is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.schedule.after_step()
        if self._average is not None:
            self._follow(self._average)
        return loss.detach() / self.ranks.count if self.ranks.count > 1 else loss.detach()

    def _batch(self, index: Tensor) -> tuple[Tensor, Tensor, float]:
        """What this rank trains on of the images `index` (B,), their labels, and the factor of their mean loss.

        What is drawn at random is drawn for the whole batch, so that an image is changed and mixed as on one rank.
        """
        rows, factor = self.ranks.share(len(index), self.least)
        drawn = self.ranks.count > 1 and (self._augment is not None or self._mix is not None)
        index = index if drawn or self.ranks.count == 1 else index[rows]
        x, y = self.data.batch(index, self.runtime.memory_format, self._augment)
        if self._mix is not None:
            x, y = self._mix(x, y)
        return (x[rows], y[rows], factor) if drawn else (x, y, factor)

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss of a batch; `y`: labels (B,), or the share of each class (B, classes)."""
        config = self.config
        if self._weights is None and not config.focal_gamma:
            return F.cross_entropy(logits, y, label_smoothing=config.label_smoothing)
        return focal(logits, y, config.focal_gamma, config.label_smoothing, self._weights)

    def draw(self) -> Tensor:
        """The images of the next epoch in their order: (N,), where the images are."""
        drawn = SAMPLERS[self.config.sampler](self.data.labels, len(self._images.classes), self.order)
        return drawn.to(self.data.home)  # once: every copy takes a wait

    def accuracy(self) -> float:
        """Share of the images since `begin` named right, each before its step; a mixed one as its larger part."""
        right = torch.cat(self._right) if self._right else self.data.labels[:0]
        counts = torch.stack([right.sum(dtype=torch.float64), right.new_tensor(len(right), dtype=torch.float64)])
        named, seen = self.ranks.summed(counts).tolist()
        return float(named / seen)

    def rates(self) -> dict[str, float]:
        """The learning rate of each layer group that trains now, bottom first; empty if one rate serves all."""
        trains = [g for g in self.optimizer.param_groups if any(p.requires_grad for p in g["params"])]
        return {group["layer"]: float(group["lr"]) for group in trains if group["layer"]}

    @torch.no_grad()
    def _follow(self, average: AveragedModel) -> None:
        """What `update_parameters` does, but that it copies its count to the device in each step, and waits for it."""
        if not average.n_averaged:
            average.update_parameters(self.model)
            return
        self._blend(list(average.module.parameters()), list(self.model.parameters()), average.n_averaged)
        for kept, statistics in zip(average.module.buffers(), self.model.buffers(), strict=True):
            kept.copy_(statistics)

    def state(self) -> dict[str, Any]:
        """All that the steps so far have changed; the tensors are the learner's own, not copies."""
        model = self.model.state_dict()
        return {
            "model": {name: model[name] for name in self._initial},
            "average": self._average.state_dict() if self._average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "random": {
                "order": self.order.get_state(),
                "noise": self._noise.get_state(),
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state() if self.runtime.device == "cuda" else None,
            },
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of the same config."""
        self.model.load_state_dict(state["model"], strict=False)  # what is frozen is as it was built
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        random = state["random"]
        self.order.set_state(random["order"])
        self._noise.set_state(random["noise"])
        torch.set_rng_state(random["cpu"])
        if random["cuda"] is not None and self.runtime.device == "cuda":
            torch.cuda.set_rng_state(random["cuda"])

    @property
    def result(self) -> nn.Module:
        """What is kept: the model, or the average of its weights (batch statistics are the model's)."""
        return self.model if self._average is None else self._average.module
