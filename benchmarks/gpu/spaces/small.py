"""Small trials that share a GPU: AlexNet's classifier on cached activations, never pruned."""

from optuna.pruners import NopPruner

from search import Float, SearchSpace

space = SearchSpace(
    model="alexnet",
    dataset="caltech101",
    frozen=("features",),
    epochs=5,
    batch_size=256,
    lr=Float(1e-4, 1e-2, log=True),
    momentum=Float(0.8, 0.95),
    weight_decay=1e-4,
    step_size=5,
    gamma=0.5,
)
pruner = NopPruner()
trials = 4
