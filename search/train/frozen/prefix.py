"""The frozen prefix of a model: its first layers, as far as every epoch of every trial finds the same in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from search.train.device import same_draws


class NoPrefix(Exception):
    """Why a model has no frozen prefix to compute once."""


class Rest(nn.Module):
    """What follows the prefix: activations (B, ...) to logits (B, classes). Its layers are the whole model's own."""

    def __init__(self, training: fx.GraphModule, evaluating: fx.GraphModule) -> None:
        super().__init__()
        self.when_training, self.when_evaluating = training, evaluating

    def forward(self, activations: Tensor) -> Tensor:
        part = self.when_training if self.training else self.when_evaluating
        logits: Tensor = part(activations)
        return logits


@dataclass(frozen=True, eq=False)
class Cut:
    """A model in two. `prefix`: images (B, C, H, W) to activations (B, ...)."""

    prefix: fx.GraphModule
    rest: Rest

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the prefix's code, layers and weights; computed once, for the weights do not move."""
        digest = hashlib.sha256(f"{self.prefix.code} {self.prefix}".encode())
        for name, value in self.prefix.state_dict().items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()


def cut(model: nn.Module, image: Tensor) -> Cut:
    """Split `model` before its first layer that trains, or that is random or keeps statistics in training.

    The model is in the mode in which it trains, with what is frozen in `eval()`; both parts share its layers. torch.fx
    follows the forward of any model that does not branch on values. `image`: one image (1, C, H, W), on which the
    parts are tried. Raises NoPrefix where there is no such split, with the reason.
    """
    graphs = {True: _trace(model)}
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        graphs[False] = _trace(model)
        expected = _run(model, image)
    finally:
        for module, mode in modes.items():
            module.training = mode
    nodes = list(graphs[True].nodes)
    count = _length(nodes, model)
    twins = list(graphs[False].nodes)
    if [(node.op, node.target) for node in nodes[:count]] != [(node.op, node.target) for node in twins[:count]]:
        raise NoPrefix("its frozen layers run otherwise in training than in evaluation")
    prefix = fx.GraphModule(model, _head(nodes, count))
    rest = Rest(*(fx.GraphModule(model, _tail(list(graphs[mode].nodes), count)) for mode in (True, False)))
    _try(prefix, rest, image, expected)
    for module, mode in modes.items():  # a new GraphModule is in training mode, and its parts are put there
        module.training = mode
    return Cut(prefix, rest)


class _Tracer(fx.Tracer):
    """Leaves our own dropout whole, as torch's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _DropoutNd) or super().is_leaf_module(m, module_qualified_name)


def _trace(model: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(model)
    except Exception as error:  # whatever the model's own code raises when it meets a proxy
        raise NoPrefix(f"torch.fx cannot follow its forward ({type(error).__name__})") from None


def _length(nodes: Sequence[fx.Node], model: nn.Module) -> int:
    """How many of the first nodes can be computed once: as many as leave one tensor to hand on."""
    position = {node: i for i, node in enumerate(nodes)}
    last_use = {node: max((position[user] for user in node.users), default=-1) for node in nodes}
    handed: list[fx.Node] = []
    count, weighted = 0, False
    for i, node in enumerate(nodes):
        if node.op == "output" or _varies(node, model):
            break
        handed = [other for other in handed if last_use[other] > i]
        if node.op != "get_attr" and last_use[node] > i:
            handed.append(node)
        weighted = weighted or node.op == "get_attr" or _has_weights(node, model)
        if weighted and handed == [node]:
            count = i + 1
    if not count:
        again = "what came before its frozen layers is read after them"
        raise NoPrefix(again if weighted else "its first layers train")
    return count


def _has_weights(node: fx.Node, model: nn.Module) -> bool:
    return node.op == "call_module" and any(True for _ in model.get_submodule(str(node.target)).parameters())


_RANDOM = ("dropout", "stochastic_depth", "bernoulli", "rand", "normal", "uniform", "exponential", "multinomial")


def _varies(node: fx.Node, model: nn.Module) -> bool:
    """Whether the node trains, draws random numbers, or changes its own state in training."""
    if node.op == "get_attr":
        found: Any = model
        for name in str(node.target).split("."):
            found = getattr(found, name)
        return bool(getattr(found, "requires_grad", False))
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        if any(parameter.requires_grad for parameter in module.parameters()):
            return True
        if isinstance(module, _DropoutNd):
            return module.training and module.p > 0
        return module.training and (next(module.buffers(), None) is not None or bool(getattr(module, "dropout", 0)))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op == "placeholder" or not any(word in name for word in _RANDOM):
        return False
    switches = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, bool)]
    return node.kwargs.get("training", not switches or any(switches)) is not False


def _head(nodes: Sequence[fx.Node], count: int) -> fx.Graph:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[:count]:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[nodes[count - 1]])
    return graph


def _tail(nodes: Sequence[fx.Node], count: int) -> fx.Graph:
    graph = fx.Graph()
    copies = {nodes[count - 1]: graph.placeholder("activations")}

    def copy(node: fx.Node) -> fx.Node:
        if node not in copies:  # a frozen parameter that both parts read
            copies[node] = graph.node_copy(node)
        return copies[node]

    for node in nodes[count:]:
        copies[node] = graph.node_copy(node, copy)
    return graph


@torch.no_grad()
def _run(model: nn.Module, x: Tensor) -> Any:
    with same_draws(x.device):
        return model(x)


def _try(prefix: fx.GraphModule, rest: Rest, image: Tensor, expected: Tensor) -> None:
    """Raise NoPrefix unless the parts give what the whole gives, the first the same each time and in any batch."""
    rest.eval()
    first = _run(prefix, image)
    if not isinstance(first, Tensor) or len(first) != 1:
        raise NoPrefix("its frozen layers do not hand on one tensor an image")
    if not torch.equal(_run(prefix, image), first):
        raise NoPrefix("its frozen layers give one image different activations each time")
    pair = _run(prefix, torch.cat([image, image.flip(-1) / 2]))
    if len(pair) != 2 or not torch.allclose(pair[:1], first, rtol=1e-3, atol=1e-4):
        raise NoPrefix("what its frozen layers make of an image depends on the other images of the batch")
    if not torch.allclose(_run(rest, first), expected, rtol=1e-3, atol=1e-4):
        raise NoPrefix("torch.fx does not follow its forward")
