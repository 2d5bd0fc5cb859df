"""Heads on the frozen features of EfficientNet-Lite0, never pruned."""

from optuna.pruners import NopPruner

from search import Float, SearchSpace

space = SearchSpace(
    model="efficientnet_lite0",
    dataset="caltech101",
    frozen=("features",),
    epochs=10,
    batch_size=64,
    lr=Float(1e-4, 1e-1, log=True),
    momentum=Float(0.8, 0.95),
    weight_decay=1e-4,
    step_size=5,
    gamma=0.5,
)
pruner = NopPruner()
trials = 4
